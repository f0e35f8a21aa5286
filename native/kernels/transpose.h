// A square of 32-bit words turned over, as wide as a vector register: 16 x 16 with AVX-512, 8 x 8 with AVX2.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/lanes.h"

namespace xlembed::kernels {

// Turns over kLanes words of each of kLanes rows: out[w * stride + r] = rows[r][w].
inline void transpose_square(const void* const* rows, int64_t first_word, uint32_t* out, int64_t stride) {
  const auto words = [&](int64_t r) { return static_cast<const uint32_t*>(rows[r]) + first_word; };
#if defined(__AVX512F__)
  // Within 128 bits first: pairs, then pairs of pairs; then the 128-bit quarters change places.
  __m512i pairs[16], quads[16], halves[16];
  for (int r = 0; r < 16; r += 2) {
    const __m512i even = _mm512_loadu_si512(words(r)), odd = _mm512_loadu_si512(words(r + 1));
    pairs[r] = _mm512_unpacklo_epi32(even, odd);
    pairs[r + 1] = _mm512_unpackhi_epi32(even, odd);
  }
  for (int r = 0; r < 16; r += 4) {
    quads[r] = _mm512_unpacklo_epi64(pairs[r], pairs[r + 2]);
    quads[r + 1] = _mm512_unpackhi_epi64(pairs[r], pairs[r + 2]);
    quads[r + 2] = _mm512_unpacklo_epi64(pairs[r + 1], pairs[r + 3]);
    quads[r + 3] = _mm512_unpackhi_epi64(pairs[r + 1], pairs[r + 3]);
  }
  for (int w = 0; w < 4; ++w) {  // quads[4 i + w]: words w, w + 4, w + 8, w + 12 of rows 4 i .. 4 i + 3
    halves[w] = _mm512_shuffle_i32x4(quads[w], quads[4 + w], 0x88);
    halves[4 + w] = _mm512_shuffle_i32x4(quads[w], quads[4 + w], 0xDD);
    halves[8 + w] = _mm512_shuffle_i32x4(quads[8 + w], quads[12 + w], 0x88);
    halves[12 + w] = _mm512_shuffle_i32x4(quads[8 + w], quads[12 + w], 0xDD);
  }
  for (int w = 0; w < 4; ++w) {
    _mm512_storeu_si512(out + w * stride, _mm512_shuffle_i32x4(halves[w], halves[8 + w], 0x88));
    _mm512_storeu_si512(out + (4 + w) * stride, _mm512_shuffle_i32x4(halves[4 + w], halves[12 + w], 0x88));
    _mm512_storeu_si512(out + (8 + w) * stride, _mm512_shuffle_i32x4(halves[w], halves[8 + w], 0xDD));
    _mm512_storeu_si512(out + (12 + w) * stride, _mm512_shuffle_i32x4(halves[4 + w], halves[12 + w], 0xDD));
  }
#elif defined(XLEMBED_AVX2)
  __m256i pairs[8], quads[8];
  for (int r = 0; r < 8; r += 2) {
    const __m256i even = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words(r)));
    const __m256i odd = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words(r + 1)));
    pairs[r] = _mm256_unpacklo_epi32(even, odd);
    pairs[r + 1] = _mm256_unpackhi_epi32(even, odd);
  }
  for (int r = 0; r < 8; r += 4) {
    quads[r] = _mm256_unpacklo_epi64(pairs[r], pairs[r + 2]);
    quads[r + 1] = _mm256_unpackhi_epi64(pairs[r], pairs[r + 2]);
    quads[r + 2] = _mm256_unpacklo_epi64(pairs[r + 1], pairs[r + 3]);
    quads[r + 3] = _mm256_unpackhi_epi64(pairs[r + 1], pairs[r + 3]);
  }
  for (int w = 0; w < 4; ++w) {  // quads[4 i + w]: words w and w + 4 of rows 4 i .. 4 i + 3
    const __m256i low = _mm256_permute2x128_si256(quads[w], quads[4 + w], 0x20);
    const __m256i high = _mm256_permute2x128_si256(quads[w], quads[4 + w], 0x31);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + w * stride), low);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + (4 + w) * stride), high);
  }
#else
  for (int64_t w = 0; w < kLanes; ++w) {
    for (int64_t r = 0; r < kLanes; ++r) std::memcpy(out + w * stride + r, words(r) + w, sizeof(uint32_t));
  }
#endif
}

}  // namespace xlembed::kernels
