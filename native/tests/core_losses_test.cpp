// Every loss against its formula in float64 loops, and its gradient against finite differences of them.
#include <cmath>
#include <functional>
#include <limits>

#include "check.h"
#include "core/error.h"
#include "core/losses.h"

namespace {

using at::Tensor;
using xlembed::LossOptions;
using xlembed::LossValue;
using xlembed::NegativeLanguages;
using xlembed::PairLabels;
using Matrix = std::vector<std::vector<double>>;
using Formula = std::function<double(const Matrix& queries, const Matrix& passages)>;

constexpr int64_t kQueries = 5, kPassages = 8, kDimensions = 6;
const double kNaN = std::numeric_limits<double>::quiet_NaN();

Matrix random_matrix(int64_t rows, uint64_t seed) {
  const Tensor values = at::randn({rows, kDimensions}, at::detail::createCPUGenerator(seed), at::kDouble);
  Matrix matrix(rows, std::vector<double>(kDimensions));
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t d = 0; d < kDimensions; ++d) matrix[r][d] = values[r][d].item<double>();
  return matrix;
}

Tensor tensor_of(const Matrix& matrix) {
  Tensor result = at::empty({static_cast<int64_t>(matrix.size()), static_cast<int64_t>(matrix[0].size())});
  for (size_t r = 0; r < matrix.size(); ++r)
    for (size_t c = 0; c < matrix[r].size(); ++c)
      result[static_cast<int64_t>(r)][static_cast<int64_t>(c)] = matrix[r][c];
  return result;
}

// Cosine over the first `size` dimensions.
double cosine(const std::vector<double>& a, const std::vector<double>& b, int64_t size = kDimensions) {
  double dot = 0, aa = 0, bb = 0;
  for (int64_t d = 0; d < size; ++d) dot += a[d] * b[d], aa += a[d] * a[d], bb += b[d] * b[d];
  return dot / std::sqrt(aa * bb);
}

double info_nce_of(const Matrix& q, const Matrix& p, double temperature, int64_t size = kDimensions) {
  double total = 0;
  for (size_t i = 0; i < q.size(); ++i) {
    double sum = 0;
    for (const auto& passage : p) sum += std::exp(cosine(q[i], passage, size) / temperature);
    total += std::log(sum) - cosine(q[i], p[i], size) / temperature;
  }
  return total / static_cast<double>(q.size());
}

void compare(const LossOptions& options, const PairLabels& labels, const Formula& formula) {
  const auto loss = make_loss(options, at::kCPU);
  const Matrix q = random_matrix(kQueries, 1), p = random_matrix(kPassages, 2);
  const Tensor queries = tensor_of(q).requires_grad_(), passages = tensor_of(p).requires_grad_();
  const LossValue value = (*loss)(queries, passages, labels);
  CHECK_CLOSE(value.loss.item<double>(), formula(q, p), 1e-6, 1e-5);
  value.loss.backward();
  const double step = 1e-5;
  const auto check_gradient = [&](bool of_queries) {
    const Tensor gradient = (of_queries ? queries : passages).grad();
    for (size_t r = 0; r < (of_queries ? q : p).size(); ++r) {
      for (size_t d = 0; d < kDimensions; ++d) {
        const auto at_offset = [&](double offset) {
          Matrix a = q, b = p;
          (of_queries ? a : b)[r][d] += offset;
          return formula(a, b);
        };
        const double expected = (at_offset(step) - at_offset(-step)) / (2 * step);
        CHECK_CLOSE(gradient[static_cast<int64_t>(r)][static_cast<int64_t>(d)].item<double>(), expected, 2e-5,
                    1e-4);
      }
    }
  };
  check_gradient(true);
  check_gradient(false);
}

LossOptions cosine_loss(const std::string& kind) {
  return {.kind = kind, .normalize = true, .temperature = 0.3};
}

void in_batch_contrastive() {
  compare(cosine_loss("info_nce"), {},
          [](const Matrix& q, const Matrix& p) { return info_nce_of(q, p, 0.3); });
}

void matryoshka() {
  LossOptions options = cosine_loss("info_nce");
  options.matryoshka_sizes = {6, 3, 2};
  options.matryoshka_weights = {1, 0.5, 0.25};
  compare(options, {}, [](const Matrix& q, const Matrix& p) {
    return info_nce_of(q, p, 0.3, 6) + 0.5 * info_nce_of(q, p, 0.3, 3) + 0.25 * info_nce_of(q, p, 0.3, 2);
  });
}

