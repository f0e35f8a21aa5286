// The pooling modes of sentence-transformers, over packed sequences of L tokens:
//   first, max, mean   the kernels' own (core/pool.h)
//   mean_sqrt_length   sum of hidden_t / sqrt(L)
//   weighted_mean      sum of t hidden_t / sum of t, t = 1 .. L
//   last               hidden of the last token
#pragma once

#include <string>

#include "core/torch.h"

namespace xlembed {

// hidden (T, D), cumulative (B + 1) int32 on the same device -> (B, D) of hidden's dtype, differentiable; an
// empty sequence gives zeros.
using Pooling = at::Tensor (*)(const at::Tensor& hidden, const at::Tensor& cumulative);

// Throws MODEL_UNSUPPORTED for any other name.
Pooling find_pooling(const std::string& mode);

}  // namespace xlembed
