#include "kernels/layer_norm.h"

#include <omp.h>

#include <cmath>

namespace xlembed::kernels {
namespace {

// x holds s; two passes, as the one over sums of squares loses digits where the mean is large.
void normalize_row(float* x, const LayerNormWeights& norm, int64_t dimensions) {
  const auto count = static_cast<float>(dimensions);
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t d = 0; d < dimensions; ++d) sum += x[d];
  const float mean = sum / count;
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t d = 0; d < dimensions; ++d) squares += (x[d] - mean) * (x[d] - mean);
  const float inverse = 1.0f / std::sqrt(squares / count + norm.epsilon);
#pragma omp simd
  for (int64_t d = 0; d < dimensions; ++d) x[d] = (x[d] - mean) * inverse * norm.weight[d] + norm.bias[d];
}

bool worth_threads(int64_t values) { return !omp_in_parallel() && values > 32768; }

}  // namespace

void add_layer_norm(float* x, const float* y, LayerNormWeights norm, int64_t rows, int64_t dimensions) {
#pragma omp parallel for schedule(static) if (worth_threads(rows * dimensions))
  for (int64_t r = 0; r < rows; ++r) {
    float* row = x + r * dimensions;
    const float* added = y + r * dimensions;
#pragma omp simd
    for (int64_t d = 0; d < dimensions; ++d) row[d] += added[d];
    normalize_row(row, norm, dimensions);
  }
}

template <typename T>
void embed_layer_norm(const T* words, const T* positions, const T* type, const int64_t* ids,
                      const int64_t* places, LayerNormWeights norm, int64_t rows, int64_t dimensions,
                      float* x) {
#pragma omp parallel for schedule(static) if (worth_threads(rows * dimensions))
  for (int64_t r = 0; r < rows; ++r) {
    const T* word = words + ids[r] * dimensions;
    const T* position = positions + places[r] * dimensions;
    float* row = x + r * dimensions;
#pragma omp simd
    for (int64_t d = 0; d < dimensions; ++d)
      row[d] = to_float(word[d]) + to_float(position[d]) + to_float(type[d]);
    normalize_row(row, norm, dimensions);
  }
}

template void embed_layer_norm(const float*, const float*, const float*, const int64_t*, const int64_t*,
                               LayerNormWeights, int64_t, int64_t, float*);
template void embed_layer_norm(const bfloat16*, const bfloat16*, const bfloat16*, const int64_t*,
                               const int64_t*, LayerNormWeights, int64_t, int64_t, float*);

}  // namespace xlembed::kernels
