#include "kernels/pool.h"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include "kernels/lanes.h"
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

// Tokens taken in one pass over the results: those are loaded and stored that much more rarely.
constexpr int64_t kTokensAtOnce = 4;

// Calls take(how many, first token), the number a constant.
template <typename Take>
void for_tokens(int64_t token, int64_t end, const Take& take) {
  for (; token + kTokensAtOnce <= end; token += kTokensAtOnce) {
    take(std::integral_constant<int64_t, kTokensAtOnce>(), token);
  }
  for (; token < end; ++token) take(std::integral_constant<int64_t, 1>(), token);
}

// Asks for 64 dimensions of as many rows behind these, even beyond the last one: a prefetch reads nothing.
// Into the second cache level, which can wait for more lines than the first.
template <int64_t tokens, typename T>
void ask_for_next(const T* rows, int64_t D) {
  constexpr int64_t line = 64 / sizeof(T);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t d = 0; d < 64; d += line) __builtin_prefetch(rows + (kTokensAtOnce + t) * D + d, 0, 2);
  }
}

// sum (D) += rows (tokens, D), one after the other.
template <int64_t tokens, typename T>
void add_tokens(const T* rows, int64_t D, float* sum) {
  for (int64_t first = 0; first < D; first += 64) {
    ask_for_next<tokens>(rows + first, D);
    const auto add = [&](int64_t count) {
#pragma omp simd
      for (int64_t d = first; d < first + count; ++d) {
        float total = sum[d];
        for (int64_t t = 0; t < tokens; ++t) total += to_float(rows[t * D + d]);
        sum[d] = total;
      }
    };
    if (D - first >= 64) {
      add(64);
    } else {
      add(D - first);
    }
  }
}

// For one dimension or a vector of them. A NaN wins, and keeps what it has won.
template <typename Value, typename Place>
void take_larger(Value value, Place place, Value& held, Place& held_at) {
  const auto wins = (!(value <= held)) & (held == held);
  held = wins ? value : held;
  held_at = wins ? place : held_at;
}

// best (D) and winner (D): the largest values so far and their tokens. The next are rows (tokens, D), from
// `token` on.
template <int64_t tokens, typename T>
void take_tokens(const T* rows, int64_t D, int32_t token, float* best, int32_t* winner) {
  int64_t d = 0;
  for (; d + kLanes <= D; d += kLanes) {
    if (d % 64 == 0) ask_for_next<tokens>(rows + d, D);
    Floats held = load(best + d);
    Integers held_at;
    std::memcpy(&held_at, winner + d, sizeof held_at);
    for (int32_t t = 0; t < tokens; ++t)
      take_larger(load(rows + t * D + d), token + t - Integers{}, held, held_at);
    store(best + d, held);
    std::memcpy(winner + d, &held_at, sizeof held_at);
  }
  for (; d < D; ++d) {
    for (int32_t t = 0; t < tokens; ++t)
      take_larger(to_float(rows[t * D + d]), token + t, best[d], winner[d]);
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
      for_tokens(cumulative[b], cumulative[b + 1],
                 [&](auto tokens, int64_t first) { add_tokens<tokens>(hidden + first * D, D, sum.data()); });
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
        rows.copy(hidden_gradient + t * D, part.data());
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
    const std::vector<T> zeros(D);
#pragma omp for schedule(dynamic, taken_at_once(shape))
    for (int64_t b = 0; b < shape.sequences; ++b) {
      const int64_t begin = cumulative[b], end = cumulative[b + 1];
      if (begin == end) continue;
      rows.copy(hidden_gradient + begin * D, pooled_gradient + b * D);
      for (int64_t t = begin + 1; t < end; ++t) rows.copy(hidden_gradient + t * D, zeros.data());
    }
  }
}

// A NaN wins, as it does in torch.max: it must not vanish from the loss.
template <typename T>
void pool_max_forward(const T* hidden, const int32_t* cumulative, PoolShape shape, T* pooled,
                      int32_t* winners) {
  const int64_t D = shape.dimensions;
#pragma omp parallel
  {
    std::vector<float> best(D);
#pragma omp for schedule(dynamic, taken_at_once(shape))
    for (int64_t b = 0; b < shape.sequences; ++b) {
      const int32_t begin = cumulative[b], end = cumulative[b + 1];
      int32_t* winner = winners + b * D;
      if (begin == end) {
        std::fill_n(pooled + b * D, D, T{});
        std::fill_n(winner, D, -1);
        continue;
      }
      for (int64_t d = 0; d < D; ++d) best[d] = to_float(hidden[begin * D + d]);
      std::fill_n(winner, D, begin);
      for_tokens(begin + 1, end, [&](auto tokens, int64_t first) {
        take_tokens<tokens>(hidden + first * D, D, static_cast<int32_t>(first), best.data(), winner);
      });
      for (int64_t d = 0; d < D; ++d) store(pooled + b * D + d, best[d]);
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
