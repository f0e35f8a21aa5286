#include "core/head.h"

#include "core/error.h"
#include "core/normalize.h"
#include "core/pool.h"

namespace xlembed {
namespace {

PoolMode pool_mode(const std::string& mode) {
  if (mode == "mean") return PoolMode::mean;
  if (mode == "first") return PoolMode::first;
  if (mode == "max") return PoolMode::max;
  throw CodedError("MODEL_UNSUPPORTED", "pooling " + mode);
}

at::Tensor activate(const at::Tensor& x, const std::string& activation) {
  if (activation == "identity") return x;
  if (activation == "tanh") return at::tanh(x);
  if (activation == "gelu") return at::gelu(x);
  if (activation == "relu") return at::relu(x);
  throw CodedError("MODEL_UNSUPPORTED", "dense activation " + activation);
}

}  // namespace

Head::Head(const std::vector<HeadModule>& modules, int64_t hidden_size, Parameters& parameters)
    : dimensions_(hidden_size) {
  if (modules.empty() || modules[0].kind != HeadModule::Kind::pool) {
    throw CodedError("MODEL_UNSUPPORTED", "the head's first module must be a pooling");
  }
  for (size_t k = 0; k < modules.size(); ++k) {
    Step step{modules[k], {}, {}};
    if (step.module.kind == HeadModule::Kind::dense) {
      if (step.module.in_features != dimensions_) {
        throw CodedError("MODEL_INVALID", "dense module " + std::to_string(k) + " expects " +
                                              std::to_string(step.module.in_features) + " features, receives " +
                                              std::to_string(dimensions_));
      }
      const std::string name = "dense." + std::to_string(k) + ".linear.";
      dimensions_ = step.module.out_features;
      step.weight = parameters.add(name + "weight", {dimensions_, step.module.in_features}, Initialisation::normal);
      if (step.module.bias) step.bias = parameters.add(name + "bias", {dimensions_}, Initialisation::zeros);
    } else if (step.module.kind == HeadModule::Kind::pool) {
      pool_mode(step.module.mode);
    }
    steps_.push_back(std::move(step));
  }
}

at::Tensor Head::forward(const at::Tensor& hidden, const PackedBatch& batch) const {
  at::Tensor x = hidden;
  for (const Step& step : steps_) {
    switch (step.module.kind) {
      case HeadModule::Kind::pool:
        x = pool(x, batch.cumulative, pool_mode(step.module.mode)).to(at::kFloat);
        break;
      case HeadModule::Kind::dense: {
        const at::Tensor bias = step.bias.defined() ? step.bias.to(at::kFloat) : at::Tensor();
        x = activate(at::linear(x, step.weight.to(at::kFloat), bias), step.module.mode);
        break;
      }
      case HeadModule::Kind::normalize:
        x = normalize_rows(x);
        break;
    }
  }
  return x;
}

}  // namespace xlembed
