// kernels/warpgroup.cuh on the CPU: each thread makes its own sums of a product, when it waits for them.
#pragma once

#include <cstdint>

#include "kernels/launch.cuh"
#include "late.h"
#include "races.h"

#define __CUDA_ARCH_FEAT_SM90_ALL

namespace xlembed::kernels::cuda {

template <typename... Parameters>
bool has_warpgroups(void (*)(Parameters...)) {
  return true;
}

// An address in units of 16 bytes, as in the instructions' descriptors.
inline uint64_t matrix_descriptor(const void* rows) {
  const auto address = reinterpret_cast<uintptr_t>(rows);
  if (address % 1024 != 0) std::abort();
  return address / 16;
}

// ThreadSanitizer is told of what a product reads, 16 bytes at a time: number by number takes minutes.
#define XLEMBED_UNWATCHED [[gnu::no_sanitize("thread")]]

// 8 of 16 columns of a row: bits 4 to 6 of an address are exchanged by bits 7 to 9.
XLEMBED_UNWATCHED inline const uint16_t* half_row(uint64_t descriptor, int row, int half) {
  uintptr_t address = descriptor * 16 + row * 128 + half * 16;
  address ^= (address >> 7 & 7) << 4;
  const auto* from = reinterpret_cast<const uint16_t*>(address);
  emulation::races::reads_16(from);
  return from;
}

struct Product {
  float* sums;  // 128
  uint64_t a, b;
  bool add;

  // What the running thread multiplies: two rows of a, 64 of b.
  XLEMBED_UNWATCHED static int row_of_a(int h) {
    const int thread = static_cast<int>(threadIdx.x) % 128;
    return thread / 32 * 16 + thread % 32 / 4 + h * 8;
  }
  XLEMBED_UNWATCHED static int row_of_b(int j) {
    return j / 2 * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + j % 2;
  }

  XLEMBED_UNWATCHED void announce() const {
    for (int half = 0; half < 2; ++half) {
      for (int h = 0; h < 2; ++h) half_row(a, row_of_a(h), half);
      for (int j = 0; j < 64; ++j) half_row(b, row_of_b(j), half);
    }
  }

  XLEMBED_UNWATCHED static void read_row(uint64_t descriptor, int row, float (&out)[16]) {
    for (int half = 0; half < 2; ++half) {
      const uint16_t* from = half_row(descriptor, row, half);
      for (int k = 0; k < 8; ++k) {
        out[half * 8 + k] = __builtin_bit_cast(float, static_cast<uint32_t>(from[k]) << 16);
      }
    }
  }

  XLEMBED_UNWATCHED void make() const {
    float x[2][16], y[16];
    for (int h = 0; h < 2; ++h) read_row(a, row_of_a(h), x[h]);
    for (int j = 0; j < 64; ++j) {
      read_row(b, row_of_b(j), y);
      for (int h = 0; h < 2; ++h) {
        float& result = sums[j / 2 * 4 + h * 2 + j % 2];
        float sum = add ? result : 0.0f;
        for (int k = 0; k < 16; ++k) sum += x[h][k] * y[k];
        result = sum;
      }
    }
  }
};

#undef XLEMBED_UNWATCHED

inline void begin_products() { emulation::of_thread<emulation::BeforeProducts>().fence = false; }
inline void show_to_products() { emulation::of_thread<emulation::BeforeProducts>().show = false; }
inline void multiply_64_256(float (&sums)[128], uint64_t a, uint64_t b, bool add) {
  const auto& before = emulation::of_thread<emulation::BeforeProducts>();
  if (before.fence) emulation::fail("a product without begin_products()");
  if (before.show) emulation::fail("a product without show_to_products()");
  const Product product = {sums, a, b, add};
  if (emulation::races::watched) product.announce();
  emulation::Late<Product>::own().begin(product);
}
inline void commit_products() { emulation::Late<Product>::own().commit(); }
template <int left>
void wait_for_products(float (&)[128]) {
  emulation::Late<Product>::own().wait(left, [](const Product& product) { product.make(); });
  if (left == 0) emulation::of_thread<emulation::BeforeProducts>().fence = true;
}

}  // namespace xlembed::kernels::cuda
