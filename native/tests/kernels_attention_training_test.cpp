// Against float64, written out: the forward pass, and the gradient by finite differences. On a GPU, in
// bfloat16, against the float32 of the CPU.
#include <cmath>

#include "check.h"
#include "device.h"
#include "kernels/attention_training.h"

namespace {

using namespace xlembed::kernels;

constexpr double kProbability = 0.25;

struct Problem {
  std::vector<int32_t> cumulative = {0};
  std::vector<int32_t> keys;
  AttentionShape shape;
  std::vector<float> rows, gradient;
  AttentionDropout dropout{nullptr, {}};

  Problem(const std::vector<int64_t>& lengths, int64_t heads, int64_t width, bool drops) {
    for (const int64_t length : lengths)
      cumulative.push_back(cumulative.back() + static_cast<int32_t>(length));
    shape = {static_cast<int64_t>(lengths.size()), heads, width};
    rows = device::random<float>(tokens() * 3 * hidden(), 1);
    gradient = device::random<float>(tokens() * hidden(), 2);
    for (int64_t t = 0; t < tokens(); ++t) keys.push_back(static_cast<int32_t>(t * 2654435761u));
    if (drops) dropout = {keys.data(), {static_cast<uint32_t>(kProbability * 4294967296.0), 9, 4.0f / 3}};
  }
  int64_t tokens() const { return cumulative.back(); }
  int64_t hidden() const { return shape.heads * shape.width; }

  double keep(int64_t token, int64_t head, int64_t j) const {
    if (!dropout.keys) return 1;
    const auto key = static_cast<uint32_t>(keys[token]) ^ mix_bits(static_cast<uint32_t>(head + 1));
    const uint32_t row = dropout_row(static_cast<int32_t>(key), dropout.rule.site);
    return dropout_keeps(row, static_cast<uint32_t>(j), dropout.rule.threshold) ? dropout.rule.scale : 0;
  }

  // Softmax's weights of query i against the tokens of its sequence, which begins at `first`.
  std::vector<double> weights(const std::vector<double>& x, int64_t first, int64_t length, int64_t i,
                              int64_t head) const {
    std::vector<double> w(length);
    double total = 0;
    for (int64_t j = 0; j < length; ++j) {
      double score = 0;
      for (int64_t d = 0; d < shape.width; ++d) {
        score += x[(first + i) * 3 * hidden() + head * shape.width + d] *
                 x[(first + j) * 3 * hidden() + hidden() + head * shape.width + d];
      }
      total += w[j] = std::exp(score / std::sqrt(static_cast<double>(shape.width)));
    }
    for (double& value : w) value /= total;
    return w;
  }

  std::vector<double> expected(const std::vector<double>& x) const {
    std::vector<double> y(tokens() * hidden());
    for (int64_t s = 0; s < shape.sequences; ++s) {
      const int64_t first = cumulative[s], length = cumulative[s + 1] - first;
      for (int64_t head = 0; head < shape.heads; ++head) {
        for (int64_t i = 0; i < length; ++i) {
          const std::vector<double> w = weights(x, first, length, i, head);
          for (int64_t j = 0; j < length; ++j) {
            const double weight = w[j] * keep(first + i, head, j);
            for (int64_t d = 0; d < shape.width; ++d) {
              y[(first + i) * hidden() + head * shape.width + d] +=
                  weight * x[(first + j) * 3 * hidden() + 2 * hidden() + head * shape.width + d];
            }
          }
        }
      }
    }
    return y;
  }

  // sum of output * gradient: its derivative by an input is that input's gradient
  double objective(const std::vector<double>& x) const {
    const std::vector<double> y = expected(x);
    double total = 0;
    for (size_t k = 0; k < y.size(); ++k) total += y[k] * gradient[k];
    return total;
  }

