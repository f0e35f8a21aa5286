#include "core/recompute.h"

namespace xlembed {
namespace {

using Layer = std::function<at::Tensor(const at::Tensor&)>;

struct LayerHolder : torch::CustomClassHolder {
  explicit LayerHolder(Layer given) : layer(std::move(given)) {}
  Layer layer;
};

struct RecomputeFunction : torch::autograd::Function<RecomputeFunction> {
  // `anchor` wants a gradient and receives none: the layer's leaves may want theirs where x does not.
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& /*anchor*/, const Layer* layer) {
    context->save_for_backward({x});
    context->saved_data["x_requires_grad"] = x.requires_grad();
    context->saved_data["layer"] = c10::IValue::make_capsule(c10::make_intrusive<LayerHolder>(*layer));
    return (*layer)(x);  // without a graph: a custom function runs its forward so
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const at::Tensor x = context->get_saved_variables()[0].detach();
    x.requires_grad_(context->saved_data["x_requires_grad"].toBool());
    const auto holder = context->saved_data["layer"].toCapsule();
    const at::AutoGradMode with_graph(true);
    const at::Tensor y = static_cast<const LayerHolder&>(*holder).layer(x);
    if (y.requires_grad()) y.backward(gradients[0]);
    return {x.grad(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor recompute(const Layer& layer, const at::Tensor& x) {
  const at::Tensor anchor = at::empty({0}, at::kFloat).requires_grad_(true);
  return RecomputeFunction::apply(x, anchor, &layer);
}

}  // namespace xlembed
