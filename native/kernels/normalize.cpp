#include "kernels/normalize.h"

#include <algorithm>
#include <cmath>

#include "kernels/lanes.h"
#include "kernels/store_rows.h"

namespace xlembed::kernels {

namespace {

// 64 sums, of which none waits for another.
template <typename T>
float dot(const T* a, const T* b, int64_t count) {
  constexpr int64_t parts = 64, vectors = parts / kLanes;
  Floats sums[vectors] = {};
  const int64_t whole = count / parts * parts;
  for (int64_t d = 0; d < whole; d += parts) {
    XLEMBED_UNROLL
    for (int64_t v = 0; v < vectors; ++v)
      sums[v] = fma(load(a + d + v * kLanes), load(b + d + v * kLanes), sums[v]);
  }
  alignas(64) float separate[parts];
  for (int64_t v = 0; v < vectors; ++v) store(separate + v * kLanes, sums[v]);
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < parts; ++i) sum += separate[i];
#pragma omp simd reduction(+ : sum)
  for (int64_t d = whole; d < count; ++d) sum += to_float(a[d]) * to_float(b[d]);
  return sum;
}

}  // namespace

template <typename T>
void normalize_forward(const T* input, int64_t rows, int64_t dimensions, T* output, float* norms) {
#pragma omp parallel if (rows * dimensions > 32768)
  {
    RowWriter<T> writer(rows * dimensions * static_cast<int64_t>(sizeof(T)), dimensions);
#pragma omp for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      const T* x = input + r * dimensions;
      norms[r] = std::sqrt(dot(x, x, dimensions));
      const float inverse = 1.0f / (norms[r] < normalize_epsilon ? normalize_epsilon : norms[r]);
      writer.write_values(output + r * dimensions, [&](int64_t d) { return to_float(x[d]) * inverse; });
    }
  }
}

// With x instead of y: dx = g / |x| - x (x . g) / |x|^3, written so that no power of |x| under- or overflows.
template <typename T>
void normalize_backward(const T* input, const float* norms, const T* output_gradient, int64_t rows,
                        int64_t dimensions, T* input_gradient) {
#pragma omp parallel if (rows * dimensions > 32768)
  {
    RowWriter<T> writer(rows * dimensions * static_cast<int64_t>(sizeof(T)), dimensions);
#pragma omp for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      const T* x = input + r * dimensions;
      const T* g = output_gradient + r * dimensions;
      const bool tiny = norms[r] < normalize_epsilon;
      const float inverse = 1.0f / (tiny ? normalize_epsilon : norms[r]);
      const float along = tiny ? 0.0f : dot(x, g, dimensions) * inverse * inverse;
      writer.write_values(input_gradient + r * dimensions,
                          [&](int64_t d) { return (to_float(g[d]) - to_float(x[d]) * along) * inverse; });
    }
  }
}

template void normalize_forward(const float*, int64_t, int64_t, float*, float*);
template void normalize_forward(const bfloat16*, int64_t, int64_t, bfloat16*, float*);
template void normalize_backward(const float*, const float*, const float*, int64_t, int64_t, float*);
template void normalize_backward(const bfloat16*, const float*, const bfloat16*, int64_t, int64_t, bfloat16*);

}  // namespace xlembed::kernels
