#include "kernels/pool.h"

#include <algorithm>
#include <vector>

#include "kernels/store_rows.h"

namespace xlembed::kernels {

namespace {

template <typename T>
bool streams_rows(const int32_t* cumulative, PoolShape shape) {
  const int64_t bytes = static_cast<int64_t>(sizeof(T)) * shape.dimensions;
  return (cumulative[shape.sequences] - cumulative[0]) * bytes >= streamed_bytes;
}

template <typename T>
void write_row(bool streams, const T* values, int64_t count, T* out) {
  if (streams) {
    stream_row(values, count, out);
  } else {
    std::copy_n(values, count, out);
  }
}

}  // namespace

// Sequences differ in length, so threads take them as they become free; each sequence is one thread's work,
// which keeps the order of every sum.
template <typename T>
void pool_mean_forward(const T* hidden, const int32_t* cumulative, PoolShape shape, T* pooled) {
  const int64_t D = shape.dimensions;
#pragma omp parallel
  {
    std::vector<float> sum(D);
#pragma omp for schedule(dynamic, 4)
    for (int64_t b = 0; b < shape.sequences; ++b) {
      std::fill(sum.begin(), sum.end(), 0.0f);
      for (int64_t t = cumulative[b]; t < cumulative[b + 1]; ++t) {
        const T* row = hidden + t * D;
        float* total = sum.data();
#pragma omp simd
        for (int64_t d = 0; d < D; ++d) total[d] += to_float(row[d]);
      }
      const int32_t length = cumulative[b + 1] - cumulative[b];
      const float share = length > 0 ? 1.0f / static_cast<float>(length) : 0.0f;
      for (int64_t d = 0; d < D; ++d) store(pooled + b * D + d, sum[d] * share);
    }
  }
}

template <typename T>
void pool_mean_backward(const T* pooled_gradient, const int32_t* cumulative, PoolShape shape,
                        T* hidden_gradient) {
  const int64_t D = shape.dimensions;
  const bool streams = streams_rows<T>(cumulative, shape);
#pragma omp parallel
  {
    std::vector<T> part(D);
#pragma omp for schedule(dynamic, 4)
    for (int64_t b = 0; b < shape.sequences; ++b) {
      const int32_t length = cumulative[b + 1] - cumulative[b];
      if (length == 0) continue;
      const float share = 1.0f / static_cast<float>(length);
      for (int64_t d = 0; d < D; ++d) store(&part[d], to_float(pooled_gradient[b * D + d]) * share);
      for (int64_t t = cumulative[b]; t < cumulative[b + 1]; ++t) {
        write_row(streams, part.data(), D, hidden_gradient + t * D);
      }
    }
    if (streams) finish_streaming();
  }
}

template <typename T>
void pool_first_forward(const T* hidden, const int32_t* cumulative, PoolShape shape, T* pooled) {
  const int64_t D = shape.dimensions;
  for (int64_t b = 0; b < shape.sequences; ++b) {
    if (cumulative[b] == cumulative[b + 1]) {
      std::fill_n(pooled + b * D, D, T{});
    } else {
      std::copy_n(hidden + cumulative[b] * D, D, pooled + b * D);
    }
  }
}

template <typename T>
void pool_first_backward(const T* pooled_gradient, const int32_t* cumulative, PoolShape shape,
                         T* hidden_gradient) {
  const int64_t D = shape.dimensions;
#pragma omp parallel for schedule(dynamic, 4)
  for (int64_t b = 0; b < shape.sequences; ++b) {
    const int64_t begin = cumulative[b], end = cumulative[b + 1];
    if (begin == end) continue;
    std::copy_n(pooled_gradient + b * D, D, hidden_gradient + begin * D);
    std::fill_n(hidden_gradient + (begin + 1) * D, (end - begin - 1) * D, T{});
  }
}

// A NaN wins, as it does in torch.max: it must not vanish from the loss.
template <typename T>
void pool_max_forward(const T* hidden, const int32_t* cumulative, PoolShape shape, T* pooled,
                      int32_t* winners) {
  const int64_t D = shape.dimensions;
#pragma omp parallel for schedule(dynamic, 4)
  for (int64_t b = 0; b < shape.sequences; ++b) {
    const int32_t begin = cumulative[b], end = cumulative[b + 1];
    T* best = pooled + b * D;
    int32_t* winner = winners + b * D;
    if (begin == end) {
      std::fill_n(best, D, T{});
      std::fill_n(winner, D, -1);
      continue;
    }
    std::copy_n(hidden + begin * D, D, best);
    std::fill_n(winner, D, begin);
    for (int32_t t = begin + 1; t < end; ++t) {
      const T* row = hidden + t * D;
#pragma omp simd
      for (int64_t d = 0; d < D; ++d) {
        const float value = to_float(row[d]), held = to_float(best[d]);
        // Larger or a NaN, and the held one is none; without a branch, for vector code.
        const bool wins = !(value <= held) & (held == held);
        best[d] = wins ? row[d] : best[d];
        winner[d] = wins ? t : winner[d];
      }
    }
  }
}

template <typename T>
void pool_max_backward(const T* pooled_gradient, const int32_t* winners, const int32_t* cumulative,
                       PoolShape shape, T* hidden_gradient) {
  const int64_t D = shape.dimensions;
#pragma omp parallel for schedule(dynamic, 4)
  for (int64_t b = 0; b < shape.sequences; ++b) {
    const int64_t begin = cumulative[b], end = cumulative[b + 1];
    if (begin == end) continue;
    std::fill_n(hidden_gradient + begin * D, (end - begin) * D, T{});
    for (int64_t d = 0; d < D; ++d) hidden_gradient[winners[b * D + d] * D + d] = pooled_gradient[b * D + d];
  }
}

#define XLEMBED_POOL(T)                                                              \
  template void pool_mean_forward(const T*, const int32_t*, PoolShape, T*);          \
  template void pool_mean_backward(const T*, const int32_t*, PoolShape, T*);         \
  template void pool_first_forward(const T*, const int32_t*, PoolShape, T*);         \
  template void pool_first_backward(const T*, const int32_t*, PoolShape, T*);        \
  template void pool_max_forward(const T*, const int32_t*, PoolShape, T*, int32_t*); \
  template void pool_max_backward(const T*, const int32_t*, const int32_t*, PoolShape, T*);
XLEMBED_POOL(float)
XLEMBED_POOL(bfloat16)

}  // namespace xlembed::kernels
