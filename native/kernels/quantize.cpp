#include "kernels/quantize.h"

#include <cmath>

namespace xlembed::kernels {

void quantize_int8(const float* input, int64_t rows, int64_t dimensions, int8_t* output, float* scales) {
#pragma omp parallel for schedule(static) if (rows * dimensions > 32768)
  for (int64_t r = 0; r < rows; ++r) {
    const float* x = input + r * dimensions;
    int8_t* q = output + r * dimensions;
    float largest = 0;
#pragma omp simd reduction(max : largest)
    for (int64_t d = 0; d < dimensions; ++d) largest = std::fabs(x[d]) > largest ? std::fabs(x[d]) : largest;
    scales[r] = largest / 127.0f;
    // A largest value so small that its scale is subnormal could round beyond 127: such a row is zeros as
    // well.
    if (scales[r] < 1.1754944e-38f) scales[r] = 0;
    const float divisor = scales[r] > 0 ? scales[r] : INFINITY;
#pragma omp simd
    for (int64_t d = 0; d < dimensions; ++d) {
      q[d] = static_cast<int8_t>(static_cast<int32_t>(std::nearbyint(x[d] / divisor)));
    }
  }
}

void quantize_binary(const float* input, int64_t rows, int64_t dimensions, uint8_t* output) {
  const int64_t whole = dimensions / 8, bytes = (dimensions + 7) / 8;
#pragma omp parallel for schedule(static) if (rows * dimensions > 32768)
  for (int64_t r = 0; r < rows; ++r) {
    const float* x = input + r * dimensions;
    uint8_t* packed = output + r * bytes;
    for (int64_t b = 0; b < whole; ++b) {
      unsigned byte = 0;
      for (int bit = 0; bit < 8; ++bit) byte |= static_cast<unsigned>(x[b * 8 + bit] > 0) << (7 - bit);
      packed[b] = static_cast<uint8_t>(byte);
    }
    if (bytes > whole) packed[whole] = 0;
    for (int64_t d = whole * 8; d < dimensions; ++d) {
      packed[whole] |= static_cast<uint8_t>((x[d] > 0) << (7 - (d - whole * 8)));
    }
  }
}

}  // namespace xlembed::kernels
