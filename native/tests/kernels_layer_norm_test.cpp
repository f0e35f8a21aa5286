#include <cmath>

#include "check.h"
#include "device.h"
#include "kernels/layer_norm.h"

namespace {

using device::random;
using namespace xlembed::kernels;

struct Norm {
  explicit Norm(int64_t dimensions)
      : weight(random<float>(dimensions, 11)), bias(random<float>(dimensions, 12)) {}
  LayerNormWeights weights() const { return {weight.data(), bias.data(), 1e-5f}; }
  std::vector<float> weight, bias;
};

void check_row(const float* actual, const std::vector<double>& sum, const Norm& norm) {
  const auto count = static_cast<int64_t>(sum.size());
  double mean = 0, variance = 0, size = 0;
  for (const double value : sum) mean += value / count;
  for (const double value : sum) {
    variance += (value - mean) * (value - mean) / count;
    size = std::fmax(size, std::fabs(value));
  }
  const double deviation = std::sqrt(variance + 1e-5);
  for (int64_t d = 0; d < count; ++d) {
    const double expected = (sum[d] - mean) / deviation * norm.weight[d] + norm.bias[d];
    CHECK_CLOSE(actual[d], expected, 1e-6 + 1e-6 * size / deviation * std::fabs(norm.weight[d]), 1e-6);
  }
}

void adds_and_normalises(int64_t rows, int64_t dimensions, float shift) {
  const Norm norm(dimensions);
  const auto before = random<float>(rows * dimensions, 1), added = random<float>(rows * dimensions, 2);
  auto x = before;
  for (float& value : x) value += shift;
  const auto shifted = x;
  add_layer_norm(x.data(), added.data(), norm.weights(), rows, dimensions);
  for (int64_t r = 0; r < rows; ++r) {
    std::vector<double> sum(dimensions);
    for (int64_t d = 0; d < dimensions; ++d) {
      sum[d] = static_cast<double>(shifted[r * dimensions + d]) + added[r * dimensions + d];
    }
    check_row(&x[r * dimensions], sum, norm);
  }
}

void every_shape() {
  for (const int64_t rows : {0, 1, 33, 300}) {
    for (const int64_t dimensions : {1, 7, 384, 1000}) adds_and_normalises(rows, dimensions, 0);
  }
}

void a_mean_far_from_zero() { adds_and_normalises(5, 384, 1000); }

template <typename T>
void embeds(int64_t dimensions) {
  const Norm norm(dimensions);
  const auto words = random<T>(20 * dimensions, 3), positions = random<T>(9 * dimensions, 4),
             type = random<T>(dimensions, 5);
  const std::vector<int64_t> ids = {7, 0, 19, 7}, places = {2, 3, 8, 0};
  std::vector<float> x(ids.size() * dimensions);
  embed_layer_norm(words.data(), positions.data(), type.data(), ids.data(), places.data(), norm.weights(),
                   static_cast<int64_t>(ids.size()), dimensions, x.data());
  for (size_t r = 0; r < ids.size(); ++r) {
    std::vector<double> sum(dimensions);
    for (int64_t d = 0; d < dimensions; ++d) {
      sum[d] = static_cast<double>(to_float(words[ids[r] * dimensions + d])) +
               to_float(positions[places[r] * dimensions + d]) + to_float(type[d]);
    }
    check_row(&x[r * dimensions], sum, norm);
  }
}

void embeds_tokens() {
  for (const int64_t dimensions : {7, 384}) {
    embeds<float>(dimensions);
    embeds<bfloat16>(dimensions);
  }
}

}  // namespace

int main() {
  return check::run({{"every shape", every_shape},
                     {"a mean far from zero", a_mean_far_from_zero},
                     {"embeds tokens", embeds_tokens}});
}
