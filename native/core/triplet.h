// Triplet loss with the hardest negative of the batch (targeted lexical injection, arXiv 2506.15415):
//   mean_i max(0, margin + max_j s_ij - s_ii), j over the query's negatives
#pragma once

#include "core/losses.h"

namespace xlembed {

class HardestTriplet final : public Loss {
 public:
  HardestTriplet(double margin, NegativeLanguages negative_languages)
      : margin_(margin), negative_languages_(negative_languages) {}

  // A query without any negative adds nothing. The negatives are found block by block: the (N, M)
  // similarities are never held.
  LossValue operator()(const at::Tensor& queries, const at::Tensor& passages,
                       const PairLabels& labels) const override;

 private:
  double margin_;
  NegativeLanguages negative_languages_;
};

}  // namespace xlembed
