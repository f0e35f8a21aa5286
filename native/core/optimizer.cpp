#include "core/optimizer.h"

#include <cmath>
#include <utility>

#include "core/launch.h"
#include "kernels/adamw.h"

namespace xlembed {
namespace {

bool fits(const at::Tensor& state, const at::Tensor& parameter) {
  return state.sizes() == parameter.sizes() && state.scalar_type() == at::kFloat && state.is_contiguous() &&
         state.device() == parameter.device();
}

#ifdef XLEMBED_WITH_CUDA
// The parts of all parameters are added up on the device; one copy at the end waits for them.
double squared_norm_cuda(const std::vector<at::Tensor>& gradients) {
  const at::TensorOptions options = gradients[0].options().dtype(at::kDouble);
  const at::Tensor total = at::zeros({}, options);
  const at::Tensor workspace = at::empty({kernels::cuda::squared_norm_blocks}, options);
  for (const at::Tensor& gradient : gradients) {
    kernels::cuda::squared_norm(gradient.const_data_ptr<float>(), gradient.numel(),
                                workspace.mutable_data_ptr<double>(), total.mutable_data_ptr<double>(),
                                at::cuda::getCurrentCUDAStream(gradient.get_device()).stream());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  }
  return total.item<double>();
}
#endif

double squared_norm(const std::vector<at::Tensor>& gradients) {
#ifdef XLEMBED_WITH_CUDA
  if (!gradients.empty() && gradients[0].is_cuda()) {
    const c10::DeviceGuard guard(gradients[0].device());
    return squared_norm_cuda(gradients);
  }
#endif
  double total = 0;
  for (const at::Tensor& gradient : gradients) {
    require_cpu(gradient);
    total += kernels::squared_norm(gradient.const_data_ptr<float>(), gradient.numel());
  }
  return total;
}

}  // namespace

AdamW::AdamW(std::vector<AdamWParameter> parameters, const AdamWOptions& options)
    : parameters_(std::move(parameters)), states_(parameters_.size()), options_(options) {
  for (const AdamWParameter& parameter : parameters_) {
    if (parameter.tensor.scalar_type() != at::kFloat || !parameter.tensor.is_contiguous()) {
      throw CodedError("INVALID_ARGUMENT", "expected dense float32 parameters for AdamW");
    }
  }
}

double AdamW::gradient_norm() const {
  std::vector<at::Tensor> gradients;
  for (const AdamWParameter& parameter : parameters_) {
    if (parameter.tensor.grad().defined()) gradients.push_back(parameter.tensor.grad().contiguous());
  }
  return std::sqrt(squared_norm(gradients));
}

void AdamW::step(double learning_rate, double gradient_scale) {
  // All of them before the first parameter changes: there may be no memory for one.
  for (size_t k = 0; k < parameters_.size(); ++k) {
    const at::Tensor tensor = parameters_[k].tensor.detach();
    const bool is_first = parameters_[k].tensor.grad().defined() && !states_[k].first.defined();
    if (is_first) states_[k] = {at::zeros_like(tensor), at::zeros_like(tensor)};
  }
  ++steps_;
  for (size_t k = 0; k < parameters_.size(); ++k) {
    const at::Tensor tensor = parameters_[k].tensor.detach();
    if (!parameters_[k].tensor.grad().defined()) continue;
    const at::Tensor gradient = parameters_[k].tensor.grad().contiguous();
    AdamWState& state = states_[k];
    const kernels::AdamwStep step{learning_rate * parameters_[k].rate,
                                  options_.beta1,
                                  options_.beta2,
                                  options_.epsilon,
                                  parameters_[k].decay ? options_.weight_decay : 0.0,
                                  steps_,
                                  gradient_scale};
    const c10::DeviceGuard guard(tensor.device());
    XLEMBED_LAUNCH(tensor, adamw_step, tensor.mutable_data_ptr<float>(), gradient.const_data_ptr<float>(),
                   state.first.mutable_data_ptr<float>(), state.second.mutable_data_ptr<float>(),
                   tensor.numel(), step);
    parameters_[k].tensor.unsafeGetTensorImpl()->bump_version();
  }
}

void AdamW::zero_gradients() {
  for (AdamWParameter& parameter : parameters_) parameter.tensor.mutable_grad() = at::Tensor();
}

std::vector<at::Tensor> AdamW::take_gradients() {
  std::vector<at::Tensor> gradients;
  gradients.reserve(parameters_.size());
  for (AdamWParameter& parameter : parameters_) {
    gradients.push_back(std::exchange(parameter.tensor.mutable_grad(), at::Tensor()));
  }
  return gradients;
}

void AdamW::add_gradients(const std::vector<at::Tensor>& gradients, double factor) {
  const at::NoGradGuard no_grad;
  for (size_t k = 0; k < parameters_.size(); ++k) {
    at::Tensor& gradient = parameters_[k].tensor.mutable_grad();
    if (!gradients[k].defined()) continue;
    const at::Tensor earlier = factor == 1 ? gradients[k] : gradients[k] * factor;
    gradient = gradient.defined() ? earlier.add(gradient) : earlier;
  }
}

void AdamW::restore(std::vector<AdamWState> states, int64_t steps) {
  bool ok = states.size() == parameters_.size() && steps >= 0;
  for (size_t k = 0; ok && k < states.size(); ++k) {
    const bool absent = !states[k].first.defined() && !states[k].second.defined();
    ok = absent ||
         (states[k].first.defined() && states[k].second.defined() &&
          fits(states[k].first, parameters_[k].tensor) && fits(states[k].second, parameters_[k].tensor));
  }
  if (!ok) throw CodedError("INVALID_ARGUMENT", "the optimizer's state does not fit its parameters");
  states_ = std::move(states);
  steps_ = steps;
}

}  // namespace xlembed
