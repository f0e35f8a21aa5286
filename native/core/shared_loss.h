// The loss of a batch whose rows lie in several processes: each takes the loss of its own queries against the
// passages of all (in the symmetric form also of its own passages against all queries), and the gradient of
// every embedding is added up where that embedding comes from.
#pragma once

#include "core/losses.h"
#include "core/share.h"

namespace xlembed {

class SharedLoss {
 public:
  // loss: a one-directional one; symmetric: the mean of both directions.
  SharedLoss(const Loss& loss, bool symmetric, const ProcessGroup& group, const Share& share);

  // embeddings (own sequences, D): own queries, their passages, extra passages. Labels are those of the own
  // queries and passages; teacher_scores (own queries, all passages in the batch's order). Gives mean and
  // accuracy over the own rows and their weight: none of these has a meaning where the weight is 0.
  LossValue forward(const at::Tensor& embeddings, const PairLabels& labels);

  // (own sequences, D): the gradient at forward()'s embeddings of the sum over the processes of factor *
  // loss, with the factor that each gives. Adds to the gradients of what the loss itself learns.
  at::Tensor backward(double factor);

 private:
  PairLabels gathered(const PairLabels& labels) const;
  PairLabels transposed(const PairLabels& labels, const at::Tensor& query_languages) const;

  const Loss& loss_;
  bool symmetric_;
  Share share_;
  RowExchange passages_, queries_;
  at::Tensor own_queries_, own_passages_, all_queries_, all_passages_;  // leaves of the loss's graph
  at::Tensor value_;  // undefined where this process has no row that counts
};

}  // namespace xlembed
