#include "kernels/dropout.h"
#include "kernels/launch.cuh"
#include "kernels/reduce.cuh"

namespace xlembed::kernels::cuda {
namespace {

constexpr int threads_per_block = 256;

// A thread to `width` neighbours of a row.
template <typename T, int width>
__global__ void __launch_bounds__(threads_per_block)
    drop(const T* input, const int32_t* keys, int64_t vectors, int64_t vectors_of_row, DropoutRule rule,
         T* output) {
  const int64_t k = static_cast<int64_t>(blockIdx.x) * threads_per_block + threadIdx.x;
  if (k >= vectors) return;
  const int64_t row = k / vectors_of_row;
  const auto column = static_cast<uint32_t>(k - row * vectors_of_row) * width;
  const uint32_t key = dropout_row(keys[row], rule.site);
  Vector<T, width> x = load_vector<T, width>(input + k * width);
#pragma unroll
  for (int i = 0; i < width; ++i) {
    const bool keeps = dropout_keeps(key, column + i, rule.threshold);
    store(&x.values[i], keeps ? to_float(x.values[i]) * rule.scale : 0.0f);
  }
  store_vector(output + k * width, x);
}

template <int width, typename T>
void launch_drop(const T* input, const int32_t* keys, int64_t rows, int64_t columns, const DropoutRule& rule,
                 T* output, CudaStream stream) {
  const int64_t vectors = rows * columns / width;
  launch(drop<T, width>, blocks_for(vectors, threads_per_block), threads_per_block, 0, stream, input, keys,
         vectors, columns / width, rule, output);
}

}  // namespace

template <typename T>
void dropout(const T* input, const int32_t* keys, int64_t rows, int64_t columns, const DropoutRule& rule,
             T* output, CudaStream stream) {
  const bool in_vectors = rows_are_vectors(input, columns) && rows_are_vectors(output, columns);
  const auto launch_as = in_vectors ? launch_drop<vector_width<T>, T> : launch_drop<1, T>;
  launch_as(input, keys, rows, columns, rule, output, stream);
}

template void dropout(const float*, const int32_t*, int64_t, int64_t, const DropoutRule&, float*, CudaStream);
template void dropout(const bfloat16*, const int32_t*, int64_t, int64_t, const DropoutRule&, bfloat16*,
                      CudaStream);

}  // namespace xlembed::kernels::cuda
