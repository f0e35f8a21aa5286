// The steps of the contrastive loss over blocks of rows of the similarity matrix, without autograd.
#pragma once

#include "core/info_nce.h"

namespace xlembed {

// Which gradients.
struct InfoNceWanted {
  bool queries = false, passages = false, temperature = false;
  bool any() const { return queries || passages || temperature; }
};

struct InfoNceSums {
  at::Tensor row_loss;           // (N)
  at::Tensor correct;            // (N) uint8
  at::Tensor queries_gradient;   // (N, D) float32, like the next two without the factor common to all rows
  at::Tensor passages_gradient;  // (M, D) float32
  at::Tensor scale_gradient;     // (N)
};

// scale () float32: 1 / temperature. The rest as info_nce() has checked it.
InfoNceSums info_nce_blocks(const at::Tensor& queries, const at::Tensor& passages, const at::Tensor& scale,
                            const InfoNceOptions& options, InfoNceWanted wanted);

}  // namespace xlembed
