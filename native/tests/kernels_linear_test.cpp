#include <algorithm>
#include <cmath>

#include "at_the_edge.h"
#include "check.h"
#include "device.h"
#include "exact_sums.h"
#include "kernels/aligned_vector.h"
#include "kernels/linear.h"
#include "kernels/linear_bfloat16.h"
#include "kernels/linear_int16.h"

namespace {

using device::random;
using device::rounding;
using namespace xlembed::kernels;

constexpr Activation kActivations[] = {Activation::none, Activation::gelu, Activation::gelu_tanh,
                                       Activation::relu};

double activated(double x, Activation activation) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::gelu:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::relu:
      return std::max(x, 0.0);
  }
  return NAN;
}

// A layer and its input in one arithmetic: float, bfloat16 or int16_t.
template <typename Input>
struct Case {
  Case(LinearShape shape)
      : shape(shape),
        x(random<float>(shape.rows * shape.in, 1)),
        w(random<float>(shape.out * shape.in, 2)),
        bias(random<float>(shape.out, 3)),
        packed(std::is_same_v<Input, bfloat16> ? bfloat16_weight_size(shape.out, shape.in)
                                               : packed_weight_size(shape.out, shape.in)),
        weight_steps(shape.out) {
    if constexpr (std::is_same_v<Input, float>) {
      pack_weight(w.data(), shape.out, shape.in, packed.data());
    } else if constexpr (std::is_same_v<Input, bfloat16>) {
      pack_weight_bfloat16(w.data(), shape.out, shape.in, packed.data());
    } else {
      pack_weight_int16(w.data(), shape.out, shape.in, packed.data(), weight_steps.data());
    }
  }
  // The rows from `first` on, y (rows, out).
  template <typename Out>
  void run(int64_t first, int64_t rows, Activation activation, Out* y) const {
    const LinearShape part{rows, shape.in, shape.out};
    const float* from = x.data() + first * shape.in;
    if constexpr (std::is_same_v<Input, float>) {
      linear(from, packed.data(), bias.data(), part, activation, y);
    } else if constexpr (std::is_same_v<Input, bfloat16>) {
      AlignedVector<bfloat16> rounded(rows * bfloat16_row_size(shape.in), bfloat16{0x7FC0});
      round_rows(from, rows, shape.in, rounded.data());
      linear_bfloat16(rounded.data(), packed.data(), bias.data(), part, activation, y);
    } else {
      std::vector<int16_t> integers(rows * shape.in);
      std::vector<float> steps(rows);
      fix_rows(from, rows, shape.in, integers.data(), steps.data());
      linear_int16(integers.data(), steps.data(), {packed.data(), weight_steps.data()}, bias.data(), part,
                   activation, y);
    }
  }
  LinearShape shape;
  std::vector<float> x, w, bias;
  AlignedVector<Input> packed;
  std::vector<float> weight_steps;
};

double length(const float* x, int64_t count) {
  double squares = 0;
  for (int64_t k = 0; k < count; ++k) squares += static_cast<double>(x[k]) * x[k];
  return std::sqrt(squares);
}

template <typename Input, typename Out>
void matches_float64(LinearShape shape, Activation activation) {
  const Case<Input> layer(shape);
  std::vector<Out> y(shape.rows * shape.out);
  layer.run(0, shape.rows, activation, y.data());
  for (int64_t t = 0; t < shape.rows; ++t) {
    for (int64_t n = 0; n < shape.out; ++n) {
      const float *x = &layer.x[t * shape.in], *w = &layer.w[n * shape.in];
      const Sum sum = product<Input>(x, w, shape.in, layer.bias[n]);
      // Half a step for each factor, at worst all in one direction: for random ones far less.
      const double lengths = length(x, shape.in) * length(w, shape.in);
      const double steps = std::is_same_v<Input, int16_t> ? 8e-5 * lengths : 0;
      // vector_gelu_coarse, which is checked by itself below.
      const bool is_coarse = sizeof(Out) == 2 && activation == Activation::gelu;
      const double coarse = is_coarse ? 3.6e-5 * std::fabs(sum.value) : 0;
      CHECK_CLOSE(to_float(y[t * shape.out + n]), activated(sum.value, activation),
                  4e-7 * sum.size + 4e-7 + steps + coarse, rounding<Out>);
    }
  }
}

void every_shape() {
  for (const int64_t rows : {0, 1, 7, 8, 9, 130}) {
    for (const int64_t in : {4, 36}) {
      for (const int64_t out : {1, 15, 16, 47, 48, 49, 100}) {
        matches_float64<float, float>({rows, in, out}, Activation::none);
        matches_float64<int16_t, float>({rows, in, out}, Activation::none);
        matches_float64<int16_t, bfloat16>({rows, in, out}, Activation::none);
        matches_float64<bfloat16, float>({rows, in, out}, Activation::none);
        matches_float64<bfloat16, bfloat16>({rows, in, out}, Activation::none);
      }
    }
  }
  matches_float64<float, float>({3, 7, 20}, Activation::none);
  matches_float64<int16_t, float>({3, 6, 20}, Activation::none);
  matches_float64<float, float>({33, 384, 100}, Activation::none);
  matches_float64<int16_t, float>({33, 4096, 100}, Activation::none);
  for (const int64_t rows : {15, 16, 17, 31, 32, 33, 520}) {
    for (const int64_t in : {7, 32, 33, 384})
      matches_float64<bfloat16, float>({rows, in, 81}, Activation::none);
  }
  matches_float64<bfloat16, float>({33, 4096, 100}, Activation::none);
}

