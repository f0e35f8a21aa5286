#include "core/triplet.h"

#include <limits>

#include "core/error.h"

namespace xlembed {
namespace {

constexpr int64_t kRows = 512;  // of similarities in memory at a time

// (rows, M): whether a passage is a negative of queries first .. first + rows - 1.
at::Tensor negatives(const PairLabels& labels, NegativeLanguages rule, int64_t first, int64_t rows,
                     const at::Tensor& columns) {
  at::Tensor result = columns.unsqueeze(0) != columns.narrow(0, first, rows).unsqueeze(1);
  if (labels.passage_groups.defined()) {
    const at::Tensor own = labels.passage_groups.narrow(0, first, rows).unsqueeze(1);
    result = result & ((own != labels.passage_groups.unsqueeze(0)) | (own < 0));
  }
  if (rule != NegativeLanguages::any) {
    const at::Tensor own = labels.query_languages.narrow(0, first, rows).unsqueeze(1);
    const at::Tensor same = own == labels.passage_languages.unsqueeze(0);
    result = result & (rule == NegativeLanguages::same ? same : same.logical_not());
  }
  return result;
}

}  // namespace

LossValue HardestTriplet::operator()(const at::Tensor& queries, const at::Tensor& passages,
                                     const PairLabels& labels) const {
  if (negative_languages_ != NegativeLanguages::any &&
      !(labels.query_languages.defined() && labels.passage_languages.defined())) {
    throw CodedError("INVALID_ARGUMENT", "expected languages for a rule on negative languages");
  }
  const int64_t N = queries.size(0);
  std::vector<at::Tensor> hardest, present;
  {
    const at::NoGradGuard no_grad;
    const at::Tensor columns = at::arange(passages.size(0), at::device(passages.device()).dtype(at::kLong));
    for (int64_t first = 0; first < N; first += kRows) {
      const int64_t rows = std::min(kRows, N - first);
      const at::Tensor allowed = negatives(labels, negative_languages_, first, rows, columns);
      const at::Tensor scores =
          at::mm(queries.narrow(0, first, rows), passages.t())
              .masked_fill_(allowed.logical_not(), -std::numeric_limits<float>::infinity());
      hardest.push_back(scores.argmax(1));
      present.push_back(allowed.any(1));
    }
  }
  const at::Tensor positive = (queries * passages.narrow(0, 0, N)).sum(1);
  const at::Tensor negative = (queries * passages.index_select(0, at::cat(hardest))).sum(1);
  const at::Tensor has_negative = at::cat(present);
  const at::Tensor row_loss = at::where(has_negative, at::relu(negative - positive + margin_), 0.0);
  const at::Tensor correct = (positive > negative) | has_negative.logical_not();
  const at::Tensor& weights = labels.row_weights;
  return {weights.defined() ? (row_loss * weights).sum() / weights.sum() : row_loss.mean(),
          correct.to(at::kDouble).mean().item<double>(), total_weight(labels, N)};
}

}  // namespace xlembed
