// BERT, XLM-R and DistilBERT encoders (Devlin et al. 2018, Conneau et al. 2019, Sanh et al. 2019) over packed
// sequences: post-LayerNorm, learned absolute positions. Tensor names are Hugging Face's, without a prefix.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/backbone.h"

namespace xlembed {

struct TransformerConfig {
  int64_t vocabulary_size;
  int64_t hidden_size;
  int64_t layers;
  int64_t heads;
  int64_t intermediate_size;
  int64_t max_positions;
  int64_t token_types;  // 0: none
  double layer_norm_epsilon;
  int64_t first_position;
  std::string activation;  // gelu (erf), gelu_tanh, relu
  double hidden_dropout;
  double attention_dropout;
  bool drops_attention_output = true;  // false: hidden_dropout is not for what attention adds to its input
};

class Transformer final : public Backbone {
 public:
  struct Linear {
    at::Tensor weight, bias;
    // In x's type: float32 weights meet narrower activations in mixed precision.
    at::Tensor operator()(const at::Tensor& x) const {
      return at::linear(x, weight.to(x.scalar_type()), bias.to(x.scalar_type()));
    }
  };
  struct LayerNorm {
    at::Tensor weight, bias;
  };
  struct Layer {
    Linear query_key_value, attention_output, intermediate, output;
    LayerNorm attention_norm, output_norm;
  };

  Transformer(const TransformerConfig& config, Parameters& parameters, at::Device device);

  at::Tensor forward(const PackedBatch& batch, const ForwardMode& mode) const override;
  PackedBatch pack(std::span<const int32_t> ids, std::span<const int32_t> cumulative) const override;
  int64_t hidden_size() const override { return config_.hidden_size; }
  void add_adapters(const LoraOptions& options, Parameters& parameters) override;
  void merge_adapters() override;
  void drop_adapters() override { adapters_.reset(); }

  const TransformerConfig& config() const { return config_; }
  const at::Tensor& word_embeddings() const { return word_embeddings_; }
  const at::Tensor& position_embeddings() const { return position_embeddings_; }
  const at::Tensor& token_type_embeddings() const { return token_type_embeddings_; }
  const LayerNorm& embedding_norm() const { return embedding_norm_; }
  const std::vector<Layer>& layers() const { return layers_; }

 private:
  std::vector<LoraModule> linear_modules() const;
  at::Tensor embed(const PackedBatch& batch, const ForwardMode& mode) const;
  at::Tensor run_layer(int64_t n, const at::Tensor& x, const PackedBatch& batch,
                       const ForwardMode& mode) const;
  at::Tensor attend(const at::Tensor& query_key_value, const PackedBatch& batch, uint32_t site,
                    const ForwardMode& mode) const;
  at::Tensor normalise(const at::Tensor& x, const LayerNorm& norm) const;
  at::Tensor activate(const at::Tensor& x) const;
  bool fuses_activation(const at::Tensor& x, const ForwardMode& mode) const;
  at::Tensor expand_and_activate(const Linear& linear, const at::Tensor& x) const;

  TransformerConfig config_;
  at::Device device_;
  at::Tensor word_embeddings_, position_embeddings_, token_type_embeddings_;
  LayerNorm embedding_norm_;
  std::vector<Layer> layers_;
  std::optional<Lora> adapters_;  // of six modules in each layer, in the order of linear_modules()
};

}  // namespace xlembed
