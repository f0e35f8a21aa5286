// kernels/bulk_copy.cuh on the CPU.
#pragma once

#include "bulk_copies.h"
#include "kernels/cluster.cuh"

namespace xlembed::kernels::cuda {

using Arrivals = unsigned long long;

inline void begin_arrivals(Arrivals* arrivals) { emulation::begin_arrivals(arrivals); }
inline void expect_bytes(Arrivals* arrivals, unsigned bytes) { emulation::expect_bytes(arrivals, bytes); }
inline void wait_for_bytes(Arrivals* arrivals, unsigned round) { emulation::wait_for_bytes(arrivals, round); }
template <int cluster>
void copy_to_cluster(void* to, const void* from, unsigned bytes, Arrivals* arrivals) {
  if ((reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from) | bytes) % 16 != 0) std::abort();
  for (unsigned rank = 0; rank < cluster; ++rank) emulation::begin_copy(to, from, bytes, arrivals, rank);
}

}  // namespace xlembed::kernels::cuda
