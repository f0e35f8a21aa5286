#include "core/lora.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>

#include "core/dropout.h"
#include "core/error.h"

namespace xlembed {
namespace {

// Far from the sites of the model's own dropouts.
constexpr uint32_t kFirstSite = 1u << 20;

bool names(const std::string& target, const std::string& module) {
  if (module == target) return true;
  const std::string ending = "." + target;
  return module.size() > ending.size() &&
         module.compare(module.size() - ending.size(), ending.size(), ending) == 0;
}

bool wants(const LoraOptions& options, const LoraModule& module) {
  const auto& layers = options.layers;
  if (!layers.empty() && std::find(layers.begin(), layers.end(), module.layer) == layers.end()) return false;
  return std::any_of(options.targets.begin(), options.targets.end(),
                     [&](const std::string& target) { return names(target, module.name); });
}

// U(-1 / sqrt(in), 1 / sqrt(in)), as PEFT's kaiming_uniform_ with a = sqrt(5).
void fill(const at::Tensor& a, at::Generator& generator) {
  const double bound = 1 / std::sqrt(static_cast<double>(a.size(1)));
  a.copy_(at::empty(a.sizes(), at::kFloat).uniform_(-bound, bound, generator));
}

}  // namespace

Lora::Lora(const LoraOptions& options, const std::vector<LoraModule>& modules, Parameters& parameters)
    : options_(options) {
  const at::NoGradGuard no_grad;
  at::Generator generator = at::detail::createCPUGenerator(options.seed);
  for (const LoraModule& module : modules) {
    adapters_.push_back({module, {}, {}});
    if (!wants(options, module)) continue;
    Adapter& adapter = adapters_.back();
    adapter.a = parameters.add(module.name + ".lora_A.weight", {options.rank, module.weight.size(1)},
                               Initialisation::normal);
    adapter.b = parameters.add(module.name + ".lora_B.weight", {module.weight.size(0), options.rank},
                               Initialisation::normal);
    fill(adapter.a, generator);
    adapter.b.zero_();
  }
  if (!parameters.named().empty()) return;
  throw CodedError("INVALID_ARGUMENT",
                   "expected LoRA targets among this model's modules (" +
                       (modules.empty() ? "it has none" : modules.front().name + ", ...") + ") and layers");
}

at::Tensor Lora::add(const at::Tensor& y, const at::Tensor& x, size_t first, size_t count,
                     const PackedBatch& batch, bool dropout) const {
  at::Tensor sum = y;
  for (size_t k = first; k < first + count; ++k) {
    const Adapter& adapter = adapters_[k];
    if (!adapter.a.defined()) continue;
    const bool drops = dropout && options_.dropout > 0;
    const auto site = kFirstSite + static_cast<uint32_t>(k);
    const at::Tensor kept = drops ? xlembed::dropout(x, batch.dropout_keys, site, options_.dropout) : x;
    const at::Tensor low = at::linear(kept, adapter.a.to(x.scalar_type()));
    const at::Tensor delta = at::linear(low, adapter.b.to(x.scalar_type())) * scale();
    const int64_t before = adapter.module.first_row, after = y.size(1) - before - delta.size(1);
    sum = sum + (before == 0 && after == 0 ? delta : at::constant_pad_nd(delta, {before, after}));
  }
  return sum;
}

void Lora::merge() const {
  const at::NoGradGuard no_grad;
  for (const Adapter& adapter : adapters_) {
    if (adapter.a.defined()) adapter.module.weight.add_(at::mm(adapter.b, adapter.a), scale());
  }
}

}  // namespace xlembed
