#include <sys/mman.h>

#include <algorithm>
#include <cmath>

#include "check.h"
#include "device.h"
#include "kernels/aligned_vector.h"
#include "kernels/linear.h"
#include "kernels/linear_bfloat16.h"
#include "kernels/linear_int16.h"
#include "kernels/linear_int8.h"

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

// What a layer makes of a value before it multiplies: the reference takes the same.
template <typename Input>
float as_multiplied(float value) {
  if constexpr (std::is_same_v<Input, bfloat16>) return to_float(round_to_bfloat16(value));
  return value;
}

// sum_k x_k w_k in float64, and of the sizes of its terms: what rounding errors are measured by.
struct Sum {
  double value = 0, size = 0;
};

template <typename Input = float>
Sum product(const float* x, const float* w, int64_t count, double start) {
  Sum sum{start, std::fabs(start)};
  for (int64_t k = 0; k < count; ++k) {
    const double term = static_cast<double>(as_multiplied<Input>(x[k])) * as_multiplied<Input>(w[k]);
    sum.value += term;
    sum.size += std::fabs(term);
  }
  return sum;
}

// A layer and its input in one arithmetic: float, bfloat16 or int16_t. linear_int8 has checks of its own
// below.
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

struct Int8Layer {
  AlignedVector<uint8_t> packed;
  std::vector<float> scales, piece_lengths;
};

Int8Layer pack(const std::vector<float>& w, int64_t out, int64_t in) {
  Int8Layer layer{AlignedVector<uint8_t>(int8_weight_size(out, in)), std::vector<float>(out),
                  std::vector<float>(int8_lengths_size(out, in))};
  pack_weight_int8(w.data(), out, in, layer.packed.data(), layer.scales.data(), layer.piece_lengths.data());
  return layer;
}

struct Int8Rows {
  std::vector<int8_t> values;
  std::vector<QuantizedRow> rows;
};

Int8Rows quantize(const std::vector<float>& x, int64_t rows, int64_t in) {
  Int8Rows result{std::vector<int8_t>(rows * quantized_row_size(in)), std::vector<QuantizedRow>(rows)};
  quantize_rows(x.data(), rows, in, result.values.data(), result.rows.data());
  return result;
}

std::vector<float> linear_of(const Int8Rows& x, const Int8Layer& layer, const std::vector<float>& bias,
                             LinearShape shape) {
  std::vector<float> y(shape.rows * shape.out);
  linear_int8(x.values.data(), x.rows.data(),
              {layer.packed.data(), layer.scales.data(), layer.piece_lengths.data()}, bias.data(), shape,
              Activation::none, y.data());
  return y;
}

// Half a step of x times w's size and the other way round, for each term.
void check_integers(const std::vector<float>& x, const std::vector<float>& w, LinearShape shape) {
  const auto bias = random<float>(shape.out, 6);
  const Int8Layer layer = pack(w, shape.out, shape.in);
  const Int8Rows quantized = quantize(x, shape.rows, shape.in);
  const std::vector<float> y = linear_of(quantized, layer, bias, shape);
  for (int64_t t = 0; t < shape.rows; ++t) {
    for (int64_t n = 0; n < shape.out; ++n) {
      const Sum exact = product(&x[t * shape.in], &w[n * shape.in], shape.in, bias[n]);
      const double scale = quantized.rows[t].scale, step = layer.scales[n];
      double allowed = 1e-5 * exact.size;
      int64_t sum = 0;
      for (int64_t k = 0; k < shape.in; ++k) {
        sum += std::lrint(w[n * shape.in + k] / layer.scales[n]) *
               quantized.values[t * quantized_row_size(shape.in) + k];
        allowed += 0.5001 * (scale * std::fabs(w[n * shape.in + k]) + step * std::fabs(x[t * shape.in + k])) +
                   0.26 * scale * step;
      }
      CHECK_CLOSE(y[t * shape.out + n], exact.value, allowed, 0);
      // The sum of integers itself is exact, by whichever unit: multiplied and added with one rounding or
      // two.
      const float integer = static_cast<float>(sum), factor = quantized.rows[t].scale * layer.scales[n];
      const float result = y[t * shape.out + n];
      const float twice = static_cast<float>(static_cast<double>(integer) * factor);
      CHECK(result == std::fma(integer, factor, bias[n]) || result == twice + bias[n]);
    }
  }
}

void integers_within_their_steps() {
  for (const LinearShape shape : {LinearShape{1, 4, 1},
                                  {9, 36, 50},
                                  {16, 60, 17},
                                  {31, 64, 33},
                                  {33, 68, 31},
                                  {130, 384, 100},
                                  {520, 132, 20}}) {
    check_integers(random<float>(shape.rows * shape.in, 4), random<float>(shape.out * shape.in, 5), shape);
  }
}

// Sums of a piece from small to the very largest, side by side in one tile: rows and columns alike in all but
// one value, so that nothing is smaller than the lengths allow.
void integers_of_all_sizes() {
  const LinearShape shape{60, 292, 48};
  const auto pattern = random<float>(shape.in, 4);
  const auto alike = [&](int64_t rows, float growth) {
    std::vector<float> values(rows * shape.in);
    for (int64_t row = 0; row < rows; ++row) {
      std::copy(pattern.begin(), pattern.end(), &values[row * shape.in]);
      values[row * shape.in] = (row % 2 == 0 ? 1.0f : -1.0f) * (1 + growth * row);
    }
    return values;
  };
  for (const float growth : {0.0f, 0.005f, 0.02f, 0.1f, 1.0f})
    check_integers(alike(shape.rows, growth), alike(shape.out, growth), shape);
  check_integers(std::vector<float>(shape.rows * shape.in, 1), std::vector<float>(shape.out * shape.in, -1),
                 shape);
}