void hardest_triplet() {
  LossOptions options = cosine_loss("triplet");
  const std::vector<int32_t> groups = {0, 1, -1, 1, -1, 0, -1, -1}, languages = {0, 1, 0, 1, 0, 0, 1, 0};
  const std::vector<float> weights = {1, 2, 0.5, 0, 1};
  PairLabels labels{.row_weights = at::tensor(weights),
                    .passage_groups = at::tensor(groups, at::kInt),
                    .query_languages = at::tensor(std::vector<int32_t>{1, 0, 1, 0, 1}, at::kInt),
                    .passage_languages = at::tensor(languages, at::kInt)};
  const std::vector<int32_t> own = {1, 0, 1, 0, 1};
  for (const auto rule : {NegativeLanguages::any, NegativeLanguages::same, NegativeLanguages::other}) {
    options.negative_languages = rule;
    compare(options, labels, [&](const Matrix& q, const Matrix& p) {
      double total = 0, count = 0;
      for (size_t i = 0; i < q.size(); ++i) {
        double hardest = -2;
        for (size_t j = 0; j < p.size(); ++j) {
          const bool grouped = groups[i] >= 0 && groups[i] == groups[j];
          const bool same = own[i] == languages[j];
          const bool fits = rule == NegativeLanguages::any || same == (rule == NegativeLanguages::same);
          if (j != i && !grouped && fits) hardest = std::max(hardest, cosine(q[i], p[j]));
        }
        total += weights[i] * std::max(0.0, 0.4 + hardest - cosine(q[i], p[i]));
        count += weights[i];
      }
      return total / count;
    });
  }
  // Without any negative there is nothing to learn, and nothing that is not a number.
  labels.passage_groups = at::zeros({kPassages}, at::kInt);
  options.negative_languages = NegativeLanguages::any;
  compare(options, labels, [](const Matrix&, const Matrix&) { return 0.0; });
}

// Scores for some pairs: none for query 3; query 2 has no score of its own passage.
Matrix teacher_matrix() {
  Matrix teacher(kQueries, std::vector<double>(kPassages, kNaN));
  for (size_t i = 0; i < kQueries; ++i) {
    if (i == 3) continue;
    for (size_t j = 0; j < kPassages; ++j) {
      if ((i + j) % 3 != 1) teacher[i][j] = std::sin(static_cast<double>(3 * i + 5 * j));
    }
    teacher[i][i] = i == 2 ? kNaN : 0.9;
  }
  return teacher;
}

void kl_distillation() {
  const Matrix teacher = teacher_matrix();
  LossOptions options = cosine_loss("kl_distillation");
  options.teacher_temperature = 0.5;
  compare(options, {.teacher_scores = tensor_of(teacher)}, [&](const Matrix& q, const Matrix& p) {
    double total = 0, rows = 0;
    for (size_t i = 0; i < q.size(); ++i) {
      double student = 0, taught = 0, row = 0;
      for (size_t j = 0; j < p.size(); ++j) {
        if (std::isnan(teacher[i][j])) continue;
        student += std::exp(cosine(q[i], p[j]) / 0.3);
        taught += std::exp(teacher[i][j] / 0.5);
      }
      if (taught == 0) continue;
      for (size_t j = 0; j < p.size(); ++j) {
        if (std::isnan(teacher[i][j])) continue;
        const double t = std::exp(teacher[i][j] / 0.5) / taught;
        row += t * (std::log(t) - (cosine(q[i], p[j]) / 0.3 - std::log(student)));
      }
      total += row;
      ++rows;
    }
    return total / rows;
  });
}

void margin_mse() {
  const Matrix teacher = teacher_matrix();
  compare(cosine_loss("margin_mse"), {.teacher_scores = tensor_of(teacher)},
          [&](const Matrix& q, const Matrix& p) {
            double total = 0, rows = 0;
            for (size_t i = 0; i < q.size(); ++i) {
              double row = 0, count = 0;
              for (size_t j = 0; j < p.size(); ++j) {
                const double wanted = teacher[i][i] - teacher[i][j];
                if (j == i || std::isnan(wanted)) continue;
                row += std::pow(cosine(q[i], p[i]) - cosine(q[i], p[j]) - wanted, 2);
                ++count;
              }
              if (count == 0) continue;
              total += row / count;
              ++rows;
            }
            return total / rows;
          });
}

void temperature_is_learnt() {
  LossOptions options = cosine_loss("info_nce");
  options.learn_temperature = true;
  const auto loss = make_loss(options, at::kCPU);
  CHECK(loss->leaves().size() == 1 && !loss->leaves()[0].decay);
  CHECK_CLOSE(loss->temperature(), 0.3, 0, 1e-6);
  const Matrix q = random_matrix(kQueries, 1), p = random_matrix(kPassages, 2);
  (*loss)(tensor_of(q), tensor_of(p), {}).loss.backward();
  const double step = 1e-5;
  const double expected =
      (info_nce_of(q, p, 0.3 * std::exp(step)) - info_nce_of(q, p, 0.3 * std::exp(-step))) / (2 * step);
  CHECK_CLOSE(loss->leaves()[0].tensor.grad().item<double>(), expected, 1e-5, 1e-4);
}

void refuses() {
  const Tensor q = tensor_of(random_matrix(kQueries, 1)), p = tensor_of(random_matrix(kPassages, 2));
  const auto refused = [&](const LossOptions& options) {
    CHECK_REFUSED("INVALID_ARGUMENT", [&] { (*make_loss(options, at::kCPU))(q, p, {}); });
  };
  refused(cosine_loss("other"));
  refused(cosine_loss("margin_mse"));
  refused({.kind = "triplet", .negative_languages = NegativeLanguages::same});
  refused({.matryoshka_sizes = {7}});
  refused({.matryoshka_sizes = {6, 3}, .matryoshka_weights = {1}});
}

}  // namespace

int main() {
  return check::run({{"in-batch contrastive", in_batch_contrastive},
                     {"Matryoshka", matryoshka},
                     {"triplet with the hardest negative", hardest_triplet},
                     {"distillation by KL divergence", kl_distillation},
                     {"distillation by margins", margin_mse},
                     {"learnt temperature", temperature_is_learnt},
                     {"refusals", refuses}});
}
