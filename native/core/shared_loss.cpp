#include "core/shared_loss.h"

namespace xlembed {
namespace {

at::Tensor leaf(const at::Tensor& values) {
  return values.detach().requires_grad_(at::GradMode::is_enabled());
}

// The gradient that a leaf has received, zeros where none.
at::Tensor gradient_of(const at::Tensor& leaf) {
  return leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf);
}

bool has_weight(const PairLabels& labels) {
  return !labels.row_weights.defined() || labels.row_weights.sum().item<double>() > 0;
}

}  // namespace

SharedLoss::SharedLoss(const Loss& loss, bool symmetric, const ProcessGroup& group, const Share& share)
    : loss_(loss),
      symmetric_(symmetric),
      share_(share),
      passages_(group, {share.all_queries, share.all_passages - share.all_queries}),
      queries_(group, {share.all_queries}) {}

// Every passage's labels, in the order in which this process sees the passages.
PairLabels SharedLoss::gathered(const PairLabels& labels) const {
  PairLabels result = labels;
  result.partial = true;
  if (labels.passage_groups.defined()) result.passage_groups = passages_.gather(labels.passage_groups);
  if (labels.passage_languages.defined()) {
    result.passage_languages = passages_.gather(labels.passage_languages);
  }
  if (labels.teacher_scores.defined()) {
    result.teacher_scores = labels.teacher_scores.index_select(1, passages_.order());
  }
  return result;
}

// The labels with the parts of queries and their passages exchanged; both are pairs in the same order.
PairLabels SharedLoss::transposed(const PairLabels& labels, const at::Tensor& query_languages) const {
  PairLabels result;
  result.partial = true;
  result.row_weights = labels.row_weights;
  const int64_t own = share_.queries.count;
  if (labels.passage_groups.defined()) {
    result.passage_groups = labels.passage_groups.narrow(0, 0, share_.all_queries);
  }
  if (labels.passage_languages.defined()) {
    result.query_languages = labels.passage_languages.narrow(0, 0, own);
    result.passage_languages = query_languages;
  }
  return result;
}

LossValue SharedLoss::forward(const at::Tensor& embeddings, const PairLabels& given) {
  const int64_t own = share_.queries.count;
  const at::Tensor queries = embeddings.narrow(0, 0, own);
  const at::Tensor passages = embeddings.narrow(0, own, embeddings.size(0) - own);
  own_queries_ = leaf(queries);
  all_passages_ = leaf(passages_.gather(passages));
  const PairLabels labels = gathered(given);
  at::Tensor query_languages;
  if (symmetric_) {
    own_passages_ = leaf(passages.narrow(0, 0, own));
    all_queries_ = leaf(queries_.gather(queries));
    if (given.query_languages.defined()) query_languages = queries_.gather(given.query_languages);
  }
  value_ = at::Tensor();
  if (own == 0 || !has_weight(labels)) return {};
  LossValue value = loss_(own_queries_, all_passages_, labels);
  if (symmetric_) {
    const LossValue other = loss_(own_passages_, all_queries_, transposed(labels, query_languages));
    value.loss = (value.loss + other.loss) / 2;
  }
  if (value.weight > 0) value_ = value.loss;
  return value;
}

at::Tensor SharedLoss::backward(double factor) {
  if (value_.defined()) (value_ * factor).backward();
  const at::NoGradGuard no_grad;
  at::Tensor of_queries = gradient_of(own_queries_);
  const at::Tensor of_passages = passages_.scatter_sum(gradient_of(all_passages_));
  if (symmetric_) {
    of_queries = of_queries + queries_.scatter_sum(gradient_of(all_queries_));
    of_passages.narrow(0, 0, share_.queries.count).add_(gradient_of(own_passages_));
  }
  return at::cat({of_queries, of_passages});
}

}  // namespace xlembed
