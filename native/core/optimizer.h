// AdamW with decoupled weight decay (Loshchilov & Hutter 2019), arithmetic as in torch.optim.AdamW.
#pragma once

#include <cstdint>
#include <vector>

#include "core/torch.h"

namespace xlembed {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;
};

struct AdamWParameter {
  at::Tensor tensor;  // float32 leaf
  bool decay;         // false for biases and LayerNorm
};

class AdamW {
 public:
  AdamW(std::vector<AdamWParameter> parameters, const AdamWOptions& options);

  // L2 norm over all gradients; parameters without a gradient count as zero. Deterministic.
  double gradient_norm() const;

  // One update with gradients multiplied by `gradient_scale`; parameters without a gradient stay as they are.
  void step(double learning_rate, double gradient_scale);

  void zero_gradients();

  int64_t steps() const { return steps_; }

 private:
  struct State {
    at::Tensor first, second;  // running means of g and g * g
  };
  std::vector<AdamWParameter> parameters_;
  std::vector<State> states_;
  AdamWOptions options_;
  int64_t steps_ = 0;
};

}  // namespace xlembed