void every_activation() {
  for (const Activation activation : kActivations) {
    matches_float64<float, float>({33, 12, 50}, activation);
    matches_float64<int16_t, bfloat16>({33, 12, 50}, activation);
    matches_float64<bfloat16, bfloat16>({33, 12, 50}, activation);
  }
}

// From far below to far above, with x alone: a weight of 1 and no bias.
void activations_over_their_whole_range() {
  std::vector<float> x;
  for (double value = -200; value <= 200; value += 0.0137) x.push_back(static_cast<float>(value));
  x.insert(x.end(), {0.0f, -0.0f, 1e-30f, -1e-30f, 3e4f, -3e4f});
  const auto rows = static_cast<int64_t>(x.size());
  const std::vector<float> one = {1}, zero = {0};
  std::vector<float> packed(packed_weight_size(1, 1)), y(rows);
  pack_weight(one.data(), 1, 1, packed.data());
  for (const Activation activation : kActivations) {
    linear(x.data(), packed.data(), zero.data(), {rows, 1, 1}, activation, y.data());
    for (int64_t t = 0; t < rows; ++t) {
      CHECK_CLOSE(y[t], activated(x[t], activation), 3e-7 * std::min(8.0f, std::fabs(x[t])), 5e-7);
    }
  }
}

void coarse_gelu_over_its_whole_range() {
  for (double x = -200; x <= 200; x += 0.00137) {
    const auto value = static_cast<float>(x);
    CHECK_CLOSE(vector_gelu_coarse(value), activated(value, Activation::gelu), 3.5e-5 * std::fabs(x), 0);
  }
  CHECK(vector_gelu_coarse(0.0f) == 0 && std::isnan(vector_gelu_coarse(NAN)));
  CHECK(vector_gelu_coarse(INFINITY) == INFINITY);
}

// In bfloat16 what is not finite goes through the products as in float32.
void bfloat16_that_is_not_finite() {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    Case<bfloat16> layer({9, 76, 50});
    const LinearShape& shape = layer.shape;
    layer.x[4 * shape.in + 70] = bad;
    layer.w[20 * shape.in + 3] = bad;
    pack_weight_bfloat16(layer.w.data(), shape.out, shape.in, layer.packed.data());
    std::vector<float> y(shape.rows * shape.out);
    layer.run(0, shape.rows, Activation::none, y.data());
    for (int64_t t = 0; t < shape.rows; ++t) {
      for (int64_t n = 0; n < shape.out; ++n)
        CHECK(std::isfinite(y[t * shape.out + n]) == (t != 4 && n != 20));
    }
  }
}

// Instructions that read sixteen rows at once must not read those that are not there.
void reads_its_rows_alone() {
  const int64_t in = 52, out = 20;
  const auto bias = random<float>(out, 6);
  const Case<bfloat16> layer({33, in, out});
  for (const int64_t rows : {1, 5, 15, 17, 33}) {
    const auto x = random<float>(rows * in, 4);
    const AtTheEdge<bfloat16> rounded(std::vector<bfloat16>(rows * bfloat16_row_size(in)));
    round_rows(x.data(), rows, in, rounded.data());
    std::vector<float> y(rows * out);
    linear_bfloat16(rounded.data(), layer.packed.data(), bias.data(), {rows, in, out}, Activation::none,
                    y.data());
    for (const float value : y) CHECK(std::isfinite(value));
  }
}

// The same row has the same bits in every batch.
template <typename Input>
void row_alone() {
  const LinearShape shape{300, 36, 100};
  const Case<Input> layer(shape);
  std::vector<float> y(shape.rows * shape.out), alone(shape.out);
  layer.run(0, shape.rows, Activation::gelu, y.data());
  for (int64_t t = 0; t < shape.rows; ++t) {
    layer.run(t, 1, Activation::gelu, alone.data());
    CHECK(std::equal(alone.begin(), alone.end(), y.begin() + t * shape.out));
  }
}

void bits_do_not_depend_on_the_batch() {
  row_alone<float>();
  row_alone<bfloat16>();
  row_alone<int16_t>();
}

}  // namespace

int main() {
  return check::run({{"every shape", every_shape},
                     {"every activation", every_activation},
                     {"activations over their whole range", activations_over_their_whole_range},
                     {"coarse gelu over its whole range", coarse_gelu_over_its_whole_range},
                     {"bfloat16 that is not finite", bfloat16_that_is_not_finite},
                     {"reads its rows alone", reads_its_rows_alone},
                     {"bits do not depend on the batch", bits_do_not_depend_on_the_batch}});
}
