#include <cmath>

#include "kernels/launch.cuh"
#include "kernels/pool.h"
#include "kernels/reduce.cuh"

namespace xlembed::kernels::cuda {
namespace {

// A block is 32 neighbouring columns' vectors x 8 tokens; the blocks of a sequence are neighbours.
constexpr int token_lanes = 8;

template <int width>
__host__ __device__ int64_t blocks_of_sequence(int64_t D) {
  return (D + warp_lanes * width - 1) / (warp_lanes * width);
}

template <int width>
unsigned grid_of(PoolShape shape) {
  return blocks_for(shape.sequences * blocks_of_sequence<width>(shape.dimensions), 1);
}

// What a block is for, and each of its threads.
struct Place {
  int64_t sequence, column;
};
template <int width>
__device__ Place place_of(int64_t D) {
  const int64_t blocks = blocks_of_sequence<width>(D);
  return {blockIdx.x / blocks, (blockIdx.x % blocks * warp_lanes + threadIdx.x) * width};
}

// Each of the eight token lanes adds every eighth token; their sums are added in order.
template <typename T, int width>
__global__ void mean_forward(const T* hidden, const int32_t* cumulative, int64_t D, T* pooled) {
  __shared__ float parts[token_lanes][warp_lanes * width];
  const auto [b, d] = place_of<width>(D);
  const int32_t begin = cumulative[b], end = cumulative[b + 1];
  float sum[width] = {};
  if (d < D) {
#pragma unroll 4
    for (int64_t t = begin + static_cast<int32_t>(threadIdx.y); t < end; t += token_lanes) {
      const Vector<T, width> row = load_vector<T, width>(hidden + t * D + d);
#pragma unroll
      for (int k = 0; k < width; ++k) sum[k] += to_float(row.values[k]);
    }
  }
#pragma unroll
  for (int k = 0; k < width; ++k) parts[threadIdx.y][k * warp_lanes + threadIdx.x] = sum[k];
  __syncthreads();
  if (threadIdx.y != 0 || d >= D) return;
  const float share = end > begin ? 1.0f / static_cast<float>(end - begin) : 0.0f;
  Vector<T, width> result;
#pragma unroll
  for (int k = 0; k < width; ++k) {
    float total = 0;
#pragma unroll
    for (int lane = 0; lane < token_lanes; ++lane) total += parts[lane][k * warp_lanes + threadIdx.x];
    store(&result.values[k], total * share);
  }
  store_vector(pooled + b * D + d, result);
}

template <typename T, int width>
__global__ void first_forward(const T* hidden, const int32_t* cumulative, int64_t D, T* pooled) {
  const auto [b, d] = place_of<width>(D);
  if (d >= D || threadIdx.y != 0) return;
  const int64_t begin = cumulative[b];
  Vector<T, width> result = {};
  if (begin < cumulative[b + 1]) result = load_vector<T, width>(hidden + begin * D + d);
  store_vector(pooled + b * D + d, result);
}

// Whether value at token t takes the place of best at token winner: larger, or as large and earlier; a NaN
// wins.
__device__ bool wins(float value, int32_t t, float best, int32_t winner) {
  const bool value_is_nan = value != value, best_is_nan = best != best;
  if (value_is_nan || best_is_nan) return value_is_nan && (!best_is_nan || t < winner);
  return value > best || (value == best && t < winner);
}

template <typename T, int width>
__global__ void max_forward(const T* hidden, const int32_t* cumulative, int64_t D, T* pooled,
                            int32_t* winners) {
  __shared__ float values[token_lanes][warp_lanes * width];
  __shared__ int32_t tokens[token_lanes][warp_lanes * width];
  const auto [b, d] = place_of<width>(D);
  const int32_t begin = cumulative[b], end = cumulative[b + 1];
  float best[width];
  int32_t winner[width];
#pragma unroll
  for (int k = 0; k < width; ++k) {
    best[k] = -INFINITY;
    winner[k] = INT32_MAX;  // loses every tie
  }
  if (d < D) {
#pragma unroll 4
    for (int32_t t = begin + static_cast<int32_t>(threadIdx.y); t < end; t += token_lanes) {
      const Vector<T, width> row = load_vector<T, width>(hidden + t * D + d);
#pragma unroll
      for (int k = 0; k < width; ++k) {
        const float value = to_float(row.values[k]);
        if (!wins(value, t, best[k], winner[k])) continue;
        best[k] = value;
        winner[k] = t;
      }
    }
  }
#pragma unroll
  for (int k = 0; k < width; ++k) {
    values[threadIdx.y][k * warp_lanes + threadIdx.x] = best[k];
    tokens[threadIdx.y][k * warp_lanes + threadIdx.x] = winner[k];
  }
  __syncthreads();
  if (threadIdx.y != 0 || d >= D) return;
  Vector<T, width> result;
#pragma unroll
  for (int k = 0; k < width; ++k) {
    const int column = k * warp_lanes + static_cast<int>(threadIdx.x);
#pragma unroll
    for (int lane = 1; lane < token_lanes; ++lane) {
      if (!wins(values[lane][column], tokens[lane][column], best[k], winner[k])) continue;
      best[k] = values[lane][column];
      winner[k] = tokens[lane][column];
    }
    store(&result.values[k], begin < end ? best[k] : 0.0f);
    winners[b * D + d + k] = begin < end ? winner[k] : -1;
  }
  store_vector(pooled + b * D + d, result);
}

template <typename T, int width>
__global__ void mean_backward(const T* pooled_gradient, const int32_t* cumulative, int64_t D,
                              T* hidden_gradient) {
  const auto [b, d] = place_of<width>(D);
  const int32_t begin = cumulative[b], end = cumulative[b + 1];
  if (d >= D || begin == end) return;
  const float share = 1.0f / static_cast<float>(end - begin);
  Vector<T, width> part = load_vector<T, width>(pooled_gradient + b * D + d);
#pragma unroll
  for (int k = 0; k < width; ++k) store(&part.values[k], to_float(part.values[k]) * share);
  for (int64_t t = begin + static_cast<int32_t>(threadIdx.y); t < end; t += token_lanes) {
    store_vector(hidden_gradient + t * D + d, part);
  }
}

// The gradient of a dimension goes to one token, the winner.
template <typename T, int width>
__global__ void max_backward(const T* pooled_gradient, const int32_t* winners, const int32_t* cumulative,
                             int64_t D, T* hidden_gradient) {
  const auto [b, d] = place_of<width>(D);
  const int32_t begin = cumulative[b], end = cumulative[b + 1];
  if (d >= D) return;
  const Vector<T, width> gradient = load_vector<T, width>(pooled_gradient + b * D + d);
  int32_t chosen[width];
#pragma unroll
  for (int k = 0; k < width; ++k) chosen[k] = winners[b * D + d + k];
  for (int32_t t = begin + static_cast<int32_t>(threadIdx.y); t < end; t += token_lanes) {
    Vector<T, width> part;
#pragma unroll
    for (int k = 0; k < width; ++k) part.values[k] = chosen[k] == t ? gradient.values[k] : T{};
    store_vector(hidden_gradient + static_cast<int64_t>(t) * D + d, part);
  }
}

// The sequence of token t, found by the lanes of a warp together.
__device__ int64_t sequence_of(const int32_t* cumulative, int64_t sequences, int64_t t) {
  int64_t low = 0, high = sequences;  // it is in [low, high)
  while (high - low > 1) {
    const int64_t step = (high - low + warp_lanes - 1) / warp_lanes, probe = low + threadIdx.x * step;
    const int before = __popc(__ballot_sync(whole_warp, probe < high && cumulative[probe] <= t));
    low += (before - 1) * step;
    high = min(high, low + step);
  }
  return low;
}

// Nearly all zeros: a warp to a token, in order, so that what is written at a time lies together.
template <typename T, int width>
__global__ void first_backward(const T* pooled_gradient, const int32_t* cumulative, int64_t sequences,
                               int64_t D, T* hidden_gradient) {
  const int64_t tokens = cumulative[sequences], warps = static_cast<int64_t>(gridDim.x) * token_lanes;
  for (int64_t t = static_cast<int64_t>(blockIdx.x) * token_lanes + threadIdx.y; t < tokens; t += warps) {
    const int64_t b = sequence_of(cumulative, sequences, t);
    const bool is_first = t == cumulative[b];
#pragma unroll 4
    for (int64_t d = threadIdx.x * width; d < D; d += warp_lanes * width) {
      Vector<T, width> part = {};
      if (is_first) part = load_vector<T, width>(pooled_gradient + b * D + d);
      store_vector(hidden_gradient + t * D + d, part);
    }
  }
}

// As many blocks as run at a time: they go on from token to token.
template <int>
unsigned grid_of_tokens(PoolShape) {
  return static_cast<unsigned>(multiprocessors() * 8);
}

constexpr dim3 block_shape() { return dim3(warp_lanes, token_lanes); }

}  // namespace

// Runs the kernel with 16-byte accesses where both tensors' rows allow it.
#define XLEMBED_POOL_LAUNCH(kernel, in, out, grid, ...)                                    \
  if (shape.sequences == 0 || shape.dimensions == 0) return;                               \
  if (rows_are_vectors(in, shape.dimensions) && rows_are_vectors(out, shape.dimensions)) { \
    constexpr int width = vector_width<T>;                                                 \
    launch(kernel<T, width>, grid<width>(shape), block_shape(), 0, stream, __VA_ARGS__);   \
  } else {                                                                                 \
    launch(kernel<T, 1>, grid<1>(shape), block_shape(), 0, stream, __VA_ARGS__);           \
  }

template <typename T>
void pool_mean_forward(const T* hidden, const int32_t* cumulative, PoolShape shape, T* pooled,
                       CudaStream stream) {
  XLEMBED_POOL_LAUNCH(mean_forward, hidden, pooled, grid_of, hidden, cumulative, shape.dimensions, pooled)
}

template <typename T>
void pool_mean_backward(const T* pooled_gradient, const int32_t* cumulative, PoolShape shape,
                        T* hidden_gradient, CudaStream stream) {
  XLEMBED_POOL_LAUNCH(mean_backward, pooled_gradient, hidden_gradient, grid_of, pooled_gradient, cumulative,
                      shape.dimensions, hidden_gradient)
}

template <typename T>
void pool_first_forward(const T* hidden, const int32_t* cumulative, PoolShape shape, T* pooled,
                        CudaStream stream) {
  XLEMBED_POOL_LAUNCH(first_forward, hidden, pooled, grid_of, hidden, cumulative, shape.dimensions, pooled)
}

template <typename T>
void pool_first_backward(const T* pooled_gradient, const int32_t* cumulative, PoolShape shape,
                         T* hidden_gradient, CudaStream stream) {
  XLEMBED_POOL_LAUNCH(first_backward, pooled_gradient, hidden_gradient, grid_of_tokens, pooled_gradient,
                      cumulative, shape.sequences, shape.dimensions, hidden_gradient)
}

template <typename T>
void pool_max_forward(const T* hidden, const int32_t* cumulative, PoolShape shape, T* pooled,
                      int32_t* winners, CudaStream stream) {
  XLEMBED_POOL_LAUNCH(max_forward, hidden, pooled, grid_of, hidden, cumulative, shape.dimensions, pooled,
                      winners)
}

template <typename T>
void pool_max_backward(const T* pooled_gradient, const int32_t* winners, const int32_t* cumulative,
                       PoolShape shape, T* hidden_gradient, CudaStream stream){
    XLEMBED_POOL_LAUNCH(max_backward, pooled_gradient, hidden_gradient, grid_of, pooled_gradient, winners,
                        cumulative, shape.dimensions, hidden_gradient)}

#define XLEMBED_POOL(T)                                                                          \
  template void pool_mean_forward(const T*, const int32_t*, PoolShape, T*, CudaStream);          \
  template void pool_mean_backward(const T*, const int32_t*, PoolShape, T*, CudaStream);         \
  template void pool_first_forward(const T*, const int32_t*, PoolShape, T*, CudaStream);         \
  template void pool_first_backward(const T*, const int32_t*, PoolShape, T*, CudaStream);        \
  template void pool_max_forward(const T*, const int32_t*, PoolShape, T*, int32_t*, CudaStream); \
  template void pool_max_backward(const T*, const int32_t*, const int32_t*, PoolShape, T*, CudaStream);
XLEMBED_POOL(float) XLEMBED_POOL(bfloat16)

}  // namespace xlembed::kernels::cuda
