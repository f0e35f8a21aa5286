// float32 values stored as T, many at once.
#pragma once

#include <cstring>

#include "kernels/bfloat16.h"

#if defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#include <immintrin.h>
#endif

namespace xlembed::kernels {

inline void store_row(const float* values, int64_t count, float* out) {
  std::memcpy(out, values, count * sizeof(float));
}

// To nearest, ties to even; subnormal numbers may become zero.
inline void store_row(const float* values, int64_t count, bfloat16* out) {
#if defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512VL__)
  for (int64_t i = 0; i < count; i += 16) {
    const auto lanes = static_cast<__mmask16>(count - i >= 16 ? 0xFFFF : (1 << (count - i)) - 1);
    const __m256bh rounded = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(lanes, values + i));
    _mm256_mask_storeu_epi16(out + i, lanes, (__m256i)rounded);
  }
#else
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) out[i] = round_to_bfloat16(values[i]);
#endif
}

}  // namespace xlembed::kernels
