#include "kernels/dropout.h"
#include "kernels/launch.cuh"

namespace xlembed::kernels::cuda {
namespace {

constexpr int threads_per_block = 256;

// A thread to an element: the hash costs less than reading x.
template <typename T>
__global__ void drop(const T* input, const int32_t* keys, int64_t count, int64_t columns, DropoutRule rule,
                     T* output) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t k = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; k < count; k += step) {
    const int64_t row = k / columns;
    const auto column = static_cast<uint32_t>(k - row * columns);
    const bool keeps = dropout_keeps(dropout_row(keys[row], rule.site), column, rule.threshold);
    store(output + k, keeps ? to_float(input[k]) * rule.scale : 0.0f);
  }
}

}  // namespace

template <typename T>
void dropout(const T* input, const int32_t* keys, int64_t rows, int64_t columns, const DropoutRule& rule,
             T* output, CudaStream stream) {
  const int64_t count = rows * columns;
  constexpr int64_t most_blocks = 1 << 20;
  const int64_t blocks = (count + threads_per_block - 1) / threads_per_block;
  const auto grid = static_cast<unsigned>(blocks < most_blocks ? blocks : most_blocks);
  launch(drop<T>, grid, threads_per_block, 0, stream, input, keys, count, columns, rule, output);
}

template void dropout(const float*, const int32_t*, int64_t, int64_t, const DropoutRule&, float*, CudaStream);
template void dropout(const bfloat16*, const int32_t*, int64_t, int64_t, const DropoutRule&, bfloat16*,
                      CudaStream);

}  // namespace xlembed::kernels::cuda
