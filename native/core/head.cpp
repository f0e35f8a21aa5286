#include "core/head.h"

#include "core/error.h"
#include "core/normalize.h"

namespace xlembed {
namespace {

at::Tensor activate(const at::Tensor& x, const std::string& activation) {
  if (activation == "identity") return x;
  if (activation == "tanh") return at::tanh(x);
  if (activation == "gelu") return at::gelu(x);
  if (activation == "relu") return at::relu(x);
  throw CodedError("MODEL_UNSUPPORTED", "dense activation " + activation);
}

at::Tensor pool_side_by_side(const std::vector<Pooling>& poolings, const at::Tensor& hidden,
                             const at::Tensor& cumulative) {
  std::vector<at::Tensor> parts;
  parts.reserve(poolings.size());
  for (const Pooling pooling : poolings) parts.push_back(pooling(hidden, cumulative).to(at::kFloat));
  return parts.size() == 1 ? parts[0] : at::cat(parts, 1);
}

}  // namespace

Head::Head(const std::vector<HeadModule>& modules, int64_t hidden_size, Parameters& parameters)
    : dimensions_(hidden_size) {
  if (modules.empty() || modules[0].kind != HeadModule::Kind::pool) {
    throw CodedError("MODEL_UNSUPPORTED", "the head's first module must be a pooling");
  }
  for (size_t k = 0; k < modules.size(); ++k) {
    Step step{modules[k]};
    if (step.module.kind == HeadModule::Kind::pool) add_pooling(step);
    if (step.module.kind == HeadModule::Kind::dense)
      add_dense(step, "dense." + std::to_string(k), parameters);
    steps_.push_back(std::move(step));
  }
}

void Head::add_pooling(Step& step) {
  if (step.module.modes.empty()) throw CodedError("MODEL_INVALID", "a pooling without a mode");
  for (const std::string& mode : step.module.modes) step.poolings.push_back(find_pooling(mode));
  dimensions_ *= static_cast<int64_t>(step.poolings.size());
}

void Head::add_dense(Step& step, const std::string& name, Parameters& parameters) {
  const int64_t in = step.module.in_features;
  if (in != dimensions_) {
    throw CodedError("MODEL_INVALID", name + " expects " + std::to_string(in) + " features, receives " +
                                          std::to_string(dimensions_));
  }
  dimensions_ = step.module.out_features;
  step.weight = parameters.add(name + ".linear.weight", {dimensions_, in}, Initialisation::normal);
  if (step.module.bias)
    step.bias = parameters.add(name + ".linear.bias", {dimensions_}, Initialisation::zeros);
}

// libtorch's products depend on how many rows there are, in their last bits.
at::Tensor Head::multiply(const Step& step, const at::Tensor& x) {
  if (!x.is_cpu() || !c10::InferenceMode::is_enabled()) {
    const at::Tensor bias = step.bias.defined() ? step.bias.to(at::kFloat) : at::Tensor();
    return at::linear(x, step.weight.to(at::kFloat), bias);
  }
  const bool has_bias = step.bias.defined();
  const int64_t version = step.weight._version() + (has_bias ? step.bias._version() : 0);
  const int64_t out = step.weight.size(0);
  if (version != step.version) step.packed.emplace(step.weight, has_bias ? step.bias : at::zeros({out}));
  step.version = version;
  const at::Tensor y = at::empty({x.size(0), out}, at::kFloat);
  const at::Tensor rows = x.contiguous();
  (*step.packed)({rows.const_data_ptr<float>(), nullptr, rows.size(0)}, kernels::Activation::none,
                 y.mutable_data_ptr<float>());
  return y;
}

at::Tensor Head::forward(const at::Tensor& hidden, const PackedBatch& batch) const {
  at::Tensor x = hidden;
  for (const Step& step : steps_) {
    switch (step.module.kind) {
      case HeadModule::Kind::pool:
        x = pool_side_by_side(step.poolings, x, batch.cumulative);
        break;
      case HeadModule::Kind::dense:
        x = activate(multiply(step, x), step.module.activation);
        break;
      case HeadModule::Kind::normalize:
        x = normalize_rows(x);
        break;
    }
  }
  return x;
}

}  // namespace xlembed
