#include "core/distillation.h"

#include <limits>

#include "core/error.h"

namespace xlembed {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

void check(const at::Tensor& queries, const at::Tensor& passages, const PairLabels& labels) {
  const at::Tensor& teacher = labels.teacher_scores;
  if (teacher.defined() && teacher.dim() == 2 && teacher.size(0) == queries.size(0) &&
      teacher.size(1) == passages.size(0)) {
    return;
  }
  throw CodedError("INVALID_ARGUMENT", "expected teacher scores for " + std::to_string(queries.size(0)) +
                                           " queries by " + std::to_string(passages.size(0)) + " passages");
}

double accuracy(const at::Tensor& scores) {
  const at::Tensor own = at::arange(scores.size(0), at::device(scores.device()).dtype(at::kLong));
  return (scores.detach().argmax(1) == own).to(at::kDouble).mean().item<double>();
}

// The mean of rows (N) under the batch's weights, over the rows that `counted` (N) marks; 0, and a gradient
// of 0, where those are none: from passages without scores there is nothing to learn.
LossValue mean_of_rows(const at::Tensor& rows, const at::Tensor& counted, const PairLabels& labels,
                       double accuracy) {
  at::Tensor weights = counted.to(rows.scalar_type());
  if (labels.row_weights.defined()) weights = weights * labels.row_weights;
  const double total = weights.sum().item<double>();
  return {(rows * weights).sum() / (total > 0 ? total : 1), accuracy, total};
}

}  // namespace

LossValue KlDistillation::operator()(const at::Tensor& queries, const at::Tensor& passages,
                                     const PairLabels& labels) const {
  check(queries, passages, labels);
  const at::Tensor scores = at::mm(queries, passages.t());
  const at::Tensor absent = labels.teacher_scores.isnan();
  const at::Tensor counted = absent.all(1).logical_not();
  // A row without a score takes part as one of equal scores, so that it has no NaN, and is not counted.
  const at::Tensor hidden = absent & counted.unsqueeze(1);
  const at::Tensor teacher =
      (labels.teacher_scores.nan_to_num(0.0) / teacher_temperature_).masked_fill(hidden, kLowest).softmax(1);
  const at::Tensor student = (scores / temperature_).masked_fill(hidden, kLowest).log_softmax(1);
  const at::Tensor terms = at::where(hidden, 0.0, at::xlogy(teacher, teacher) - teacher * student);
  return mean_of_rows(terms.sum(1), counted, labels, accuracy(scores));
}

LossValue MarginMse::operator()(const at::Tensor& queries, const at::Tensor& passages,
                                const PairLabels& labels) const {
  check(queries, passages, labels);
  const at::Tensor scores = at::mm(queries, passages.t());
  const auto margins = [](const at::Tensor& matrix) { return matrix.diagonal().unsqueeze(1) - matrix; };
  const at::Tensor wanted = margins(labels.teacher_scores);  // NaN where either score is absent
  at::Tensor scored = wanted.isnan().logical_not();
  scored.diagonal().fill_(false);
  const at::Tensor error = at::where(scored, margins(scores) - wanted.nan_to_num(0.0), 0.0);
  const at::Tensor count = scored.sum(1);
  const at::Tensor rows = error.square().sum(1) / count.clamp_min(1);
  return mean_of_rows(rows, count > 0, labels, accuracy(scores));
}

}  // namespace xlembed
