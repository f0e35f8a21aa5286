// In-batch contrastive loss, block by block: the (N, M) similarity matrix is never held (beyond 64 MB).
#pragma once

#include "core/torch.h"
#include "kernels/info_nce.h"

namespace xlembed {

using kernels::NegativeLanguages;

struct InfoNceOptions {
  double temperature = 0.05;
  // Mean of query -> passage and passage -> query (the first N passages against all queries).
  bool symmetric = false;
  // What the matrix products multiply: kFloat, or kBFloat16 (sums stay float32), about twice as fast.
  // bfloat16 inputs are multiplied as they are.
  at::ScalarType products = at::kFloat;
  // () float32 on the inputs' device: used instead of `temperature` when defined; receives a gradient.
  at::Tensor learned_temperature;
  // (N) float32 >= 0 with a positive sum: the loss is the mean under these weights.
  at::Tensor row_weights;
  // (M) int32: a passage of the same group (>= 0) as the query's own passage is no negative.
  at::Tensor passage_groups;
  // (N) and (M) int32, with negative_languages: only passages whose language is the query's (same), or is not
  // (other), are negatives. What "the query's language" means is the caller's choice: with the language of
  // its own passage for it, `same` keeps the language of a passage from giving the answer away.
  at::Tensor query_languages;
  at::Tensor passage_languages;
  NegativeLanguages negative_languages = NegativeLanguages::any;
};

struct InfoNceResult {
  at::Tensor loss;      // () float32, the weighted mean over rows; differentiable
  at::Tensor row_loss;  // (N) float32, detached; the mean of both directions when symmetric
  at::Tensor correct;   // (N) uint8: whether the own passage scored highest (ties: the smaller column wins)

  // Share of correct rows; on a GPU this waits for it.
  double accuracy() const;
};

// queries (N, D) and passages (M, D), M >= N, same dtype and device, rows already L2-normalised when cosine
// similarity is wanted; passage i answers query i, the others are negatives.
//   loss_i = -log( exp(q_i . p_i / t) / sum_j exp(q_i . p_j / t) )
// float32, bfloat16 or float16 inputs; similarities, sums and gradients are accumulated in float32. When a
// gradient is wanted it is computed here, where the similarities are at hand (3 matrix products instead of
// the 4 of a recomputing backward pass; the symmetric form needs 4 once the matrix exceeds 64 MB); backward()
// scales it. It is not itself differentiable. Throws INVALID_ARGUMENT or DIMENSION_MISMATCH.
InfoNceResult info_nce(const at::Tensor& queries, const at::Tensor& passages, const InfoNceOptions& options);

}  // namespace xlembed
