// In-batch contrastive loss with a running log-sum-exp: the (N, M) similarity matrix is never held.
#pragma once

#include "core/torch.h"

namespace xlembed {

struct InfoNceOptions {
  double temperature = 0.05;
  // Mean of query -> passage and passage -> query (the first N passages against all queries).
  bool symmetric = false;
};

struct InfoNceResult {
  at::Tensor loss;      // () float32, the weighted mean over rows; differentiable
  at::Tensor row_loss;  // (N) float32, detached
  double accuracy = 0;  // share of queries whose own passage scored highest (ties: the smaller column wins)
};

// queries (N, D) and passages (M, D), M >= N, same dtype and device, rows already L2-normalised when cosine
// similarity is wanted; passage i answers query i, the others are negatives.
//   loss_i = -log( exp(q_i . p_i / t) / sum_j exp(q_i . p_j / t) )
InfoNceResult info_nce(const at::Tensor& queries, const at::Tensor& passages, const InfoNceOptions& options);

}  // namespace xlembed
