#include "kernels/pool.h"

#include <algorithm>
#include <vector>

#include "kernels/store_rows.h"

namespace xlembed::kernels {

namespace {

// Sequences that a thread takes at a time: one, unless there are so many that taking them would show.
int64_t taken_at_once(PoolShape shape) { return std::max<int64_t>(1, shape.sequences / 512); }

// Of the gradient of all tokens.
template <typename T>
RowWriter<T> token_rows(PoolShape shape) {
  const int64_t row_bytes = static_cast<int64_t>(sizeof(T)) * shape.dimensions;
  return {shape.tokens * row_bytes, shape.dimensions};
}

// Tokens added in one pass over the sums: they are loaded and stored that much more rarely.
constexpr int64_t kTokensAtOnce = 4;
// Tokens from the one that is added to the one that is asked for: memory's latency, where rows are read but
// once.
constexpr int64_t kTokensAhead = 8;

// sum (D) += rows (tokens, D), one after the other. Asks for the rows behind them, even beyond the last one:
// a prefetch reads nothing.
template <int64_t tokens, typename T>
void add_tokens(const T* rows, int64_t D, float* sum) {
  constexpr int64_t line = 64 / sizeof(T);
  for (int64_t first = 0; first < D; first += line) {
    for (int64_t t = 0; t < tokens; ++t) __builtin_prefetch(rows + (kTokensAhead + t) * D + first);
    const auto add = [&](int64_t count) {
#pragma omp simd
      for (int64_t d = first; d < first + count; ++d) {
        float total = sum[d];
        for (int64_t t = 0; t < tokens; ++t) total += to_float(rows[t * D + d]);
        sum[d] = total;
      }
    };
    if (D - first >= line) {
      add(line);
    } else {
      add(D - first);
    }
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
#pragma omp for schedule(dynamic, taken_at_once(shape))
    for (int64_t b = 0; b < shape.sequences; ++b) {
      std::fill(sum.begin(), sum.end(), 0.0f);
      int64_t t = cumulative[b];
      const int64_t end = cumulative[b + 1];
      for (; t + kTokensAtOnce <= end; t += kTokensAtOnce)
        add_tokens<kTokensAtOnce>(hidden + t * D, D, sum.data());
      for (; t < end; ++t) add_tokens<1>(hidden + t * D, D, sum.data());
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
#pragma omp parallel
  {
    RowWriter<T> rows = token_rows<T>(shape);
    std::vector<T> part(D);
#pragma omp for schedule(dynamic, taken_at_once(shape))
    for (int64_t b = 0; b < shape.sequences; ++b) {
      const int32_t length = cumulative[b + 1] - cumulative[b];
      if (length == 0) continue;
      const float share = 1.0f / static_cast<float>(length);
      for (int64_t d = 0; d < D; ++d) store(&part[d], to_float(pooled_gradient[b * D + d]) * share);
      for (int64_t t = cumulative[b]; t < cumulative[b + 1]; ++t) {
        rows.write(hidden_gradient + t * D, [&](T* row) { std::copy_n(part.data(), D, row); });
      }
    }
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
#pragma omp parallel
  {
    RowWriter<T> rows = token_rows<T>(shape);
#pragma omp for schedule(dynamic, taken_at_once(shape))
    for (int64_t b = 0; b < shape.sequences; ++b) {
      const int64_t begin = cumulative[b], end = cumulative[b + 1];
      if (begin == end) continue;
      rows.write(hidden_gradient + begin * D, [&](T* row) { std::copy_n(pooled_gradient + b * D, D, row); });
      for (int64_t t = begin + 1; t < end; ++t) {
        rows.write(hidden_gradient + t * D, [&](T* row) { std::fill_n(row, D, T{}); });
      }
    }
  }
}

// A NaN wins, as it does in torch.max: it must not vanish from the loss.
template <typename T>
void pool_max_forward(const T* hidden, const int32_t* cumulative, PoolShape shape, T* pooled,
                      int32_t* winners) {
  const int64_t D = shape.dimensions;
#pragma omp parallel for schedule(dynamic, taken_at_once(shape))
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
#pragma omp parallel
  {
    RowWriter<T> rows = token_rows<T>(shape);
#pragma omp for schedule(dynamic, taken_at_once(shape))
    for (int64_t b = 0; b < shape.sequences; ++b) {
      const T* gradient = pooled_gradient + b * D;
      const int32_t* winner = winners + b * D;
      for (int32_t t = cumulative[b]; t < cumulative[b + 1]; ++t) {
        rows.write(hidden_gradient + t * D, [&](T* row) {
#pragma omp simd
          for (int64_t d = 0; d < D; ++d) row[d] = winner[d] == t ? gradient[d] : T{};
        });
      }
    }
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
