// Copies to the shared memory of a cluster's blocks that are counted where they arrive. Here they are made at
// the last moment allowed: when a thread of that block waits for them.
#pragma once

#include <cstddef>

namespace emulation {

void begin_arrivals(void* arrivals);
void expect_bytes(void* arrivals, size_t bytes);
// Fails where a copy has not begun that the round needs: a kernel here has its copies begun before the
// barrier that comes before the wait.
void wait_for_bytes(void* arrivals, unsigned round);
// To where the block of that rank has what is at `to` and `arrivals` of this block's shared memory.
void begin_copy(void* to, const void* from, size_t bytes, void* arrivals, unsigned rank);

}  // namespace emulation
