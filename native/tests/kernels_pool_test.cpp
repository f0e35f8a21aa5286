#include <cmath>

#include "check.h"
#include "device.h"
#include "kernels/pool.h"

namespace {

using device::Array;
using device::Kind;
using device::rounding;
using xlembed::kernels::bfloat16;
using xlembed::kernels::PoolShape;
using xlembed::kernels::to_float;

struct Case {
  std::vector<int32_t> cumulative;
  int64_t D;
  PoolShape shape() const { return {static_cast<int64_t>(cumulative.size()) - 1, cumulative.back(), D}; }
  size_t tokens() const { return static_cast<size_t>(cumulative.back()); }
};

// Lengths 0, 1, 2, 0, 1, 2, ..
std::vector<int32_t> short_sequences(int32_t count) {
  std::vector<int32_t> cumulative(1, 0);
  for (int32_t b = 0; b < count; ++b) cumulative.push_back(cumulative.back() + b % 3);
  return cumulative;
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const int64_t D : {1, 7, 384, 1024}) {
    all.push_back({{0}, D});
    all.push_back({{0, 0}, D});
    all.push_back({{0, 1}, D});
    if (D < 384) all.push_back({short_sequences(1100), D});
    if (D < 1024 || !device::emulated) all.push_back({{0, 31, 31, 64, 65, 1065}, D});
    if (D < 384 || !device::emulated) all.push_back({{0, 4097}, D});
  }
  return all;
}

template <typename T>
struct Data {
  Array<T> hidden, gradient;
  Array<int32_t> cumulative;
  Data(Kind kind, const Case& c)
      : hidden(kind, device::random<T>(c.tokens() * c.D, 1)),
        gradient(kind, device::random<T>((c.cumulative.size() - 1) * c.D, 2)),
        cumulative(kind, c.cumulative) {}
};

template <typename T>
void mean(Kind kind, const Case& c) {
  Data<T> data(kind, c);
  Array<T> pooled(kind, data.gradient.get().size()), back(kind, data.hidden.get().size());
  LAUNCH(kind, pool_mean_forward, data.hidden.data(), data.cumulative.data(), c.shape(), pooled.data());
  LAUNCH(kind, pool_mean_backward, data.gradient.data(), data.cumulative.data(), c.shape(), back.data());
  for (int64_t b = 0; b < c.shape().sequences; ++b) {
    const int32_t begin = c.cumulative[b], end = c.cumulative[b + 1];
    for (int64_t d = 0; d < c.D; ++d) {
      double sum = 0;
      for (int32_t t = begin; t < end; ++t) sum += to_float(data.hidden.get()[t * c.D + d]);
      const double expected = begin < end ? sum / (end - begin) : 0;
      CHECK_CLOSE(to_float(pooled.get()[b * c.D + d]), expected, 1e-6, 2 * rounding<T>);
      const double part = to_float(data.gradient.get()[b * c.D + d]) / (end - begin);
      for (int32_t t = begin; t < end; ++t) {
        CHECK_CLOSE(to_float(back.get()[t * c.D + d]), part, 1e-12, 2 * rounding<T>);
      }
    }
  }
}

template <typename T>
void first(Kind kind, const Case& c) {
  Data<T> data(kind, c);
  Array<T> pooled(kind, data.gradient.get().size()), back(kind, data.hidden.get().size());
  LAUNCH(kind, pool_first_forward, data.hidden.data(), data.cumulative.data(), c.shape(), pooled.data());
  LAUNCH(kind, pool_first_backward, data.gradient.data(), data.cumulative.data(), c.shape(), back.data());
  for (int64_t b = 0; b < c.shape().sequences; ++b) {
    const int32_t begin = c.cumulative[b], end = c.cumulative[b + 1];
    for (int64_t d = 0; d < c.D; ++d) {
      const float expected = begin < end ? to_float(data.hidden.get()[begin * c.D + d]) : 0;
      CHECK(to_float(pooled.get()[b * c.D + d]) == expected);
      for (int32_t t = begin; t < end; ++t) {
        const float part = t == begin ? to_float(data.gradient.get()[b * c.D + d]) : 0;
        CHECK(to_float(back.get()[t * c.D + d]) == part);
      }
    }
  }
}

