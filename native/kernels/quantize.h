// Embeddings in fewer bits.
//   int8:   scale = max_d |x_d| / 127, q_d = round(x_d / scale), ties to even; x_d is about q_d * scale
//   binary: bit d = [x_d > 0], eight to a byte, the first in the highest bit (numpy.packbits; the "ubinary"
//           precision of sentence-transformers); a last byte is filled up with zeros
#pragma once

#include <cstdint>

#include "kernels/stream.h"

namespace xlembed::kernels {

// input (rows, D) finite, output (rows, D), scales (rows); a row of zeros has scale 0.
void quantize_int8(const float* input, int64_t rows, int64_t dimensions, int8_t* output, float* scales);

// input (rows, D), output (rows, ceil(D / 8))
void quantize_binary(const float* input, int64_t rows, int64_t dimensions, uint8_t* output);

namespace cuda {

void quantize_int8(const float* input, int64_t rows, int64_t dimensions, int8_t* output, float* scales,
                   CudaStream stream);
void quantize_binary(const float* input, int64_t rows, int64_t dimensions, uint8_t* output,
                     CudaStream stream);

}  // namespace cuda
}  // namespace xlembed::kernels
