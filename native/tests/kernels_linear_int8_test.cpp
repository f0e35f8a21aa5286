#include <algorithm>
#include <cmath>

#include "at_the_edge.h"
#include "check.h"
#include "device.h"
#include "exact_sums.h"
#include "kernels/aligned_vector.h"
#include "kernels/linear_int8.h"

namespace {

using device::random;
using namespace xlembed::kernels;

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

// Instructions that read sixteen rows at once must not read those that are not there.
void reads_its_rows_alone() {
  const int64_t in = 52, out = 20;
  const Int8Layer layer = pack(random<float>(out * in, 5), out, in);
  const auto bias = random<float>(out, 6);
  for (const int64_t rows : {1, 5, 15, 17, 33}) {
    const Int8Rows quantized = quantize(random<float>(rows * in, 4), rows, in);
    const AtTheEdge<int8_t> edge(quantized.values);
    std::vector<float> y(rows * out);
    linear_int8(edge.data(), quantized.rows.data(),
                {layer.packed.data(), layer.scales.data(), layer.piece_lengths.data()}, bias.data(),
                {rows, in, out}, Activation::none, y.data());
    CHECK(y == linear_of(quantized, layer, bias, {rows, in, out}));
  }
}

}  // namespace

int main() {
  return check::run({{"integers within their steps", integers_within_their_steps},
                     {"integers of all sizes", integers_of_all_sizes},
                     {"integers at the limit of 16 bits", integers_at_the_limit_of_16_bits},
                     {"quantizes awkward rows", quantizes_awkward_rows},
                     {"what is not finite stays seen", what_is_not_finite_stays_seen},
                     {"reads its rows alone", reads_its_rows_alone}});
}