template <typename T>
void max(Kind kind, const Case& c) {
  Data<T> data(kind, c);
  Array<T> pooled(kind, data.gradient.get().size()), back(kind, data.hidden.get().size());
  Array<int32_t> winners(kind, data.gradient.get().size());
  LAUNCH(kind, pool_max_forward, data.hidden.data(), data.cumulative.data(), c.shape(), pooled.data(),
         winners.data());
  LAUNCH(kind, pool_max_backward, data.gradient.data(), winners.data(), data.cumulative.data(), c.shape(),
         back.data());
  for (int64_t b = 0; b < c.shape().sequences; ++b) {
    const int32_t begin = c.cumulative[b], end = c.cumulative[b + 1];
    for (int64_t d = 0; d < c.D; ++d) {
      int32_t best = begin < end ? begin : -1;
      const auto value = [&](int32_t t) { return to_float(data.hidden.get()[t * c.D + d]); };
      for (int32_t t = begin; t < end; ++t) best = value(t) > value(best) ? t : best;  // bfloat16 has ties
      CHECK(winners.get()[b * c.D + d] == best);
      CHECK(to_float(pooled.get()[b * c.D + d]) == (best < 0 ? 0 : value(best)));
      for (int32_t t = begin; t < end; ++t) {
        const float part = t == best ? to_float(data.gradient.get()[b * c.D + d]) : 0;
        CHECK(to_float(back.get()[t * c.D + d]) == part);
      }
    }
  }
}

void everywhere(void (*as_float)(Kind, const Case&), void (*as_bfloat16)(Kind, const Case&)) {
  for (const Kind kind : device::all()) {
    for (const Case& c : cases()) {
      as_float(kind, c);
      as_bfloat16(kind, c);
    }
  }
}

// In every token, with dimensions that fill vectors and some that are left; the first NaN keeps its place.
void a_nan_shows() {
  constexpr int64_t tokens = 10, D = 37;
  const float nan = std::nanf("");
  for (const Kind kind : device::all()) {
    Array<int32_t> cumulative(kind, {0, tokens}), winners(kind, D);
    Array<float> pooled(kind, D);
    for (int64_t bad = 0; bad < tokens; ++bad) {
      std::vector<float> values(tokens * D);
      for (int64_t i = 0; i < tokens * D; ++i) values[i] = static_cast<float>(i / D);
      for (int64_t d = 0; d < D; d += 3) {
        values[bad * D + d] = nan;
        values[(tokens - 1) * D + d] = nan;
      }
      Array<float> hidden(kind, values);
      LAUNCH(kind, pool_max_forward, hidden.data(), cumulative.data(), PoolShape{1, tokens, D}, pooled.data(),
             winners.data());
      for (int64_t d = 0; d < D; ++d) {
        CHECK(std::isnan(pooled.get()[d]) == (d % 3 == 0));
        CHECK(winners.get()[d] == (d % 3 == 0 ? bad : tokens - 1));
      }
      LAUNCH(kind, pool_mean_forward, hidden.data(), cumulative.data(), PoolShape{1, tokens, D},
             pooled.data());
      for (int64_t d = 0; d < D; ++d) CHECK(std::isnan(pooled.get()[d]) == (d % 3 == 0));
    }
  }
}

void equal_bits_on_every_run() {
  for (const Kind kind : device::all()) {
    const Case c{{0, 31, 31, 64, 65, 1065}, 384};
    Data<float> data(kind, c);
    std::vector<float> expected;
    for (int run = 0; run < device::repeats; ++run) {
      const size_t rows = data.gradient.get().size(), tokens = data.hidden.get().size();
      Array<float> mean(kind, rows), largest(kind, rows), back(kind, tokens), back_of_largest(kind, tokens);
      Array<int32_t> winners(kind, rows);
      const float *hidden = data.hidden.data(), *gradient = data.gradient.data();
      const int32_t* cumulative = data.cumulative.data();
      LAUNCH(kind, pool_mean_forward, hidden, cumulative, c.shape(), mean.data());
      LAUNCH(kind, pool_mean_backward, gradient, cumulative, c.shape(), back.data());
      LAUNCH(kind, pool_max_forward, hidden, cumulative, c.shape(), largest.data(), winners.data());
      LAUNCH(kind, pool_max_backward, gradient, winners.data(), cumulative, c.shape(),
             back_of_largest.data());
      std::vector<float> all = mean.get();
      for (Array<float>* more : {&largest, &back, &back_of_largest}) {
        all.insert(all.end(), more->get().begin(), more->get().end());
      }
      if (run == 0) expected = all;
      CHECK(device::equal_bits(all, expected));
    }
  }
}

}  // namespace

int main() {
  return check::run({
      {"mean", [] { everywhere(mean<float>, mean<bfloat16>); }},
      {"first", [] { everywhere(first<float>, first<bfloat16>); }},
      {"max", [] { everywhere(max<float>, max<bfloat16>); }},
      {"a NaN shows", a_nan_shows},
      {"equal bits on every run", equal_bits_on_every_run},
  });
}
