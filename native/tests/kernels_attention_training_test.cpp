// Against float64, written out: the forward pass, and the gradient by its formula and by finite differences.
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
  });
}
