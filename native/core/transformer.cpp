#include "core/transformer.h"

#include <cmath>

#include "core/attention_training.h"
#include "core/dropout.h"
#include "core/error.h"
#include "core/packed_attention.h"
#include "core/recompute.h"

namespace xlembed {
namespace {

// The dropouts of layer n are sites kSites (n + 1) + one of these; the embeddings' is site 0.
constexpr uint32_t kSites = 8;
enum Site : uint32_t { attention_probabilities, attention_output, layer_output };

constexpr size_t kModules = 6;  // linear modules of a layer, see linear_modules()

uint32_t site_of(int64_t layer, Site site) { return kSites * static_cast<uint32_t>(layer + 1) + site; }

// softmax(Q K^T / sqrt(d)) dropped V, all (B, heads, L, d). Written out because libtorch's fused attention
// draws masks that depend on what shares the batch.
at::Tensor attend_with_dropout(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                               const at::Tensor& keys, uint32_t site, double probability) {
  const double scale = 1 / std::sqrt(static_cast<double>(query.size(3)));
  const at::Tensor probabilities = at::softmax(at::matmul(query * scale, key.transpose(2, 3)), 3);
  return at::matmul(dropout(probabilities, keys, site, probability), value);
}

}  // namespace

Transformer::Transformer(const TransformerConfig& config, Parameters& parameters, at::Device device)
    : config_(config), device_(device) {
  const int64_t hidden = config.hidden_size, wide = config.intermediate_size;
  const auto matrix = [&](const std::string& name, int64_t rows, int64_t columns) {
    return parameters.add(name, {rows, columns}, Initialisation::normal);
  };
  const auto linear = [&](const std::string& name, int64_t in, int64_t out) {
    return Linear{matrix(name + ".weight", out, in),
                  parameters.add(name + ".bias", {out}, Initialisation::zeros)};
  };
  const auto layer_norm = [&](const std::string& name) {
    return LayerNorm{parameters.add(name + ".weight", {hidden}, Initialisation::ones),
                     parameters.add(name + ".bias", {hidden}, Initialisation::zeros)};
  };
  // Query, key and value are one product of (T, H) with (H, 3H).
  const auto query_key_value = [&](const std::string& name) {
    const auto parts = [&](const std::string& kind) {
      return std::vector<std::string>{name + "query" + kind, name + "key" + kind, name + "value" + kind};
    };
    return Linear{parameters.add_stacked(name + "query_key_value.weight", parts(".weight"), {hidden, hidden},
                                         Initialisation::normal),
                  parameters.add_stacked(name + "query_key_value.bias", parts(".bias"), {hidden},
                                         Initialisation::zeros)};
  };

  word_embeddings_ = matrix("embeddings.word_embeddings.weight", config.vocabulary_size, hidden);
  position_embeddings_ = matrix("embeddings.position_embeddings.weight", config.max_positions, hidden);
  // DistilBERT has none: a row of zeros that is no parameter adds nothing.
  token_type_embeddings_ = config.token_types > 0
                               ? matrix("embeddings.token_type_embeddings.weight", config.token_types, hidden)
                               : at::zeros({1, hidden}, word_embeddings_.options());
  embedding_norm_ = layer_norm("embeddings.LayerNorm");
  for (int64_t n = 0; n < config.layers; ++n) {
    const std::string at = "encoder.layer." + std::to_string(n) + ".";
    Layer layer;
    layer.query_key_value = query_key_value(at + "attention.self.");
    layer.attention_output = linear(at + "attention.output.dense", hidden, hidden);
    layer.attention_norm = layer_norm(at + "attention.output.LayerNorm");
    layer.intermediate = linear(at + "intermediate.dense", hidden, wide);
    layer.output = linear(at + "output.dense", wide, hidden);
    layer.output_norm = layer_norm(at + "output.LayerNorm");
    layers_.push_back(layer);
  }
}

PackedBatch Transformer::pack(std::span<const int32_t> ids, std::span<const int32_t> cumulative) const {
  return pack_batch(ids, cumulative, config_.vocabulary_size, config_.first_position,
                    config_.max_positions - config_.first_position, device_);
}

at::Tensor Transformer::forward(const PackedBatch& batch, const ForwardMode& mode) const {
  const int64_t layers = mode.layers < 0 ? config_.layers : mode.layers;
  if (layers > config_.layers) {
    throw CodedError("INVALID_ARGUMENT", "expected a layer from 0 to " + std::to_string(config_.layers) +
                                             ", received " + std::to_string(layers));
  }
  const bool recomputes = mode.recompute && at::GradMode::is_enabled();
  at::Tensor x = embed(batch, mode);  // (T, H) from here on
  for (int64_t n = 0; n < layers; ++n) {
    const auto layer = [this, n, batch, mode](const at::Tensor& input) {
      return run_layer(n, input, batch, mode);
    };
    x = recomputes ? recompute(layer, x) : layer(x);
  }
  return x;
}

std::vector<LoraModule> Transformer::linear_modules() const {
  std::vector<LoraModule> modules;
  const int64_t hidden = config_.hidden_size;
  for (int64_t n = 0; n < config_.layers; ++n) {
    const Layer& layer = layers_[static_cast<size_t>(n)];
    const std::string at = "encoder.layer." + std::to_string(n) + ".";
    const auto part = [&](int64_t k) { return layer.query_key_value.weight.narrow(0, k * hidden, hidden); };
    modules.push_back({at + "attention.self.query", n, part(0), 0});
    modules.push_back({at + "attention.self.key", n, part(1), hidden});
    modules.push_back({at + "attention.self.value", n, part(2), 2 * hidden});
    modules.push_back({at + "attention.output.dense", n, layer.attention_output.weight, 0});
    modules.push_back({at + "intermediate.dense", n, layer.intermediate.weight, 0});
    modules.push_back({at + "output.dense", n, layer.output.weight, 0});
  }
  return modules;
}

void Transformer::add_adapters(const LoraOptions& options, Parameters& parameters) {
  const at::NoGradGuard no_grad;  // the modules' weights are views to write to
  adapters_.emplace(options, linear_modules(), parameters);
}

void Transformer::merge_adapters() {
  if (adapters_) adapters_->merge();
  adapters_.reset();
}

at::Tensor Transformer::run_layer(int64_t n, const at::Tensor& x, const PackedBatch& batch,
                                  const ForwardMode& mode) const {
  const Layer& layer = layers_[static_cast<size_t>(n)];
  const auto drop = [&](const at::Tensor& y, Site site) {
    const bool keeps = site == attention_output && !config_.drops_attention_output;
    const bool drops = mode.dropout && config_.hidden_dropout > 0 && !keeps;
    return drops ? xlembed::dropout(y, batch.dropout_keys, site_of(n, site), config_.hidden_dropout) : y;
  };
  // The product with the adapters of modules `first` .. `first + count - 1` of this layer.
  const auto project = [&](const Linear& linear, const at::Tensor& y, size_t first, size_t count) {
    at::Tensor product = linear(y);
    if (!adapters_) return product;
    return adapters_->add(product, y, kModules * static_cast<size_t>(n) + first, count, batch, mode.dropout);
  };
  const at::Tensor attended =
      attend(project(layer.query_key_value, x, 0, 3), batch, site_of(n, attention_probabilities), mode);
  const at::Tensor middle = normalise(
      x + drop(project(layer.attention_output, attended, 3, 1), attention_output), layer.attention_norm);
  const at::Tensor wide = fuses_activation(middle, mode)
                              ? expand_and_activate(layer.intermediate, middle)
                              : activate(project(layer.intermediate, middle, 4, 1));  // (T, F)
  return normalise(middle + drop(project(layer.output, wide, 5, 1), layer_output), layer.output_norm);
}

at::Tensor Transformer::embed(const PackedBatch& batch, const ForwardMode& mode) const {
  // Every token is of type 0: sentence pairs are no business of a dual encoder.
  const at::Tensor sum = at::embedding(word_embeddings_, batch.input_ids) +
                         at::embedding(position_embeddings_, batch.position_ids) +
                         token_type_embeddings_.select(0, 0);
  at::Tensor x = normalise(sum, embedding_norm_);
  if (x.scalar_type() == at::kFloat) x = x.to(mode.dtype);
  const bool drops = mode.dropout && config_.hidden_dropout > 0;
  return drops ? dropout(x, batch.dropout_keys, /*site=*/0, config_.hidden_dropout) : x;
}

// softmax(Q K^T / sqrt(d)) V without mask or padding: over all of the packed rows at once where there is a
// kernel for that, else per group of equal lengths on dense views of them.
at::Tensor Transformer::attend(const at::Tensor& query_key_value, const PackedBatch& batch, uint32_t site,
                               const ForwardMode& mode) const {
  const int64_t width = config_.hidden_size / config_.heads;
  const bool drops = mode.dropout && config_.attention_dropout > 0;
  if ((mode.training || query_key_value.is_cpu()) && has_attention_training(query_key_value, width)) {
    return attention_training(query_key_value, batch, config_.heads, site,
                              drops ? config_.attention_dropout : 0);
  }
  if (!drops) {
    const at::Tensor parts = query_key_value.view({-1, 3, config_.heads, width});
    if (has_packed_attention(parts)) return attend_packed(parts, batch);
  }
  std::vector<int64_t> rows;
  rows.reserve(batch.groups.size());
  for (const LengthGroup& group : batch.groups) rows.push_back(group.sequences * group.length);
  // One split: its gradient is one concatenation, where that of many slices would be as many full-size sums.
  const std::vector<at::Tensor> blocks = query_key_value.split_with_sizes(rows);
  std::vector<at::Tensor> attended;
  attended.reserve(batch.groups.size());
  for (size_t g = 0; g < blocks.size(); ++g) {
    const LengthGroup& group = batch.groups[g];
    const auto parts = blocks[g]
                           .view({group.sequences, group.length, 3, config_.heads, width})
                           .permute({2, 0, 3, 1, 4})  // (3, B, heads, L, d)
                           .unbind(0);
    const at::Tensor heads =  // (B, heads, L, d)
        drops ? attend_with_dropout(parts[0], parts[1], parts[2], attention_keys(batch, group, config_.heads),
                                    site, config_.attention_dropout)
              : at::scaled_dot_product_attention(parts[0], parts[1], parts[2]);
    attended.push_back(heads.transpose(1, 2).reshape({rows[g], config_.hidden_size}));
  }
  if (attended.empty()) return query_key_value.narrow(1, 0, config_.hidden_size);
  return attended.size() == 1 ? attended[0] : at::cat(attended);
}

at::Tensor Transformer::normalise(const at::Tensor& x, const LayerNorm& norm) const {
  return at::layer_norm(x, {config_.hidden_size}, norm.weight.to(x.scalar_type()),
                        norm.bias.to(x.scalar_type()), config_.layer_norm_epsilon);
}

// Products with the bias and these activations in their last step are to be had on a GPU, without gradients;
// there the one that libtorch calls GELU is the tanh form. They round elsewhere: not for a step's passes
// without a graph, which must equal those with one.
bool Transformer::fuses_activation(const at::Tensor& x, const ForwardMode& mode) const {
  const bool differentiates = at::GradMode::is_enabled() || mode.training;
  return x.is_cuda() && !differentiates && !adapters_ && config_.activation != "gelu";
}

at::Tensor Transformer::expand_and_activate(const Linear& linear, const at::Tensor& x) const {
  const at::ScalarType type = x.scalar_type();
  return at::_addmm_activation(linear.bias.to(type), x, linear.weight.to(type).t(), /*beta=*/1, /*alpha=*/1,
                               /*use_gelu=*/config_.activation == "gelu_tanh");
}

at::Tensor Transformer::activate(const at::Tensor& x) const {
  if (config_.activation == "gelu") return at::gelu(x, "none");
  if (config_.activation == "gelu_tanh") return at::gelu(x, "tanh");
  if (config_.activation == "relu") return at::relu(x);
  throw CodedError("MODEL_UNSUPPORTED", "activation " + config_.activation);
}

}  // namespace xlembed
