// Copies to shared memory that whoever waits at a place there waits for, round by round. Here they are made
// at the last moment allowed: when a thread waits.
#pragma once

#include <cstddef>

namespace emulation {

void begin_arrivals(void* arrivals);
// The copy of the round after those before it.
void begin_copy(void* to, const void* from, size_t bytes, void* arrivals);
// Fails where the round's copy has not begun: that no other thread waits for it to do so.
void wait_for_arrivals(void* arrivals, unsigned round);

}  // namespace emulation
