#include <algorithm>
#include <cmath>

#include "check.h"
#include "device.h"
#include "kernels/attention.h"
#include "kernels/vector_exp.h"

namespace {

using device::random;
using xlembed::kernels::attention;
using xlembed::kernels::AttentionShape;
using xlembed::kernels::bfloat16;
using xlembed::kernels::to_float;

// One head of one sequence, and for each dimension the sum of |weight * value|.
template <typename T>
void expected_row(const T* rows, int64_t length, int64_t i, int64_t head, AttentionShape shape, double* y,
                  double* size) {
  const int64_t hidden = shape.heads * shape.width, stride = 3 * hidden;
  const T* query = rows + i * stride + head * shape.width;
  std::vector<double> weights(length);
  for (int64_t j = 0; j < length; ++j) {
    const T* key = rows + j * stride + hidden + head * shape.width;
    for (int64_t d = 0; d < shape.width; ++d)
      weights[j] += static_cast<double>(to_float(query[d])) * to_float(key[d]);
    weights[j] /= std::sqrt(static_cast<double>(shape.width));
  }
  const double largest = *std::max_element(weights.begin(), weights.end());
  double total = 0;
  for (double& weight : weights) total += weight = std::exp(weight - largest);
  std::fill_n(y, shape.width, 0.0);
  std::fill_n(size, shape.width, 0.0);
  for (int64_t j = 0; j < length; ++j) {
    const T* value = rows + j * stride + 2 * hidden + head * shape.width;
    for (int64_t d = 0; d < shape.width; ++d) {
      y[d] += weights[j] / total * to_float(value[d]);
      size[d] += weights[j] / total * std::fabs(to_float(value[d]));
    }
  }
}

template <typename T>
void matches_float64(const std::vector<int64_t>& lengths, int64_t heads, int64_t width, double magnitude) {
  std::vector<int32_t> cumulative = {0};
  for (const int64_t length : lengths) cumulative.push_back(cumulative.back() + static_cast<int32_t>(length));
  const int64_t hidden = heads * width;
  const AttentionShape shape{static_cast<int64_t>(lengths.size()), heads, width};
  auto rows = random<T>(cumulative.back() * 3 * hidden, 1);
  for (T& value : rows) value = device::narrow<T>(to_float(value) * magnitude);
  std::vector<T> y(cumulative.back() * hidden);
  attention(rows.data(), cumulative.data(), shape, y.data());
  std::vector<double> expected(width), size(width);
  for (size_t s = 0; s < lengths.size(); ++s) {
    const T* first = rows.data() + cumulative[s] * 3 * hidden;
    const int64_t step = std::max<int64_t>(1, lengths[s] / 40);
    for (int64_t i = 0; i < lengths[s]; i += step) {
      for (int64_t head = 0; head < heads; ++head) {
        expected_row(first, lengths[s], i, head, shape, expected.data(), size.data());
        for (int64_t d = 0; d < width; ++d) {
          const double actual = to_float(y[(cumulative[s] + i) * hidden + head * width + d]);
          const double scores = 1e-6 * magnitude * magnitude * std::sqrt(static_cast<double>(width));
          const double weights = sizeof(T) == 4 ? 1e-6 : 4e-3;  // of which bfloat16 keeps 8 bits
          CHECK_CLOSE(actual, expected[d], (scores + weights) * size[d], device::rounding<T>);
        }
      }
    }
  }
}

void every_length() {
  for (const int64_t width : {32, 64}) {
    matches_float64<float>({1, 2, 0, 31, 33, 257, 512}, 3, width, 1);
    matches_float64<bfloat16>({1, 2, 0, 31, 33, 257, 512}, 3, width, 1);
  }
  matches_float64<float>({}, 3, 32, 1);
}

void every_width() {
  for (const int64_t width : {1, 7, 16, 48, 80, 128}) matches_float64<float>({5, 40}, 2, width, 1);
  for (const int64_t width : {2, 14, 48, 80, 128}) matches_float64<bfloat16>({5, 40}, 2, width, 1);
}

// Scores of +-1,000 and more: one key takes all the weight.
void large_scores() {
  matches_float64<float>({1, 33, 100}, 2, 32, 20);
  matches_float64<bfloat16>({1, 33, 100}, 2, 32, 20);
}

void coarse_exponential() {
  for (double x = -87; x <= 0; x += 0.00037) {
    const auto value = static_cast<float>(x);
    const double exact = std::exp(static_cast<double>(value));
    CHECK_CLOSE(xlembed::kernels::vector_exp_coarse(value), exact, 1.1e-4 * exact, 0);
  }
  for (const float low : {-88.0f, -1e30f, -INFINITY}) {
    const float value = xlembed::kernels::vector_exp_coarse(low);
    CHECK(value >= 0 && value < 2e-38f);
  }
  CHECK(std::isnan(xlembed::kernels::vector_exp_coarse(NAN)));
}

template <typename T>
void alone_and_beside_others() {
  const AttentionShape shape{3, 4, 32};
  const int64_t hidden = shape.heads * shape.width;
  const std::vector<int32_t> cumulative = {0, 19, 52, 150};
  const auto rows = random<T>(cumulative.back() * 3 * hidden, 2);
  std::vector<T> together(cumulative.back() * hidden);
  attention(rows.data(), cumulative.data(), shape, together.data());
  for (int64_t s = 0; s < shape.sequences; ++s) {
    const int32_t length = cumulative[s + 1] - cumulative[s];
    const std::vector<int32_t> offsets = {0, length};
    std::vector<T> alone(length * hidden);
    attention(rows.data() + cumulative[s] * 3 * hidden, offsets.data(), {1, shape.heads, shape.width},
              alone.data());
    const auto first = together.begin() + cumulative[s] * hidden;
    CHECK(device::equal_bits(alone, std::vector<T>(first, first + length * hidden)));
  }
}

void bits_do_not_depend_on_the_batch() {
  alone_and_beside_others<float>();
  alone_and_beside_others<bfloat16>();
}

}  // namespace

int main() {
  return check::run({{"every length", every_length},
                     {"every width", every_width},
                     {"large scores", large_scores},
                     {"coarse exponential", coarse_exponential},
                     {"bits do not depend on the batch", bits_do_not_depend_on_the_batch}});
}
