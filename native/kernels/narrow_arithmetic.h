// Sums of products of narrow numbers, 32 bits of them at a time: see panels.h.
#pragma once

#include <cstring>

#include "kernels/lanes.h"

namespace xlembed::kernels {

using Words32 __attribute__((vector_size(4 * kLanes))) = uint32_t;
using Sums32 __attribute__((vector_size(4 * kLanes))) = int32_t;

inline Words32 load_words32(const uint32_t* words) {
  Words32 result;
  std::memcpy(&result, words, sizeof result);
  return result;
}

// Two bfloat16 in a word, the earlier dimension in the lower half; sums in float32.
struct Bfloat16Pairs {
  using Word = uint32_t;
  using Sum = float;
  using Words = Words32;
  using Sums = Floats;
  static Words32 load_words(const uint32_t* words) { return load_words32(words); }
  static Words32 broadcast_word(uint32_t word) { return Words32{} + word; }
  static void store_sums(float* out, Floats sums) { store(out, sums); }
  static Floats multiply_add(Words32 x, Words32 query, Floats sums) {
#if defined(__AVX512BF16__)
    return _mm512_dpbf16_ps(sums, (__m512bh)x, (__m512bh)query);
#else
    sums = fma((Floats)(x << 16), (Floats)(query << 16), sums);
    return fma((Floats)(x & 0xFFFF0000u), (Floats)(query & 0xFFFF0000u), sums);
#endif
  }
};

// Four 8-bit integers in a word, unsigned in the corpus, signed in the query; sums in int32, exact up to
// 66,000 dimensions.
struct Int8Quads {
  using Word = uint32_t;
  using Sum = int32_t;
  using Words = Words32;
  using Sums = Sums32;
  static Words32 load_words(const uint32_t* words) { return load_words32(words); }
  static Words32 broadcast_word(uint32_t word) { return Words32{} + word; }
  static void store_sums(int32_t* out, Sums32 sums) { std::memcpy(out, &sums, sizeof sums); }
  static constexpr int kLargestQuery = 127;
  static Sums32 multiply_add(Words32 x, Words32 query, Sums32 sums) {
#if defined(__AVX512VNNI__)
    return (Sums32)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)x, (__m512i)query);
#else
    for (int byte = 0; byte < 4; ++byte) {
      const Sums32 unsigned_byte = (Sums32)(x >> (8 * byte) & 255u);
      const Sums32 signed_byte = (Sums32)(query << (24 - 8 * byte)) >> 24;
      sums += unsigned_byte * signed_byte;
    }
    return sums;
#endif
  }
};

#if defined(__AVX2__) && !defined(__AVX512F__)
// The same for queries that leave one bit free: two products fit in 16 bits (2 * 255 * 63 < 2^15), which the
// instruction before VPDPBUSD wants.
struct Int8Pairs : Int8Quads {
  static constexpr int kLargestQuery = 63;
  static Sums32 multiply_add(Words32 x, Words32 query, Sums32 sums) {
    const __m256i pairs = _mm256_maddubs_epi16((__m256i)x, (__m256i)query);
    return sums + (Sums32)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  }
};
using Int8Search = Int8Pairs;
#else
using Int8Search = Int8Quads;
#endif

}  // namespace xlembed::kernels
