#include <algorithm>
#include <cmath>
#include <type_traits>

#include "kernels/launch.cuh"
#include "kernels/pool.h"
#include "kernels/reduce.cuh"

namespace xlembed::kernels::cuda {
namespace {

// ---- Pooling: a block is 32 neighbouring columns' vectors x 8 tokens; the blocks of a sequence are
// neighbours ----

constexpr int token_lanes = 8;
constexpr dim3 block_shape(warp_lanes, token_lanes);

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
  Vector<int32_t, width> from;
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
    from.values[k] = begin < end ? winner[k] : -1;
  }
  store_vector(winners + b * D + d, from);
  store_vector(pooled + b * D + d, result);
}

// ---- Gradients: a block writes some neighbouring tokens, whole rows in order; what they get of a sequence's
// gradient stays in registers ----

constexpr int most_threads = 256;
constexpr int32_t tokens_of_block = 8;

// `width` dimensions of the gradients of a sequence's tokens, for mean, first and max.
template <typename T, int width>
struct OfEach {
  Vector<T, width> value;
  __device__ Vector<T, width> at(int32_t) const { return value; }
};
template <typename T, int width>
struct OfOne {
  Vector<T, width> value;
  int32_t token;
  __device__ Vector<T, width> at(int32_t t) const { return t == token ? value : Vector<T, width>{}; }
};
template <typename T, int width>
struct OfWinners {
  Vector<T, width> value;
  Vector<int32_t, width> winners;
  __device__ Vector<T, width> at(int32_t t) const {
    Vector<T, width> result;
#pragma unroll
    for (int k = 0; k < width; ++k) result.values[k] = winners.values[k] == t ? value.values[k] : T{};
    return result;
  }
};

// These from the pooled gradient's elements [place, place + width), of the sequence [begin, end).
template <typename T>
struct MeanGradient {
  const T* pooled;
  template <int width>
  __device__ OfEach<T, width> share(int64_t place, int32_t begin, int32_t end) const {
    const float share = 1.0f / static_cast<float>(end - begin);
    OfEach<T, width> of{load_vector<T, width>(pooled + place)};
#pragma unroll
    for (int k = 0; k < width; ++k) store(&of.value.values[k], to_float(of.value.values[k]) * share);
    return of;
  }
};
template <typename T>
struct FirstGradient {
  const T* pooled;
  template <int width>
  __device__ OfOne<T, width> share(int64_t place, int32_t begin, int32_t) const {
    return {load_vector<T, width>(pooled + place), begin};
  }
};
template <typename T>
struct MaxGradient {
  const T* pooled;
  const int32_t* winners;
  template <int width>
  __device__ OfWinners<T, width> share(int64_t place, int32_t, int32_t) const {
    return {load_vector<T, width>(pooled + place), load_vector<int32_t, width>(winners + place)};
  }
};

// The sequence of token t, found by the lanes of a warp together.
__device__ int64_t sequence_of(const int32_t* cumulative, int64_t sequences, int32_t t) {
  int64_t low = 0, high = sequences;  // it is in [low, high)
  while (high - low > 1) {
    const int64_t step = (high - low + warp_lanes - 1) / warp_lanes,
                  probe = low + threadIdx.x % warp_lanes * step;
    const int before = __popc(__ballot_sync(whole_warp, probe < high && cumulative[probe] <= t));
    low += (before - 1) * step;
    high = min(high, low + step);
  }
  return low;
}

template <typename T, int width, typename Gradient>
__global__ void __launch_bounds__(most_threads)
    write_gradient(Gradient gradient, const int32_t* cumulative, PoolShape shape, T* hidden_gradient) {
  const auto first = static_cast<int32_t>(blockIdx.x) * tokens_of_block;
  const int32_t last = min(first + tokens_of_block, cumulative[shape.sequences]);
  const int64_t D = shape.dimensions, first_sequence = sequence_of(cumulative, shape.sequences, first);
  for (int64_t d = threadIdx.x * width; d < D; d += blockDim.x * width) {
    int32_t t = first;
    for (int64_t b = first_sequence; t < last; ++b) {
      const int32_t begin = cumulative[b], end = cumulative[b + 1];
      if (t == end) continue;  // it is empty
      const auto share = gradient.template share<width>(b * D + d, begin, end);
#pragma unroll 4
      for (; t < min(end, last); ++t) store_vector(hidden_gradient + t * D + d, share.at(t));
    }
  }
}

