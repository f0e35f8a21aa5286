// The tensor cores' instructions for bfloat16, one warp at a time (PTX ISA, "Matrix multiply-accumulate").
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace xlembed::kernels::cuda {

// Four 8 x 8 matrices of 16-bit numbers from shared memory: lanes 8 i .. 8 i + 7 name the rows of matrix i
// (16 bytes each, 16-byte aligned); lane l receives row l / 4, columns 2 (l % 4) and the next, of each.
__device__ inline void load_matrices(uint32_t (&out)[4], const void* row) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(address));
}

// The same with each matrix transposed: lane l receives rows 2 (l % 4) and the next, column l / 4.
__device__ inline void load_matrices_transposed(uint32_t (&out)[4], const void* row) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(address));
}

// Both rounded to bfloat16, to nearest, ties to even; the first in the lower half.
__device__ inline uint32_t pack_bfloat16(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

// 2^x within two last bits, in one instruction where exp2f() takes four: below 2^-126 it is zero.
__device__ inline float power_of_two(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

// sums (16, 8) += a (16, 16) times b (16, 8), in float32. Lane l holds, with g = l / 4 and t = 2 (l % 4):
//   a: [g][t], [g + 8][t], [g][t + 8], [g + 8][t + 8], each with the column after it
//   b: [t][g], [t + 8][g], each with the row after it;  sums: [g][t], [g][t + 1], [g + 8][t], [g + 8][t + 1]
__device__ inline void multiply_add(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

}  // namespace xlembed::kernels::cuda
