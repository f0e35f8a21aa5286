#include "kernels/adamw.h"
#include "kernels/launch.cuh"
#include "kernels/reduce.cuh"

namespace xlembed::kernels::cuda {
namespace {

constexpr int threads = 256;

// Four 16-byte loads in flight per thread, three stores; nothing is read twice.
template <int width>
__global__ void step_kernel(float* parameter, const float* gradient, float* first_moment,
                            float* second_moment, int64_t count, AdamwFactors f) {
  const int64_t k = (static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x) * width;
  if (k >= count) return;
  Vector<float, width> p = load_vector<float, width>(parameter + k);
  const Vector<float, width> g = load_vector<float, width>(gradient + k);
  Vector<float, width> m = load_vector<float, width>(first_moment + k);
  Vector<float, width> v = load_vector<float, width>(second_moment + k);
#pragma unroll
  for (int i = 0; i < width; ++i) adamw_element(f, g.values[i], &p.values[i], &m.values[i], &v.values[i]);
  store_vector(parameter + k, p);
  store_vector(first_moment + k, m);
  store_vector(second_moment + k, v);
}

bool is_vector(const float* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; }

// A fixed grid: each thread adds the same elements in the same order on every run.
template <int width>
__global__ void squares(const float* values, int64_t count, double* parts) {
  constexpr int64_t stride = static_cast<int64_t>(squared_norm_blocks) * threads * width;
  double sum = 0;
#pragma unroll 4
  for (int64_t k = (static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x) * width; k + width <= count;
       k += stride) {
    const Vector<float, width> v = load_vector<float, width>(values + k);
#pragma unroll
    for (int i = 0; i < width; ++i) sum += static_cast<double>(v.values[i]) * v.values[i];
  }
  if (blockIdx.x == 0 && threadIdx.x < count % width) {
    const double last = values[count - count % width + threadIdx.x];
    sum += last * last;
  }
  sum = block_sum<threads>(sum);
  if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

__global__ void add_parts(const double* parts, double* total) {
  double sum = 0;
  for (int b = static_cast<int>(threadIdx.x); b < squared_norm_blocks; b += threads) sum += parts[b];
  sum = block_sum<threads>(sum);
  if (threadIdx.x == 0) *total += sum;
}

}  // namespace

void adamw_step(float* parameter, const float* gradient, float* first_moment, float* second_moment,
                int64_t count, const AdamwStep& step, CudaStream stream) {
  const AdamwFactors f = adamw_factors(step);
  const bool vectors = count % 4 == 0 && is_vector(parameter) && is_vector(gradient) &&
                       is_vector(first_moment) && is_vector(second_moment);
  const int64_t per_block = threads * (vectors ? 4 : 1);
  const unsigned blocks = blocks_for(count, per_block);
  if (vectors) {
    launch(step_kernel<4>, blocks, threads, 0, stream, parameter, gradient, first_moment, second_moment,
           count, f);
  } else {
    launch(step_kernel<1>, blocks, threads, 0, stream, parameter, gradient, first_moment, second_moment,
           count, f);
  }
}

void squared_norm(const float* values, int64_t count, double* workspace, double* total, CudaStream stream) {
  if (is_vector(values)) {
    launch(squares<4>, squared_norm_blocks, threads, 0, stream, values, count, workspace);
  } else {
    launch(squares<1>, squared_norm_blocks, threads, 0, stream, values, count, workspace);
  }
  launch(add_parts, 1, threads, 0, stream, workspace, total);
}

}  // namespace xlembed::kernels::cuda