// A row and a column of one value each, but for the last piece, which sets their scales: 16-bit sums of as
// many pieces as fit, and of the first that do not.
void integers_at_the_limit_of_16_bits() {
  const LinearShape shape{1, 9 * 32, 1};
  const auto constant = [&](float value, float largest) {
    std::vector<float> values(shape.in, value);
    std::fill(values.end() - 32, values.end(), 0.0f);
    values.back() = largest;
    return values;
  };
  for (int value = -127; value <= 127; ++value) {
    for (const float weight : {127.0f, -126.0f, 40.0f, 2.0f})
      check_integers(constant(static_cast<float>(value), 127), constant(weight, 127), shape);
  }
}

void quantizes_awkward_rows() {
  const std::vector<float> x = {0,     0,      0,     0, 1e-44f, -1e-44f, 0,    0,
                                3e38f, -3e38f, 1e38f, 0, -127,   63.5f,   0.5f, 1.5f};
  const Int8Rows quantized = quantize(x, 4, 4);
  const std::vector<QuantizedRow>& rows = quantized.rows;
  const int8_t expected[4][4] = {{}, {}, {127, -127, 42, 0}, {-127, 64, 0, 2}};
  for (int row = 0; row < 4; ++row)
    CHECK(std::equal(expected[row], expected[row] + 4, &quantized.values[row * quantized_row_size(4)]));
  CHECK(rows[0].scale == 0 && rows[1].scale == 0 && rows[3].scale == 1);
  CHECK(rows[2].correction * 61 == rows[3].correction * -42 && rows[3].correction > 0);
}

// A row, or the weights of an output, with a NaN or an infinity: all that they meet is NaN, and nothing else.
void what_is_not_finite_stays_seen() {
  const LinearShape shape{9, 76, 50};
  const auto bias = random<float>(shape.out, 6);
  for (const float bad : {NAN, -NAN, INFINITY, -INFINITY}) {
    auto x = random<float>(shape.rows * shape.in, 4), w = random<float>(shape.out * shape.in, 5);
    x[4 * shape.in + 70] = bad;
    w[20 * shape.in + 3] = bad;
    const std::vector<float> y =
        linear_of(quantize(x, shape.rows, shape.in), pack(w, shape.out, shape.in), bias, shape);
    for (int64_t t = 0; t < shape.rows; ++t) {
      for (int64_t n = 0; n < shape.out; ++n) CHECK(std::isnan(y[t * shape.out + n]) == (t == 4 || n == 20));
    }
  }
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

// A copy of values that ends where memory that nobody may read begins.
template <typename T>
class AtTheEdge {
 public:
  explicit AtTheEdge(const std::vector<T>& values) : bytes_(values.size() * sizeof(T)) {
    whole_ = (bytes_ + kPage - 1) / kPage * kPage + kPage;
    base_ =
        static_cast<char*>(mmap(nullptr, whole_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK(base_ != MAP_FAILED);
    CHECK(mprotect(base_ + whole_ - kPage, kPage, PROT_NONE) == 0);
    std::copy(values.begin(), values.end(), data());
  }
  AtTheEdge(const AtTheEdge&) = delete;
  AtTheEdge& operator=(const AtTheEdge&) = delete;
  ~AtTheEdge() { munmap(base_, whole_); }
  T* data() const { return reinterpret_cast<T*>(base_ + whole_ - kPage - bytes_); }

 private:
  static constexpr size_t kPage = 4096;
  size_t bytes_, whole_;
  char* base_;
};

// Instructions that read sixteen rows at once must not read those that are not there.
void reads_its_rows_alone() {
  const int64_t in = 52, out = 20;
  const Int8Layer layer = pack(random<float>(out * in, 5), out, in);
  const auto bias = random<float>(out, 6);
  const Case<bfloat16> narrow({33, in, out});
  for (const int64_t rows : {1, 5, 15, 17, 33}) {
    const auto x = random<float>(rows * in, 4);
    const Int8Rows quantized = quantize(x, rows, in);
    const AtTheEdge<int8_t> edge(quantized.values);
    std::vector<float> y(rows * out);
    linear_int8(edge.data(), quantized.rows.data(),
                {layer.packed.data(), layer.scales.data(), layer.piece_lengths.data()}, bias.data(),
                {rows, in, out}, Activation::none, y.data());
    CHECK(y == linear_of(quantized, layer, bias, {rows, in, out}));
    const AtTheEdge<bfloat16> rounded(std::vector<bfloat16>(rows * bfloat16_row_size(in)));
    round_rows(x.data(), rows, in, rounded.data());
    linear_bfloat16(rounded.data(), narrow.packed.data(), bias.data(), {rows, in, out}, Activation::none,
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
                     {"integers within their steps", integers_within_their_steps},
                     {"integers of all sizes", integers_of_all_sizes},
                     {"integers at the limit of 16 bits", integers_at_the_limit_of_16_bits},
                     {"quantizes awkward rows", quantizes_awkward_rows},
                     {"what is not finite stays seen", what_is_not_finite_stays_seen},
                     {"bfloat16 that is not finite", bfloat16_that_is_not_finite},
                     {"reads its rows alone", reads_its_rows_alone},
                     {"bits do not depend on the batch", bits_do_not_depend_on_the_batch}});
}
