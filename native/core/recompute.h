// Activation checkpointing (T. Chen et al. 2016, arXiv 1604.06174): memory for a second forward pass.
#pragma once

#include <functional>

#include "core/torch.h"

namespace xlembed {

// layer(x), keeping x alone: the backward pass calls `layer` again, which must give the same values. Leaves
// that the layer uses receive their gradients there.
at::Tensor recompute(const std::function<at::Tensor(const at::Tensor&)>& layer, const at::Tensor& x);

}  // namespace xlembed
