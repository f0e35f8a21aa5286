// kernels/bulk_copy.cuh on the CPU.
#pragma once

#include "arrivals.h"
#include "kernels/cluster.cuh"

namespace xlembed::kernels::cuda {

using Arrivals = unsigned long long;

inline void begin_arrivals(Arrivals* arrivals, unsigned count) { emulation::begin_arrivals(arrivals, count); }
inline void expect_bytes(Arrivals* arrivals, unsigned bytes) {
  emulation::arrive(arrivals, rank_in_cluster(), bytes);
}
inline void arrive_in_cluster(Arrivals* arrivals, unsigned rank) { emulation::arrive(arrivals, rank, 0); }
inline void wait_for_arrivals(Arrivals* arrivals, unsigned round) {
  emulation::wait_for_arrivals(arrivals, round);
}
template <int cluster>
void copy_to_cluster(void* to, const void* from, unsigned bytes, Arrivals* arrivals) {
  if ((reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from) | bytes) % 16 != 0) std::abort();
  for (unsigned rank = 0; rank < cluster; ++rank) emulation::begin_copy(to, from, bytes, arrivals, rank);
}

}  // namespace xlembed::kernels::cuda
