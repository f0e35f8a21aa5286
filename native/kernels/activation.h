// Activation functions as arithmetic alone, so that the compiler turns a loop over them into vector code.
#pragma once

#include "kernels/vector_exp.h"

namespace xlembed::kernels {

enum class Activation { none, gelu, gelu_tanh, relu };

// |error| <= 3e-7. erf(u) = u p(u^2) for |u| <= 3.8, a least-maximum fit of degree 14 in t = 2 u^2 / 3.8^2 -
// 1; beyond, 1 - |erf| < 8e-8.
inline float vector_erf(float u) {
  constexpr float kCoefficients[] = {0.3721076250076294f,    -0.18564119935035706f,   0.13773950934410095f,
                                     -0.11118557304143906f,  0.09083271026611328f,    -0.07251549512147903f,
                                     0.05505656450986862f,   -0.03893965110182762f,   0.026693027466535568f,
                                     -0.018333276733756065f, 0.009949518367648125f,   -0.0032994672656059265f,
                                     0.0023672785609960556f, -0.0026957597583532333f, 0.001022086013108492f};
  constexpr float limit = 3.8f;
  const float low = u < -limit ? -limit : u, clamped = low > limit ? limit : low;
  const float t = clamped * clamped * (2.0f / (limit * limit)) - 1.0f;
  float p = kCoefficients[14];
#pragma GCC unroll 14
  for (int k = 13; k >= 0; --k) p = p * t + kCoefficients[k];
  return clamped * p;
}

// x Phi(x) (Hendrycks and Gimpel 2016)
inline float vector_gelu(float x) { return 0.5f * x * (1.0f + vector_erf(x * 0.70710678118654752f)); }

// For results that bfloat16 keeps: off by at most 3.5e-5 |x|, at half the work. erf(x / sqrt(2)) = x q(x^2)
// for |x| <= 4.1, a least-maximum fit that is 1 at the end.
inline float vector_gelu_coarse(float x) {
  constexpr float kCoefficients[] = {
      0.7976148128509521f,    -0.13213811814785004f,    0.019170280545949936f,   -0.002044565277174115f,
      0.0001527964195702225f, -7.4565427894413006e-06f, 2.1058455956790567e-07f, -2.5868553965580077e-09f};
  constexpr float limit = 4.1012193308819755f;
  const float low = x < -limit ? -limit : x, clamped = low > limit ? limit : low;
  const float square = clamped * clamped;
  float q = kCoefficients[7];
#pragma GCC unroll 7
  for (int k = 6; k >= 0; --k) q = q * square + kCoefficients[k];
  const float half = 0.5f * x;
  return half + half * (clamped * q);
}

// With tanh for erf: x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3))
inline float vector_gelu_tanh(float x) {
  const float twice = 1.5957691216057308f * (x + 0.044715f * x * x * x);
  const float exponent = twice < -80.0f ? 80.0f : -twice;
  return x / (1.0f + vector_exp(exponent));
}

inline float vector_relu(float x) { return x < 0.0f ? 0.0f : x; }

}  // namespace xlembed::kernels
