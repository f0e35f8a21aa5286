// kernels/warpgroup.cuh on the CPU: each thread makes its own sums of a product, when it waits for them.
#pragma once

#include <cstdint>

#include "kernels/launch.cuh"
#include "late.h"
#include "races.h"

#define __CUDA_ARCH_FEAT_SM90_ALL

namespace xlembed::kernels::cuda {

inline bool has_warpgroups() { return true; }

// An address in units of 16 bytes, as in the instructions' descriptors.
inline uint64_t matrix_descriptor(const void* rows) {
  const auto address = reinterpret_cast<uintptr_t>(rows);
  if (address % 1024 != 0) std::abort();
  return address / 16;
}

// ThreadSanitizer is told of what a product reads, 16 bytes at a time: number by number takes minutes.
#define XLEMBED_UNWATCHED [[gnu::no_sanitize("thread")]]

// 16 columns of a row, bits 4 to 6 of an address exchanged by bits 7 to 9.
XLEMBED_UNWATCHED inline void read_row(uint64_t descriptor, int row, float (&out)[16]) {
  for (int half = 0; half < 2; ++half) {
    uintptr_t address = descriptor * 16 + row * 128 + half * 16;
    address ^= (address >> 7 & 7) << 4;
    const auto* from = reinterpret_cast<const uint16_t*>(address);
    emulation::races::reads_16(from);
    for (int k = 0; k < 8; ++k) {
      out[half * 8 + k] = __builtin_bit_cast(float, static_cast<uint32_t>(from[k]) << 16);
    }
  }
}

struct Product {
  float* sums;  // 128
  uint64_t a, b;
  bool add;

  XLEMBED_UNWATCHED void make() const {
    const int thread = static_cast<int>(threadIdx.x) % 128, lane = thread % 32;
    float x[2][16], y[16];
    for (int half = 0; half < 2; ++half) read_row(a, thread / 32 * 16 + lane / 4 + half * 8, x[half]);
    for (int j = 0; j < 64; ++j) {
      read_row(b, j / 2 * 8 + lane % 4 * 2 + j % 2, y);
      for (int half = 0; half < 2; ++half) {
        float& result = sums[j / 2 * 4 + half * 2 + j % 2];
        float sum = add ? result : 0.0f;
        for (int k = 0; k < 16; ++k) sum += x[half][k] * y[k];
        result = sum;
      }
    }
  }
};

#undef XLEMBED_UNWATCHED

inline void begin_products() {}
inline void show_to_products() {}
inline void multiply_64_256(float (&sums)[128], uint64_t a, uint64_t b, bool add) {
  emulation::Late<Product>::own().begin({sums, a, b, add});
}
inline void commit_products() { emulation::Late<Product>::own().commit(); }
template <int left>
void wait_for_products() {
  emulation::Late<Product>::own().wait(left, [](const Product& product) { product.make(); });
}

}  // namespace xlembed::kernels::cuda
