// kernels/warpgroup.cuh on the CPU: a product is made at once, each thread its own sums.
#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"
#include "kernels/launch.cuh"

#define __CUDA_ARCH_FEAT_SM90_ALL

namespace xlembed::kernels::cuda {

inline bool has_warpgroups() { return true; }

// An address in units of 16 bytes, as in the instructions' descriptors.
inline uint64_t matrix_descriptor(const void* rows) {
  const auto address = reinterpret_cast<uintptr_t>(rows);
  if (address % 1024 != 0) std::abort();
  return address / 16;
}

inline void begin_products() {}
inline void commit_products() {}
template <int left>
void wait_for_products() {}
inline void show_to_products() {}

// Column k of a row: bits 4 to 6 of an address are exchanged by bits 7 to 9.
inline float swizzled(uint64_t descriptor, int row, int k) {
  uintptr_t address = descriptor * 16 + row * 128 + k * sizeof(bfloat16);
  address ^= (address >> 7 & 7) << 4;
  return to_float(*reinterpret_cast<const bfloat16*>(address));
}

inline void multiply_64_256(float (&sums)[128], uint64_t a, uint64_t b, bool add) {
  const int thread = static_cast<int>(threadIdx.x) % 128, lane = thread % 32;
  for (int i = 0; i < 128; ++i) {
    const int row = thread / 32 * 16 + lane / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
    float sum = add ? sums[i] : 0.0f;
    for (int k = 0; k < 16; ++k) sum += swizzled(a, row, k) * swizzled(b, column, k);
    sums[i] = sum;
  }
}

}  // namespace xlembed::kernels::cuda