  std::vector<float> backward() const {
    std::vector<float> result(rows.size(), NAN);
    attention_backward(rows.data(), cumulative.data(), shape, dropout, gradient.data(), result.data());
    return result;
  }
};

void forward_matches(const Problem& problem) {
  std::vector<float> y(problem.tokens() * problem.hidden(), NAN);
  attention_forward(problem.rows.data(), problem.cumulative.data(), problem.shape, problem.dropout, y.data());
  const std::vector<double> expected = problem.expected({problem.rows.begin(), problem.rows.end()});
  for (size_t k = 0; k < y.size(); ++k) CHECK_CLOSE(y[k], expected[k], 2e-6, 2e-6);
}

void gradient_matches(const Problem& problem, int64_t every) {
  const std::vector<float> actual = problem.backward();
  std::vector<double> x(problem.rows.begin(), problem.rows.end());
  constexpr double kStep = 1e-5;
  for (size_t k = 0; k < x.size(); ++k) {
    CHECK(std::isfinite(actual[k]));
    if (k % every != 0) continue;
    const double at = x[k];
    x[k] = at + kStep;
    const double above = problem.objective(x);
    x[k] = at - kStep;
    const double below = problem.objective(x);
    x[k] = at;
    CHECK_CLOSE(actual[k], (above - below) / (2 * kStep), 5e-6, 2e-5);
  }
}

#ifdef XLEMBED_WITH_CUDA

using device::Array;
using device::Kind;

// |a - b| / |b|
double difference(const std::vector<bfloat16>& a, const std::vector<float>& b) {
  double squares = 0, size = 0;
  for (size_t k = 0; k < b.size(); ++k) {
    squares += std::pow(to_float(a[k]) - b[k], 2);
    size += std::pow(b[k], 2);
  }
  return std::sqrt(squares / size);
}

struct OnDevice {
  std::vector<bfloat16> output, gradient;
};

OnDevice run_on_device(const Problem& problem) {
  const auto narrow = [](const std::vector<float>& values) {
    std::vector<bfloat16> result;
    for (const float value : values) result.push_back(round_to_bfloat16(value));
    return Array<bfloat16>(Kind::cuda, result);
  };
  const AttentionShape shape = problem.shape;
  const int64_t tokens = problem.tokens();
  int64_t longest = 0;
  for (int64_t s = 0; s < shape.sequences; ++s)
    longest = std::max<int64_t>(longest, problem.cumulative[s + 1] - problem.cumulative[s]);
  Array<bfloat16> rows = narrow(problem.rows), output_gradient = narrow(problem.gradient);
  Array<int32_t> cumulative(Kind::cuda, problem.cumulative), keys(Kind::cuda, problem.keys);
  Array<bfloat16> output(Kind::cuda, tokens * problem.hidden()), gradient(Kind::cuda, problem.rows.size());
  Array<float> log_sums(Kind::cuda, tokens * shape.heads),
      scratch(Kind::cuda, tokens * shape.heads * cuda::attention_scratch_floats);
  AttentionDropout dropout = problem.dropout;
  if (dropout.keys) dropout.keys = keys.data();
  cuda::attention_forward(rows.data(), cumulative.data(), shape, dropout, longest, output.data(),
                          log_sums.data(), nullptr);
  cuda::attention_backward(rows.data(), cumulative.data(), shape, dropout, longest, output.data(),
                           log_sums.data(), output_gradient.data(), scratch.data(), gradient.data(), nullptr);
  return {output.get(), gradient.get()};
}

void device_matches(Problem problem) {
  if (device::all().size() < 2) return;
  for (auto* values : {&problem.rows, &problem.gradient}) {
    for (float& value : *values) value = to_float(round_to_bfloat16(value));
  }
  std::vector<float> output(problem.tokens() * problem.hidden());
  attention_forward(problem.rows.data(), problem.cumulative.data(), problem.shape, problem.dropout,
                    output.data());
  const std::vector<float> gradient = problem.backward();
  const OnDevice actual = run_on_device(problem);
  for (const bfloat16 value : actual.output) CHECK(std::isfinite(to_float(value)));
  for (const bfloat16 value : actual.gradient) CHECK(std::isfinite(to_float(value)));
  // Weights and results are rounded to 8 bits each; what a gradient is made of, too.
  CHECK_CLOSE(difference(actual.output, output), 0, 1.5 * device::rounding<bfloat16>, 0);
  CHECK_CLOSE(difference(actual.gradient, gradient), 0, 2 * device::rounding<bfloat16>, 0);
  const OnDevice again = run_on_device(problem);
  CHECK(device::equal_bits(actual.output, again.output));
  CHECK(device::equal_bits(actual.gradient, again.gradient));
}

void device_alone() {
  if (device::all().size() < 2) return;
  const Problem both({70, 5, 0, 9}, 2, 32, true);
  const OnDevice together = run_on_device(both);
  Problem one({70}, 2, 32, true);
  std::copy_n(both.rows.begin(), one.rows.size(), one.rows.begin());
  std::copy_n(both.gradient.begin(), one.gradient.size(), one.gradient.begin());
  const OnDevice own = run_on_device(one);
  for (size_t k = 0; k < own.output.size(); ++k) CHECK(own.output[k].bits == together.output[k].bits);
  for (size_t k = 0; k < own.gradient.size(); ++k) CHECK(own.gradient[k].bits == together.gradient[k].bits);
}

#endif

// A sequence's gradient is that which it has alone.
void alone() {
  const Problem both({70, 5}, 2, 16, true);
  const std::vector<float> together = both.backward();
  Problem one({70}, 2, 16, true);
  std::copy_n(both.rows.begin(), one.rows.size(), one.rows.begin());
  std::copy_n(both.gradient.begin(), one.gradient.size(), one.gradient.begin());
  const std::vector<float> own = one.backward();
  for (size_t k = 0; k < own.size(); ++k) CHECK(own[k] == together[k]);
}

}  // namespace

int main() {
  return check::run({
      {"forward", [] { forward_matches(Problem({1, 7, 16, 33}, 3, 16, false)); }},
      {"forward with dropout, odd width, several blocks",
       [] { forward_matches(Problem({2, 65, 130}, 2, 12, true)); }},
      {"gradient", [] { gradient_matches(Problem({1, 3, 9}, 2, 8, false), 1); }},
      {"gradient with dropout", [] { gradient_matches(Problem({4, 6}, 2, 12, true), 1); }},
      {"gradient over several blocks", [] { gradient_matches(Problem({130}, 1, 16, true), 97); }},
      {"the same bits alone and in a batch", alone},
#ifdef XLEMBED_WITH_CUDA
      {"on a device", [] { device_matches(Problem({1, 7, 16, 33, 64}, 2, 32, false)); }},
      {"on a device with dropout, several tiles", [] { device_matches(Problem({3, 65, 130}, 2, 64, true)); }},
      {"on a device, widths that fill no tile",
       [] {
         device_matches(Problem({20, 97}, 1, 8, true));
         device_matches(Problem({20, 97}, 1, 40, true));
       }},
      {"on a device, nothing to do", [] { run_on_device(Problem({}, 2, 64, true)); }},
      {"the same bits alone and in a batch, on a device", device_alone},
#endif
  });
}
