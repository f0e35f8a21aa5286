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
  double rate = 1;    // factor on the learning rate
};

// Running means of g and of g * g, shaped like their parameter; undefined until its first step.
struct AdamWState {
  at::Tensor first, second;
};

class AdamW {
 public:
  // Throws INVALID_ARGUMENT unless every tensor is dense float32.
  AdamW(std::vector<AdamWParameter> parameters, const AdamWOptions& options);

  // L2 norm over all gradients; parameters without a gradient count as zero. Deterministic.
  double gradient_norm() const;

  // One update with gradients multiplied by `gradient_scale`; parameters without a gradient stay as they are,
  // and all of them where there is no memory for the states of the first.
  void step(double learning_rate, double gradient_scale);

  void zero_gradients();

  // Moves the gradients out, one for each parameter, undefined where there was none.
  std::vector<at::Tensor> take_gradients();

  // Adds gradients that were taken, multiplied by `factor`, to those there are.
  void add_gradients(const std::vector<at::Tensor>& gradients, double factor = 1);

  int64_t steps() const { return steps_; }

  // For checkpoints: one state per parameter, in the order given to the constructor.
  const std::vector<AdamWState>& states() const { return states_; }

  // Continues where a checkpoint stopped. Throws INVALID_ARGUMENT when the states do not fit the parameters.
  void restore(std::vector<AdamWState> states, int64_t steps);

 private:
  std::vector<AdamWParameter> parameters_;
  std::vector<AdamWState> states_;
  AdamWOptions options_;
  int64_t steps_ = 0;
};

}  // namespace xlembed
