// kernels/launch.cuh where there is no nvcc: a launch runs the kernel's threads one after another.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>

#include "kernels/stream.h"

namespace xlembed::kernels::cuda {

inline void check(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(status));
}

// What kernels were allowed beyond emulation::plain_shared_bytes.
inline std::map<const void*, size_t> allowed_shared_bytes;

inline void require_launchable(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes) {
  if (grid.y > emulation::largest_grid || grid.z > emulation::largest_grid ||
      block.x * block.y * block.z > emulation::largest_block)
    throw std::runtime_error("CUDA emulation: more blocks or threads than a launch can have");
  if (shared_bytes > std::max(emulation::plain_shared_bytes, allowed_shared_bytes[kernel]))
    throw std::runtime_error("CUDA emulation: more shared memory than the kernel was allowed");
}

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, CudaStream,
            Arguments... arguments) {
  if (grid.x == 0 || grid.y == 0) return;
  require_launchable(reinterpret_cast<const void*>(kernel), grid, block, shared_bytes);
  emulation::run(grid, block, shared_bytes, 1, [&] { kernel(arguments...); });
}

template <typename T>
T* dynamic_shared() {
  return reinterpret_cast<T*>(emulation::dynamic_shared_memory());
}

inline bool has_shared_bytes(size_t bytes) { return bytes <= emulation::most_shared_bytes; }

template <typename... Parameters>
void allow_shared_bytes(void (*kernel)(Parameters...), size_t bytes) {
  if (!has_shared_bytes(bytes)) throw std::runtime_error("CUDA emulation: a block has less shared memory");
  allowed_shared_bytes[reinterpret_cast<const void*>(kernel)] = bytes;
}

inline int multiprocessors() { return 2; }

inline unsigned blocks_for(int64_t items, int64_t per_block) {
  return static_cast<unsigned>((items + per_block - 1) / per_block);
}

}  // namespace xlembed::kernels::cuda
