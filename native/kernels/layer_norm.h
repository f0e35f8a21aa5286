// Layer normalisation (Ba, Kiros and Hinton 2016) at inference, in place in the float32 residual stream:
//   x = (s - mean(s)) / sqrt(var(s) + epsilon) * weight + bias,  s = x + y
#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"

namespace xlembed::kernels {

struct LayerNormWeights {
  const float* weight;  // (D)
  const float* bias;    // (D)
  float epsilon;
};

// x, y (rows, D)
void add_layer_norm(float* x, const float* y, LayerNormWeights norm, int64_t rows, int64_t dimensions);

// The same of a word's, a position's and the one token type's vectors, T being float or bfloat16:
// words (vocabulary, D), positions (longest, D), type (D), ids (rows) and places (rows) into them, x (rows,
// D)
template <typename T>
void embed_layer_norm(const T* words, const T* positions, const T* type, const int64_t* ids,
                      const int64_t* places, LayerNormWeights norm, int64_t rows, int64_t dimensions,
                      float* x);

}  // namespace xlembed::kernels
