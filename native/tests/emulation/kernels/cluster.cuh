// kernels/cluster.cuh on the CPU.
#pragma once

#include "kernels/launch.cuh"

namespace xlembed::kernels::cuda {

inline constexpr int largest_cluster = emulation::largest_cluster;

template <typename... Parameters>
bool has_clusters(void (*)(Parameters...)) {
  return true;
}

template <typename... Parameters, typename... Arguments>
void launch_clusters(void (*kernel)(Parameters...), int cluster, dim3 grid, dim3 block, size_t shared_bytes,
                     CudaStream, Arguments... arguments) {
  if (grid.x % cluster != 0) throw std::runtime_error("CUDA emulation: blocks that are no whole clusters");
  require_launchable(reinterpret_cast<const void*>(kernel), grid, block, shared_bytes);
  emulation::run(grid, block, shared_bytes, static_cast<unsigned>(cluster), [&] { kernel(arguments...); });
}

inline unsigned rank_in_cluster() { return emulation::rank_in_cluster(); }
inline void store_in_cluster(float* place, unsigned rank, float value) {
  *static_cast<float*>(emulation::shared_memory_of(rank, place)) = value;
}
inline void arrive_at_cluster() { emulation::arrive_at_cluster(); }
inline void wait_for_cluster() { emulation::wait_for_cluster(); }

}  // namespace xlembed::kernels::cuda
