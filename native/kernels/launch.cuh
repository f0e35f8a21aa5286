// How a kernel is started, and what stands around that. Kernels name nothing of nvcc's own syntax, so that
// the tests can also compile them for the CPU (tests/emulation).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "kernels/stream.h"

namespace xlembed::kernels::cuda {

inline void check(cudaError_t status) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();  // or the next launch would find it
  throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(status));
}

// Runs kernel(arguments...) over a grid; a grid without blocks is no work. Throws what CUDA says against it.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, CudaStream stream,
            Arguments... arguments) {
  if (grid.x == 0 || grid.y == 0) return;
  kernel<<<grid, block, shared_bytes, stream>>>(arguments...);
  check(cudaGetLastError());
}

// The shared memory that a launch asked for, 16-byte aligned.
template <typename T>
__device__ T* dynamic_shared() {
  extern __shared__ uint4 dynamic_shared_memory[];
  return reinterpret_cast<T*>(dynamic_shared_memory);
}

// A kernel may ask for more than 48 KB only after this; cheap, and each device must be told.
template <typename... Parameters>
void allow_shared_bytes(void (*kernel)(Parameters...), size_t bytes) {
  check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                             cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
}

// Of the current device.
inline int device_attribute(cudaDeviceAttr attribute) {
  int device = 0, value = 0;
  check(cudaGetDevice(&device));
  check(cudaDeviceGetAttribute(&value, attribute, device));
  return value;
}
inline int multiprocessors() { return device_attribute(cudaDevAttrMultiProcessorCount); }

// Whether a block may have so much shared memory: 227 KB on an H100, 99 KB on devices for workstations.
inline bool has_shared_bytes(size_t bytes) {
  return bytes <= static_cast<size_t>(device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
}

// Blocks of `per_block` that `items` take, along grid.x: up to 2^31 - 1.
inline unsigned blocks_for(int64_t items, int64_t per_block) {
  const int64_t blocks = (items + per_block - 1) / per_block;
  if (blocks > INT32_MAX) throw std::runtime_error("CUDA: more blocks than a grid can have");
  return static_cast<unsigned>(blocks);
}

}  // namespace xlembed::kernels::cuda
