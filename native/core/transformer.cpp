#include "core/transformer.h"

#include "core/error.h"

namespace xlembed {
namespace {

at::Tensor drop(const at::Tensor& x, double probability, bool dropout) {
  return dropout && probability > 0 ? at::dropout(x, probability, /*train=*/true) : x;
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
  token_type_embeddings_ = matrix("embeddings.token_type_embeddings.weight", config.token_types, hidden);
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

at::Tensor Transformer::forward(const PackedBatch& batch, bool dropout) const {
  at::Tensor x = embed(batch, dropout);  // (T, H) from here on
  for (const Layer& layer : layers_) {
    const at::Tensor attended = layer.attention_output(attend(layer.query_key_value(x), batch, dropout));
    x = normalise(x + drop(attended, config_.hidden_dropout, dropout), layer.attention_norm);
    const at::Tensor wide = activate(layer.intermediate(x));  // (T, F)
    x = normalise(x + drop(layer.output(wide), config_.hidden_dropout, dropout), layer.output_norm);
  }
  return x;
}

at::Tensor Transformer::embed(const PackedBatch& batch, bool dropout) const {
  // Every token is of type 0: sentence pairs are no business of a dual encoder.
  const at::Tensor sum = at::embedding(word_embeddings_, batch.input_ids) +
                         at::embedding(position_embeddings_, batch.position_ids) +
                         token_type_embeddings_.select(0, 0);
  return drop(normalise(sum, embedding_norm_), config_.hidden_dropout, dropout);
}

// Per group of equal lengths: softmax(Q K^T / sqrt(d)) V on dense views of the packed rows, no mask, no
// padding.
at::Tensor Transformer::attend(const at::Tensor& query_key_value, const PackedBatch& batch,
                               bool dropout) const {
  const int64_t width = config_.hidden_size / config_.heads;
  const double probability = dropout ? config_.attention_dropout : 0.0;
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
    attended.push_back(at::scaled_dot_product_attention(parts[0], parts[1], parts[2], {}, probability)
                           .transpose(1, 2)
                           .reshape({rows[g], config_.hidden_size}));
  }
  if (attended.empty()) return query_key_value.narrow(1, 0, config_.hidden_size);
  return attended.size() == 1 ? attended[0] : at::cat(attended);
}

at::Tensor Transformer::normalise(const at::Tensor& x, const LayerNorm& norm) const {
  return at::layer_norm(x, {config_.hidden_size}, norm.weight, norm.bias, config_.layer_norm_epsilon);
}

at::Tensor Transformer::activate(const at::Tensor& x) const {
  if (config_.activation == "gelu") return at::gelu(x, "none");
  if (config_.activation == "gelu_tanh") return at::gelu(x, "tanh");
  if (config_.activation == "relu") return at::relu(x);
  throw CodedError("MODEL_UNSUPPORTED", "activation " + config_.activation);
}

}  // namespace xlembed
