#include "core/normalize.h"

#include "core/launch.h"
#include "kernels/normalize.h"

namespace xlembed {
namespace {

struct Normalised {
  at::Tensor values;  // (N, D)
  at::Tensor norms;   // (N) float32
};

template <typename T>
Normalised forward_as(const at::Tensor& x) {
  Normalised result{at::empty_like(x), at::empty({x.size(0)}, x.options().dtype(at::kFloat))};
  XLEMBED_LAUNCH(x, normalize_forward, elements<T>(x), x.size(0), x.size(1),
                 mutable_elements<T>(result.values), result.norms.mutable_data_ptr<float>());
  return result;
}

template <typename T>
at::Tensor backward_as(const at::Tensor& x, const at::Tensor& norms, const at::Tensor& gradient) {
  const at::Tensor result = at::empty_like(x);
  XLEMBED_LAUNCH(x, normalize_backward, elements<T>(x), norms.const_data_ptr<float>(), elements<T>(gradient),
                 x.size(0), x.size(1), mutable_elements<T>(result));
  return result;
}

Normalised forward(const at::Tensor& x) {
  const c10::DeviceGuard guard(x.device());
  return x.scalar_type() == at::kFloat ? forward_as<float>(x) : forward_as<at::BFloat16>(x);
}

struct NormalizeFunction : torch::autograd::Function<NormalizeFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x) {
    const Normalised result = xlembed::forward(x);
    context->save_for_backward({x, result.norms});
    return result.values;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor gradient = gradients[0].contiguous();
    const c10::DeviceGuard guard(gradient.device());
    const auto backward =
        gradient.scalar_type() == at::kFloat ? backward_as<float> : backward_as<at::BFloat16>;
    return {backward(saved[0], saved[1], gradient)};
  }
};

}  // namespace

at::Tensor normalize_rows(const at::Tensor& x) {
  if (x.dim() != 2) {
    throw CodedError("INVALID_ARGUMENT",
                     "expected (rows, dimensions), received " + std::to_string(x.dim()) + " dimension(s)");
  }
  if (!is_kernel_dtype(x)) return normalize_rows(x.to(at::kFloat)).to(x.scalar_type());
  const at::Tensor dense = x.contiguous();
  if (!at::GradMode::is_enabled() || !x.requires_grad()) return forward(dense).values;
  return NormalizeFunction::apply(dense);
}

}  // namespace xlembed
