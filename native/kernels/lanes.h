// As many float32 as one vector register holds, with the few operations that search needs: one spelling for
// AVX-512, AVX2 and any other processor. fma() rounds once where the processor has a fused multiply-add.
#pragma once

#include <cstdint>
#include <cstring>

// AVX2 counts with fused multiply-adds alone. Some virtual machines have it without: any other processor.
#if defined(__AVX2__) && defined(__FMA__) && !defined(__AVX512F__)
#define XLEMBED_AVX2 1
#endif

#if defined(__AVX512F__) || defined(XLEMBED_AVX2)
#include <immintrin.h>
#endif

#include "kernels/bfloat16.h"

namespace xlembed::kernels {

#if defined(__AVX512F__)

inline constexpr int kLanes = 16;
using Floats = __m512;
inline Floats load(const float* p) { return _mm512_loadu_ps(p); }
inline Floats load(const bfloat16* p) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return (Floats)_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
}
inline void store(float* p, Floats v) { _mm512_storeu_ps(p, v); }
inline Floats broadcast(float v) { return _mm512_set1_ps(v); }
inline Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
// Bit i is set where a[i] > b[i].
inline uint32_t greater(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
inline uint32_t equal(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
inline uint32_t at_least(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

#elif defined(XLEMBED_AVX2)

inline constexpr int kLanes = 8;
using Floats = __m256;
inline Floats load(const float* p) { return _mm256_loadu_ps(p); }
inline Floats load(const bfloat16* p) {
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return (Floats)_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16);
}
inline void store(float* p, Floats v) { _mm256_storeu_ps(p, v); }
inline Floats broadcast(float v) { return _mm256_set1_ps(v); }
inline Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
inline uint32_t greater(Floats a, Floats b) { return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)); }
inline uint32_t equal(Floats a, Floats b) { return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)); }
inline uint32_t at_least(Floats a, Floats b) { return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ)); }
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

#else

inline constexpr int kLanes = 4;
using Floats __attribute__((vector_size(16))) = float;
inline Floats load(const float* p) {
  Floats v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline Floats load(const bfloat16* p) {
  return Floats{to_float(p[0]), to_float(p[1]), to_float(p[2]), to_float(p[3])};
}
inline void store(float* p, Floats v) { std::memcpy(p, &v, sizeof v); }
inline Floats broadcast(float v) { return Floats{v, v, v, v}; }
inline uint32_t bits(decltype(Floats{} > Floats{}) mask) {
  return (mask[0] & 1) | (mask[1] & 2) | (mask[2] & 4) | (mask[3] & 8);
}
inline uint32_t greater(Floats a, Floats b) { return bits(a > b); }
inline uint32_t equal(Floats a, Floats b) { return bits(a == b); }
inline uint32_t at_least(Floats a, Floats b) { return bits(a >= b); }
#if defined(__FP_FAST_FMAF)
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
// The product is rounded first, here and in the vector form: both must give the same bits.
#if defined(__clang__)
#pragma clang fp contract(off)
#endif
inline float fma(float a, float b, float c) { return a * b + c; }
#endif
inline Floats fma(Floats a, Floats b, Floats c) {
  return Floats{fma(a[0], b[0], c[0]), fma(a[1], b[1], c[1]), fma(a[2], b[2], c[2]), fma(a[3], b[3], c[3])};
}

#endif

// As many whole numbers.
using Integers __attribute__((vector_size(sizeof(Floats)))) = int32_t;

// Before a loop over registers that an array holds. GCC unrolls such loops by itself, but after it has
// decided which arrays need memory, and then sums pass through the stack.
#define XLEMBED_UNROLL _Pragma("GCC unroll 16")

// The mask of the first `count` lanes; all of them where count is larger, none where it is negative.
inline uint32_t first_lanes(int64_t count) {
  return count >= kLanes ? (1u << kLanes) - 1 : count <= 0 ? 0 : (1u << count) - 1;
}

}  // namespace xlembed::kernels
