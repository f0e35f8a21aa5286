#include "core/pool.h"

#include "core/launch.h"
#include "kernels/pool.h"

namespace xlembed {
namespace {

struct Pooled {
  at::Tensor values;   // (B, D)
  at::Tensor winners;  // (B, D) int32 for max, else undefined
};

template <typename T>
Pooled forward_as(const at::Tensor& hidden, const at::Tensor& cumulative, PoolMode mode) {
  const kernels::PoolShape shape{cumulative.size(0) - 1, hidden.size(0), hidden.size(1)};
  Pooled pooled{at::empty({shape.sequences, shape.dimensions}, hidden.options()), {}};
  const auto* in = elements<T>(hidden);
  const int32_t* bounds = cumulative.const_data_ptr<int32_t>();
  auto* out = mutable_elements<T>(pooled.values);
  switch (mode) {
    case PoolMode::mean:
      XLEMBED_LAUNCH(hidden, pool_mean_forward, in, bounds, shape, out);
      break;
    case PoolMode::first:
      XLEMBED_LAUNCH(hidden, pool_first_forward, in, bounds, shape, out);
      break;
    case PoolMode::max:
      pooled.winners = at::empty({shape.sequences, shape.dimensions}, cumulative.options());
      XLEMBED_LAUNCH(hidden, pool_max_forward, in, bounds, shape, out,
                     pooled.winners.mutable_data_ptr<int32_t>());
      break;
  }
  return pooled;
}

template <typename T>
at::Tensor backward_as(const at::Tensor& gradient, const at::Tensor& cumulative, const at::Tensor& winners,
                       int64_t tokens, PoolMode mode) {
  const kernels::PoolShape shape{gradient.size(0), tokens, gradient.size(1)};
  const at::Tensor result = at::empty({tokens, shape.dimensions}, gradient.options());
  const auto* in = elements<T>(gradient);
  const int32_t* bounds = cumulative.const_data_ptr<int32_t>();
  auto* out = mutable_elements<T>(result);
  switch (mode) {
    case PoolMode::mean:
      XLEMBED_LAUNCH(gradient, pool_mean_backward, in, bounds, shape, out);
      break;
    case PoolMode::first:
      XLEMBED_LAUNCH(gradient, pool_first_backward, in, bounds, shape, out);
      break;
    case PoolMode::max:
      XLEMBED_LAUNCH(gradient, pool_max_backward, in, winners.const_data_ptr<int32_t>(), bounds, shape, out);
      break;
  }
  return result;
}

Pooled forward(const at::Tensor& hidden, const at::Tensor& cumulative, PoolMode mode) {
  const c10::DeviceGuard guard(hidden.device());
  const at::Tensor dense = hidden.contiguous();
  return hidden.scalar_type() == at::kFloat ? forward_as<float>(dense, cumulative, mode)
                                            : forward_as<at::BFloat16>(dense, cumulative, mode);
}

struct PoolFunction : torch::autograd::Function<PoolFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& hidden,
                            const at::Tensor& cumulative, int64_t mode) {
    const Pooled pooled = xlembed::forward(hidden, cumulative, static_cast<PoolMode>(mode));
    context->save_for_backward({cumulative, pooled.winners});
    context->saved_data["mode"] = mode;
    context->saved_data["tokens"] = hidden.size(0);
    return pooled.values;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor gradient = gradients[0].contiguous();
    const auto mode = static_cast<PoolMode>(context->saved_data["mode"].toInt());
    const int64_t tokens = context->saved_data["tokens"].toInt();
    const c10::DeviceGuard guard(gradient.device());
    const auto backward =
        gradient.scalar_type() == at::kFloat ? backward_as<float> : backward_as<at::BFloat16>;
    return {backward(gradient, saved[0], saved[1], tokens, mode), {}, {}};
  }
};

void check(const at::Tensor& hidden, const at::Tensor& cumulative) {
  if (hidden.dim() != 2) {
    throw CodedError("INVALID_ARGUMENT", "expected (tokens, dimensions) for hidden, received " +
                                             std::to_string(hidden.dim()) + " dimension(s)");
  }
  if (cumulative.dim() != 1 || cumulative.size(0) < 1 || cumulative.scalar_type() != at::kInt ||
      !cumulative.is_contiguous() || cumulative.device() != hidden.device()) {
    throw CodedError("INVALID_ARGUMENT", "expected a dense int32 vector on hidden's device for cumulative");
  }
}

}  // namespace

at::Tensor pool(const at::Tensor& hidden, const at::Tensor& cumulative, PoolMode mode) {
  check(hidden, cumulative);
  if (!is_kernel_dtype(hidden)) return pool(hidden.to(at::kFloat), cumulative, mode).to(hidden.scalar_type());
  if (!at::GradMode::is_enabled() || !hidden.requires_grad()) return forward(hidden, cumulative, mode).values;
  return PoolFunction::apply(hidden, cumulative, static_cast<int64_t>(mode));
}

}  // namespace xlembed
