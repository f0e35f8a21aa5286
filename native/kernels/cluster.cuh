// Blocks that run together and write into each other's shared memory (compute capability 9.0; PTX ISA, "mapa"
// and "barrier.cluster"). Code for older devices knows clusters of one block.
#pragma once

#include "kernels/launch.cuh"

namespace xlembed::kernels::cuda {

inline constexpr int largest_cluster = 8;  // that every device with clusters can run

// Whether the current device, and the kernel's code for it, know clusters of more than one block.
template <typename... Parameters>
bool has_clusters(void (*kernel)(Parameters...)) {
  cudaFuncAttributes code = {};
  check(cudaFuncGetAttributes(&code, reinterpret_cast<const void*>(kernel)));
  int device = 0, value = 0;
  check(cudaGetDevice(&device));
  check(cudaDeviceGetAttribute(&value, cudaDevAttrClusterLaunch, device));
  return value != 0 && code.ptxVersion >= 90;
}

// As launch(), `cluster` neighbouring blocks of grid.x together.
template <typename... Parameters, typename... Arguments>
void launch_clusters(void (*kernel)(Parameters...), int cluster, dim3 grid, dim3 block, size_t shared_bytes,
                     CudaStream stream, Arguments... arguments) {
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = static_cast<unsigned>(cluster);
  attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = cluster > 1 ? 1 : 0;  // older devices know no such attribute
  check(cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...));
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900

__device__ inline unsigned rank_in_cluster() {
  unsigned rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

// To where `place` of this block's shared memory is in another block of the cluster; read after the next
// barrier.
__device__ inline void store_in_cluster(float* place, unsigned rank, float value) {
  const auto own = static_cast<unsigned>(__cvta_generic_to_shared(place));
  unsigned address;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(own), "r"(rank));
  asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(address), "f"(value) : "memory");
}

// A barrier of all threads of the cluster in two halves: what was stored before the first is seen after the
// second.
__device__ inline void arrive_at_cluster() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}
__device__ inline void wait_for_cluster() {
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

#else

__device__ inline unsigned rank_in_cluster() { return 0; }
__device__ inline void store_in_cluster(float* place, unsigned, float value) { *place = value; }
__device__ inline void arrive_at_cluster() {}
__device__ inline void wait_for_cluster() { __syncthreads(); }

#endif

}  // namespace xlembed::kernels::cuda