// With 16-byte accesses where both tensors' rows allow it.
template <typename T, typename Body>
void with_width(const T* in, const T* out, PoolShape shape, Body body) {
  if (shape.sequences == 0 || shape.dimensions == 0) return;
  if (rows_are_vectors(in, shape.dimensions) && rows_are_vectors(out, shape.dimensions)) {
    body(std::integral_constant<int, vector_width<T>>());
  } else {
    body(std::integral_constant<int, 1>());
  }
}

template <typename T, typename Gradient>
void launch_gradient(const Gradient& gradient, const int32_t* cumulative, PoolShape shape, T* hidden_gradient,
                     CudaStream stream) {
  with_width(gradient.pooled, hidden_gradient, shape, [&](auto width) {
    const int64_t vectors = (shape.dimensions + width - 1) / width;
    const int64_t warps = (vectors + warp_lanes - 1) / warp_lanes;
    const auto threads = static_cast<unsigned>(std::min<int64_t>(warps * warp_lanes, most_threads));
    launch(write_gradient<T, width, Gradient>, blocks_for(shape.tokens, tokens_of_block), threads, 0, stream,
           gradient, cumulative, shape, hidden_gradient);
  });
}

}  // namespace

template <typename T>
void pool_mean_forward(const T* hidden, const int32_t* cumulative, PoolShape shape, T* pooled,
                       CudaStream stream) {
  with_width(hidden, pooled, shape, [&](auto width) {
    launch(mean_forward<T, width>, grid_of<width>(shape), block_shape, 0, stream, hidden, cumulative,
           shape.dimensions, pooled);
  });
}

template <typename T>
void pool_mean_backward(const T* pooled_gradient, const int32_t* cumulative, PoolShape shape,
                        T* hidden_gradient, CudaStream stream) {
  launch_gradient(MeanGradient<T>{pooled_gradient}, cumulative, shape, hidden_gradient, stream);
}

template <typename T>
void pool_first_forward(const T* hidden, const int32_t* cumulative, PoolShape shape, T* pooled,
                        CudaStream stream) {
  with_width(hidden, pooled, shape, [&](auto width) {
    launch(first_forward<T, width>, grid_of<width>(shape), block_shape, 0, stream, hidden, cumulative,
           shape.dimensions, pooled);
  });
}

template <typename T>
void pool_first_backward(const T* pooled_gradient, const int32_t* cumulative, PoolShape shape,
                         T* hidden_gradient, CudaStream stream) {
  launch_gradient(FirstGradient<T>{pooled_gradient}, cumulative, shape, hidden_gradient, stream);
}

template <typename T>
void pool_max_forward(const T* hidden, const int32_t* cumulative, PoolShape shape, T* pooled,
                      int32_t* winners, CudaStream stream) {
  with_width(hidden, pooled, shape, [&](auto width) {
    launch(max_forward<T, width>, grid_of<width>(shape), block_shape, 0, stream, hidden, cumulative,
           shape.dimensions, pooled, winners);
  });
}

template <typename T>
void pool_max_backward(const T* pooled_gradient, const int32_t* winners, const int32_t* cumulative,
                       PoolShape shape, T* hidden_gradient, CudaStream stream) {
  launch_gradient(MaxGradient<T>{pooled_gradient, winners}, cumulative, shape, hidden_gradient, stream);
}

#define XLEMBED_POOL(T)                                                                          \
  template void pool_mean_forward(const T*, const int32_t*, PoolShape, T*, CudaStream);          \
  template void pool_mean_backward(const T*, const int32_t*, PoolShape, T*, CudaStream);         \
  template void pool_first_forward(const T*, const int32_t*, PoolShape, T*, CudaStream);         \
  template void pool_first_backward(const T*, const int32_t*, PoolShape, T*, CudaStream);        \
  template void pool_max_forward(const T*, const int32_t*, PoolShape, T*, int32_t*, CudaStream); \
  template void pool_max_backward(const T*, const int32_t*, const int32_t*, PoolShape, T*, CudaStream);
XLEMBED_POOL(float) XLEMBED_POOL(bfloat16)

}  // namespace xlembed::kernels::cuda
