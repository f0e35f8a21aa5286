// kernels/bulk_copy.cuh on the CPU.
#pragma once

#include <cstdint>

#include "arrivals.h"
#include "kernels/launch.cuh"

namespace xlembed::kernels::cuda {

using Arrivals = unsigned long long;

inline void begin_arrivals(Arrivals* arrivals) { emulation::begin_arrivals(arrivals); }
inline void wait_for_arrivals(Arrivals* arrivals, unsigned round) {
  emulation::wait_for_arrivals(arrivals, round);
}
inline void copy_whole(void* to, const void* from, unsigned bytes, Arrivals* arrivals) {
  if ((reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from) | bytes) % 16 != 0)
    emulation::fail("a copy of misaligned memory");
  emulation::begin_copy(to, from, bytes, arrivals);
}

}  // namespace xlembed::kernels::cuda
