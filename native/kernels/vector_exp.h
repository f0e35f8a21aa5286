// exp() as arithmetic alone, so that the compiler turns a loop over it into vector code.
#pragma once

#include <bit>
#include <cstdint>

namespace xlembed::kernels {

// For x <= 88: relative error at most 2^-22 (tested over every exponent); exactly 0 below -87.33, where
// float32 becomes subnormal; NaN stays NaN.
//   exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln(2) / 2; the polynomial is Cephes' expf (S. Moshier).
inline float vector_exp(float x) {
  constexpr float lowest = -87.33f;
  constexpr float rounder = 12582912.0f;  // 1.5 * 2^23: adding it leaves round(x) in the lowest bits
  const float shifted = x * 1.44269504088896341f + rounder;
  const float n = shifted - rounder;
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const uint32_t exponent = std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(rounder) + 127u;
  const float result = p * std::bit_cast<float>(exponent << 23);
  // A mask, not a choice: for that GCC skips the polynomial by a branch, and without AVX-512 no loop becomes
  // vector code.
  const uint32_t kept = 0u - static_cast<uint32_t>(!(x < lowest));
  return std::bit_cast<float>(std::bit_cast<uint32_t>(result) & kept);
}

// For results that bfloat16 keeps: relative error at most 1.1e-4 for -87 <= x <= 0, at two thirds of the
// work; below, about 1e-38.
inline float vector_exp_coarse(float x) {
  constexpr float lowest = -126.0f;
  constexpr float rounder = 12582912.0f;  // as above
  const float power = x * 1.44269504088896341f, clamped = power < lowest ? lowest : power;
  const float shifted = clamped + rounder;
  const float r = clamped - (shifted - rounder);
  float p = 0.05600584298372269f;  // a least-maximum fit of 2^r
  p = p * r + 0.24263997375965118f;
  p = p * r + 0.6931053400039673f;
  p = p * r + 0.9999244809150696f;
  const uint32_t exponent = std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(rounder) + 127u;
  return p * std::bit_cast<float>(exponent << 23);
}

}  // namespace xlembed::kernels
