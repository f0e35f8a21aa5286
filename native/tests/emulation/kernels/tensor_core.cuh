// kernels/tensor_core.cuh on the CPU, from the layouts that the PTX manual gives.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cmath>
#include <cstdint>

#include "kernels/bfloat16.h"

namespace xlembed::kernels::cuda {

inline void load_matrices(uint32_t (&out)[4], const void* row) {
  const unsigned char* slots = emulation::exchange(0xFFFFFFFFu, &row, sizeof row);
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) std::abort();
  for (int matrix = 0; matrix < 4; ++matrix) {
    const auto* from = emulation::of_lane<const uint32_t*>(slots, 8 * matrix + emulation::lane() / 4);
    out[matrix] = from[emulation::lane() % 4];
  }
}

inline void load_matrices_transposed(uint32_t (&out)[4], const void* row) {
  const unsigned char* slots = emulation::exchange(0xFFFFFFFFu, &row, sizeof row);
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) std::abort();
  for (int matrix = 0; matrix < 4; ++matrix) {
    const int first = 8 * matrix + 2 * (emulation::lane() % 4), column = emulation::lane() / 4;
    const uint32_t low = emulation::of_lane<const uint16_t*>(slots, first)[column];
    const uint32_t high = emulation::of_lane<const uint16_t*>(slots, first + 1)[column];
    out[matrix] = low | high << 16;
  }
}

inline uint32_t pack_bfloat16(float low, float high) {
  return round_to_bfloat16(low).bits | static_cast<uint32_t>(round_to_bfloat16(high).bits) << 16;
}

inline float power_of_two(float x) { return x < -126 ? 0 : std::exp2(x); }

inline void multiply_add(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  using Brought = std::array<uint32_t, 6>;
  const Brought own = {a[0], a[1], a[2], a[3], b0, b1};
  const unsigned char* slots = emulation::exchange(0xFFFFFFFFu, &own, sizeof own);
  Brought all[32];
  for (int lane = 0; lane < 32; ++lane) all[lane] = emulation::of_lane<Brought>(slots, lane);
  const auto half = [](uint32_t word, int odd) {
    return to_float(bfloat16{static_cast<uint16_t>(word >> (16 * odd))});
  };
  const int group = emulation::lane() / 4, column = 2 * (emulation::lane() % 4);
  for (int i = 0; i < 4; ++i) {
    const int row = group, n = column + i % 2;
    for (int k = 0; k < 16; ++k) {
      const int lane_of_k = k % 8 / 2, part = k / 8;
      const uint32_t x = all[row * 4 + lane_of_k][i / 2 + 2 * part], y = all[n * 4 + lane_of_k][4 + part];
      sums[i] += half(x, k % 2) * half(y, k % 2);
    }
  }
}

}  // namespace xlembed::kernels::cuda
