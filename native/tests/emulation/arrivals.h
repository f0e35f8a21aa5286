// Places in shared memory at which threads of a cluster's blocks and copies arrive, round by round. Copies
// are made here at the last moment allowed: when a thread of the block that they go to waits for them.
#pragma once

#include <cstddef>

namespace emulation {

void begin_arrivals(void* arrivals, unsigned count);
// At the same place of the block of that rank; the round takes so many bytes more.
void arrive(void* arrivals, unsigned rank, size_t bytes);
void wait_for_arrivals(void* arrivals, unsigned round);
// To where the block of that rank has what is at `to`, counted by its `arrivals`.
void begin_copy(void* to, const void* from, size_t bytes, void* arrivals, unsigned rank);

}  // namespace emulation
