// L2 normalisation of rows as a differentiable op.
#pragma once

#include "core/torch.h"

namespace xlembed {

// x (N, D) -> x / max(|x|, 1e-12) row by row.
at::Tensor normalize_rows(const at::Tensor& x);

}  // namespace xlembed
