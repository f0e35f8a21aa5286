// kernels/cluster.cuh where blocks run one after another: every cluster is one block.
#pragma once

#include "kernels/launch.cuh"

namespace xlembed::kernels::cuda {

inline constexpr int largest_cluster = 8;

template <typename... Parameters>
bool has_clusters(void (*)(Parameters...)) {
  return false;
}

template <typename... Parameters, typename... Arguments>
void launch_clusters(void (*kernel)(Parameters...), int cluster, dim3 grid, dim3 block, size_t shared_bytes,
                     CudaStream stream, Arguments... arguments) {
  if (cluster != 1) throw std::runtime_error("CUDA emulation: clusters are single blocks");
  launch(kernel, grid, block, shared_bytes, stream, arguments...);
}

inline unsigned rank_in_cluster() { return 0; }
inline void store_in_cluster(float* place, unsigned, float value) { *place = value; }
inline void arrive_at_cluster() {}
inline void wait_for_cluster() { __syncthreads(); }

}  // namespace xlembed::kernels::cuda
