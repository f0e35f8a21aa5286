// Sums of products, 32 bits of their numbers at a time (a float32, two bfloat16, four integers): see
// panels.h.
#pragma once

#include <cstring>

#include "kernels/lanes.h"

// Instructions that add the products of two neighbours, before AVX512-VNNI.
#if defined(__AVX512BW__)
#define XLEMBED_INTEGER_PAIRS(name) _mm512_##name
#elif defined(XLEMBED_AVX2)
#define XLEMBED_INTEGER_PAIRS(name) _mm256_##name
#endif

namespace xlembed::kernels {

using Words32 __attribute__((vector_size(4 * kLanes))) = uint32_t;
using Sums32 = Integers;
#if defined(__AVX512F__)
using Bytes = __m512i;
#elif defined(XLEMBED_AVX2)
using Bytes = __m256i;
#endif

inline Words32 load_words32(const uint32_t* words) {
  Words32 result;
  std::memcpy(&result, words, sizeof result);
  return result;
}

struct Float32Words {
  using Word = float;
  using Sum = float;
  using Words = Floats;
  using Sums = Floats;
  static Floats load_words(const float* words) { return load(words); }
  static Floats broadcast_word(float word) { return broadcast(word); }
  static void store_sums(float* out, Floats sums) { store(out, sums); }
  static Floats multiply_add(Floats x, Floats query, Floats sums) { return fma(x, query, sums); }
};

// Whether products of bfloat16 are faster than those of float32: where they are an instruction. Processors
// that also know float16 (Sapphire Rapids and what followed) reach half of float32's rate with it.
#if defined(__AVX512BF16__) && !defined(__AVX512FP16__)
inline constexpr bool kBfloat16Products = true;
#else
inline constexpr bool kBfloat16Products = false;
#endif

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

// Integers or bits in a word; sums in int32.
struct IntegerWords {
  using Word = uint32_t;
  using Sum = int32_t;
  using Words = Words32;
  using Sums = Sums32;
  static Words32 load_words(const uint32_t* words) { return load_words32(words); }
  static Words32 broadcast_word(uint32_t word) { return Words32{} + word; }
  static void store_sums(int32_t* out, Sums32 sums) { std::memcpy(out, &sums, sizeof sums); }
};

// Four 8-bit integers, unsigned in the corpus, signed in the query; exact up to 66,000 dimensions.
struct Int8Quads : IntegerWords {
  static constexpr int kLargestQuery = 127;
  static Sums32 multiply_add(Words32 x, Words32 query, Sums32 sums) {
#if defined(__AVX512VNNI__)
    return (Sums32)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)x, (__m512i)query);
#elif defined(XLEMBED_INTEGER_PAIRS)
    const Bytes even = (Bytes)(x & 0x00FF00FFu), odd = (Bytes)(x >> 8 & 0x00FF00FFu);
    const Bytes even_query =
        XLEMBED_INTEGER_PAIRS(srai_epi16)(XLEMBED_INTEGER_PAIRS(slli_epi16)((Bytes)query, 8), 8);
    const Bytes odd_query = XLEMBED_INTEGER_PAIRS(srai_epi16)((Bytes)query, 8);
    sums += (Sums32)XLEMBED_INTEGER_PAIRS(madd_epi16)(even, even_query);
    return sums + (Sums32)XLEMBED_INTEGER_PAIRS(madd_epi16)(odd, odd_query);
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

#if defined(XLEMBED_AVX2)
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

// The same with unsigned integers of 7 bits, 0 .. 127, against signed ones of -127 .. 127: then two products
// fit 16 bits, and without AVX512-VNNI four of them take three instructions instead of ten.
struct Int7Quads : Int8Quads {
  static Sums32 multiply_add(Words32 x, Words32 query, Sums32 sums) {
#if defined(XLEMBED_INTEGER_PAIRS) && !defined(__AVX512VNNI__)
    const Bytes pairs = XLEMBED_INTEGER_PAIRS(maddubs_epi16)((Bytes)x, (Bytes)query);
    return sums + (Sums32)XLEMBED_INTEGER_PAIRS(madd_epi16)(pairs, XLEMBED_INTEGER_PAIRS(set1_epi16)(1));
#else
    return Int8Quads::multiply_add(x, query, sums);
#endif
  }
};

}  // namespace xlembed::kernels
