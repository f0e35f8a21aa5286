#include "kernels/launch.cuh"
#include "kernels/normalize.h"
#include "kernels/reduce.cuh"

namespace xlembed::kernels::cuda {
namespace {

// One warp to a row. Rows that fit stay in its registers; the second pass over longer ones finds them in a
// cache.
// Every lane receives the sum.
template <typename T, int width>
__device__ float dot(const T* a, const T* b, int64_t D) {
  float sum = 0;
#pragma unroll 4
  for (int64_t d = threadIdx.x * width; d < D; d += warp_lanes * width) {
    const Vector<T, width> u = load_vector<T, width>(a + d), v = load_vector<T, width>(b + d);
#pragma unroll
    for (int k = 0; k < width; ++k) sum += to_float(u.values[k]) * to_float(v.values[k]);
  }
  return warp_sum(sum);
}

template <typename T, int width>
__global__ void forward(const T* input, int64_t rows, int64_t D, T* output, float* norms) {
  const int64_t r = row_of_warp();
  if (r >= rows) return;
  const T* x = input + r * D;
  const float norm = sqrtf(dot<T, width>(x, x, D));
  const float divisor = norm < normalize_epsilon ? normalize_epsilon : norm;
  if (threadIdx.x == 0) norms[r] = norm;
#pragma unroll 4
  for (int64_t d = threadIdx.x * width; d < D; d += warp_lanes * width) {
    Vector<T, width> v = load_vector<T, width>(x + d);
#pragma unroll
    for (int k = 0; k < width; ++k) store(&v.values[k], to_float(v.values[k]) / divisor);
    store_vector(output + r * D + d, v);
  }
}

template <typename T>
using Row = WarpRow<T, vector_width<T>>;

template <typename T>
__global__ void forward_held(const T* input, int64_t rows, int64_t D, T* output, float* norms) {
  const int64_t r = row_of_warp();
  if (r >= rows) return;
  Row<T> x;
  x.load(input + r * D, D);
  float sum = 0;
  x.each([&](int p, int k) {
    const float value = to_float(x.values[p].values[k]);
    sum += value * value;
  });
  const float norm = sqrtf(warp_sum(sum));
  const float divisor = norm < normalize_epsilon ? normalize_epsilon : norm;
  if (threadIdx.x == 0) norms[r] = norm;
  x.each([&](int p, int k) { store(&x.values[p].values[k], to_float(x.values[p].values[k]) / divisor); });
  x.store(output + r * D, D);
}

template <typename T>
__global__ void backward_held(const T* input, const float* norms, const T* output_gradient, int64_t rows,
                              int64_t D, T* input_gradient) {
  const int64_t r = row_of_warp();
  if (r >= rows) return;
  Row<T> x, g;
  x.load(input + r * D, D);
  g.load(output_gradient + r * D, D);
  const bool tiny = norms[r] < normalize_epsilon;
  const float inverse = 1.0f / (tiny ? normalize_epsilon : norms[r]);
  float sum = 0;
  x.each([&](int p, int k) { sum += to_float(x.values[p].values[k]) * to_float(g.values[p].values[k]); });
  sum = warp_sum(sum);
  const float along = tiny ? 0.0f : sum * inverse * inverse;
  x.each([&](int p, int k) {
    const float value = to_float(g.values[p].values[k]) - to_float(x.values[p].values[k]) * along;
    store(&g.values[p].values[k], value * inverse);
  });
  g.store(input_gradient + r * D, D);
}

template <typename T, int width>
__global__ void backward(const T* input, const float* norms, const T* output_gradient, int64_t rows,
                         int64_t D, T* input_gradient) {
  const int64_t r = row_of_warp();
  if (r >= rows) return;
  const T *x = input + r * D, *g = output_gradient + r * D;
  const bool tiny = norms[r] < normalize_epsilon;
  const float inverse = 1.0f / (tiny ? normalize_epsilon : norms[r]);
  const float along = tiny ? 0.0f : dot<T, width>(x, g, D) * inverse * inverse;
#pragma unroll 4
  for (int64_t d = threadIdx.x * width; d < D; d += warp_lanes * width) {
    const Vector<T, width> u = load_vector<T, width>(x + d);
    Vector<T, width> v = load_vector<T, width>(g + d);
#pragma unroll
    for (int k = 0; k < width; ++k) {
      store(&v.values[k], (to_float(v.values[k]) - to_float(u.values[k]) * along) * inverse);
    }
    store_vector(input_gradient + r * D + d, v);
  }
}

}  // namespace

template <typename T>
void normalize_forward(const T* input, int64_t rows, int64_t dimensions, T* output, float* norms,
                       CudaStream stream) {
  const dim3 block(warp_lanes, rows_per_block);
  const bool has_vectors = rows_are_vectors(input, dimensions) && rows_are_vectors(output, dimensions);
  const auto kernel = !has_vectors                    ? forward<T, 1>
                      : dimensions <= Row<T>::longest ? forward_held<T>
                                                      : forward<T, vector_width<T>>;
  launch(kernel, blocks_for(rows, rows_per_block), block, 0, stream, input, rows, dimensions, output, norms);
}

template <typename T>
void normalize_backward(const T* input, const float* norms, const T* output_gradient, int64_t rows,
                        int64_t dimensions, T* input_gradient, CudaStream stream) {
  const dim3 block(warp_lanes, rows_per_block);
  const bool has_vectors = rows_are_vectors(input, dimensions) &&
                           rows_are_vectors(output_gradient, dimensions) &&
                           rows_are_vectors(input_gradient, dimensions);
  const auto kernel = !has_vectors                    ? backward<T, 1>
                      : dimensions <= Row<T>::longest ? backward_held<T>
                                                      : backward<T, vector_width<T>>;
  launch(kernel, blocks_for(rows, rows_per_block), block, 0, stream, input, norms, output_gradient, rows,
         dimensions, input_gradient);
}

template void normalize_forward(const float*, int64_t, int64_t, float*, float*, CudaStream);
template void normalize_forward(const bfloat16*, int64_t, int64_t, bfloat16*, float*, CudaStream);
template void normalize_backward(const float*, const float*, const float*, int64_t, int64_t, float*,
                                 CudaStream);
template void normalize_backward(const bfloat16*, const float*, const bfloat16*, int64_t, int64_t, bfloat16*,
                                 CudaStream);

}  // namespace xlembed::kernels::cuda
