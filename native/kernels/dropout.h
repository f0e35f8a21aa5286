// Dropout (N. Srivastava et al., JMLR 15, 2014) whose mask depends on where an element stands and not on what
// was drawn before it: a batch gives the same masks in one piece, in chunks, and spread over processes.
//   y = x / (1 - p) where hash(key of the row, site, column) >= p 2^32, else 0
// The backward pass is the same call on the gradient: no mask is stored. T is float or bfloat16.
#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"
#include "kernels/stream.h"

namespace xlembed::kernels {

struct DropoutRule {
  uint32_t threshold;  // p 2^32
  uint32_t site;       // which dropout of the model: the same rows have another mask at each
  float scale;         // 1 / (1 - p)
};

// C. Wellons' lowbias32: a flipped bit of x flips each bit of the result with probability close to 1/2.
XLEMBED_BOTH uint32_t mix_bits(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x7FEB352Du;
  x = (x ^ (x >> 15)) * 0x846CA68Bu;
  return x ^ (x >> 16);
}

XLEMBED_BOTH uint32_t dropout_row(int32_t key, uint32_t site) {
  return mix_bits(static_cast<uint32_t>(key) ^ (site * 0x9E3779B9u));
}

XLEMBED_BOTH bool dropout_keeps(uint32_t row, uint32_t column, uint32_t threshold) {
  return mix_bits(row + column * 0x9E3779B9u) >= threshold;
}

// input, output (rows, columns), may be the same; keys (rows)
template <typename T>
void dropout(const T* input, const int32_t* keys, int64_t rows, int64_t columns, const DropoutRule& rule,
             T* output);

namespace cuda {

template <typename T>
void dropout(const T* input, const int32_t* keys, int64_t rows, int64_t columns, const DropoutRule& rule,
             T* output, CudaStream stream);

}  // namespace cuda
}  // namespace xlembed::kernels
