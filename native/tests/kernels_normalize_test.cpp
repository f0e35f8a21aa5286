#include <cmath>

#include "check.h"
#include "device.h"
#include "kernels/normalize.h"

namespace {

using device::Array;
using device::Kind;
using device::rounding;
using xlembed::kernels::bfloat16;
using xlembed::kernels::to_float;

template <typename T>
void matches_float64(Kind kind, int64_t rows, int64_t D, double magnitude) {
  std::vector<T> x_values = device::random<T>(rows * D, 1);
  for (T& value : x_values) value = device::narrow<T>(to_float(value) * magnitude);
  if (rows > 1) std::fill_n(x_values.begin() + D, D, T{});  // a row of zeros
  Array<T> x(kind, x_values), g(kind, device::random<T>(rows * D, 2));
  Array<T> y(kind, rows * D), dx(kind, rows * D);
  Array<float> norms(kind, rows);
  LAUNCH(kind, normalize_forward, x.data(), rows, D, y.data(), norms.data());
  LAUNCH(kind, normalize_backward, x.data(), norms.data(), g.data(), rows, D, dx.data());
  for (int64_t r = 0; r < rows; ++r) {
    double squares = 0, along = 0, size = 0;
    for (int64_t d = 0; d < D; ++d) {
      const double a = to_float(x.get()[r * D + d]), b = to_float(g.get()[r * D + d]);
      squares += a * a;
      along += a * b;
      size += b * b;
    }
    const double norm = std::sqrt(squares), divisor = std::fmax(norm, 1e-12);
    for (int64_t d = 0; d < D; ++d) {
      const double a = to_float(x.get()[r * D + d]), b = to_float(g.get()[r * D + d]);
      CHECK_CLOSE(to_float(y.get()[r * D + d]), a / divisor, 1e-12, rounding<T> + 1e-6);
      const double slope = (b - (norm < 1e-12 ? 0 : a * along / squares)) / divisor;
      CHECK_CLOSE(to_float(dx.get()[r * D + d]), slope, 1e-6 * std::sqrt(size) / divisor, rounding<T> + 1e-6);
    }
    CHECK_CLOSE(norms.get()[r], norm, 0, 1e-6);
  }
}

void every_shape() {
  for (const Kind kind : device::all()) {
    for (const int64_t rows : {0, 1, 31, 33, 1000, 4097}) {
      for (const int64_t D : {1, 7, 384, 1024}) {
        if (rows * D > (device::emulated ? 100'000 : 2'000'000)) continue;  // the loop's time
        matches_float64<float>(kind, rows, D, 1);
        matches_float64<bfloat16>(kind, rows, D, 1);
      }
    }
  }
}

void every_magnitude() {
  for (const Kind kind : device::all()) {
    for (const double magnitude : {1e-16, 1e-10, 1e6, 1e15}) matches_float64<float>(kind, 33, 384, magnitude);
  }
}

// The derivative of the forward formula itself, by central differences in float64.
void matches_finite_differences() {
  for (const Kind kind : device::all()) {
    const int64_t D = 7;
    Array<float> x(kind, device::random<float>(D, 3)), g(kind, device::random<float>(D, 4));
    Array<float> y(kind, D), dx(kind, D), norms(kind, 1);
    LAUNCH(kind, normalize_forward, x.data(), 1, D, y.data(), norms.data());
    LAUNCH(kind, normalize_backward, x.data(), norms.data(), g.data(), 1, D, dx.data());
    const auto value = [&](int64_t moved, double h) {
      double squares = 0, sum = 0;
      for (int64_t d = 0; d < D; ++d) squares += std::pow(x.get()[d] + (d == moved ? h : 0), 2);
      for (int64_t d = 0; d < D; ++d)
        sum += g.get()[d] * (x.get()[d] + (d == moved ? h : 0)) / std::sqrt(squares);
      return sum;
    };
    for (int64_t d = 0; d < D; ++d) {
      CHECK_CLOSE(dx.get()[d], (value(d, 1e-6) - value(d, -1e-6)) / 2e-6, 1e-6, 1e-5);
    }
  }
}

void equal_bits_on_every_run() {
  for (const Kind kind : device::all()) {
    const int64_t rows = 333, D = 384;
    Array<float> x(kind, device::random<float>(rows * D, 1)), g(kind, device::random<float>(rows * D, 2));
    std::vector<float> expected;
    for (int run = 0; run < device::repeats; ++run) {
      Array<float> y(kind, rows * D), dx(kind, rows * D), norms(kind, rows);
      LAUNCH(kind, normalize_forward, x.data(), rows, D, y.data(), norms.data());
      LAUNCH(kind, normalize_backward, x.data(), norms.data(), g.data(), rows, D, dx.data());
      std::vector<float> all = y.get();
      all.insert(all.end(), dx.get().begin(), dx.get().end());
      if (run == 0) expected = all;
      CHECK(device::equal_bits(all, expected));
    }
  }
}

// Large results go past the caches: row by row they are those of small ones.
template <typename T>
void large_results_are_those_of_small_ones() {
  const Kind kind = Kind::cpu;
  const int64_t D = 1027, part = 1000, rows = (int64_t{16} << 20) / D / static_cast<int64_t>(sizeof(T)) + 100;
  Array<T> x(kind, device::random<T>(rows * D, 1)), g(kind, device::random<T>(rows * D, 2));
  Array<T> y(kind, rows * D), dx(kind, rows * D), small(kind, rows * D), small_dx(kind, rows * D);
  Array<float> norms(kind, rows);
  LAUNCH(kind, normalize_forward, x.data(), rows, D, y.data(), norms.data());
  LAUNCH(kind, normalize_backward, x.data(), norms.data(), g.data(), rows, D, dx.data());
  for (int64_t first = 0; first < rows; first += part) {
    const int64_t at = first * D, count = std::min(part, rows - first);
    LAUNCH(kind, normalize_forward, x.data() + at, count, D, small.data() + at, norms.data() + first);
    LAUNCH(kind, normalize_backward, x.data() + at, norms.data() + first, g.data() + at, count, D,
           small_dx.data() + at);
  }
  CHECK(device::equal_bits(y.get(), small.get()));
  CHECK(device::equal_bits(dx.get(), small_dx.get()));
}

}  // namespace

int main() {
  return check::run({
      {"every shape", every_shape},
      {"every magnitude", every_magnitude},
      {"matches finite differences", matches_finite_differences},
      {"equal bits on every run", equal_bits_on_every_run},
      {"large results, float32", large_results_are_those_of_small_ones<float>},
      {"large results, bfloat16", large_results_are_those_of_small_ones<bfloat16>},
  });
}
