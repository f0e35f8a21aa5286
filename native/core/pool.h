// Pooling over packed sequences as a differentiable op.
#pragma once

#include "core/torch.h"

namespace xlembed {

enum class PoolMode { mean, first, max };

// hidden (T, D), cumulative (B + 1) int32 on the same device -> (B, D) of hidden's dtype; an empty sequence
// gives zeros.
at::Tensor pool(const at::Tensor& hidden, const at::Tensor& cumulative, PoolMode mode);

}  // namespace xlembed
