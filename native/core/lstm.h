// LASER-2's encoder (Artetxe and Schwenk 2019; Heffernan et al. 2022): embedding, then a stack of
// bidirectional LSTMs over the real tokens alone. Tensor names are those of the published checkpoint.
#pragma once

#include <vector>

#include "core/backbone.h"

namespace xlembed {

struct LstmConfig {
  int64_t vocabulary_size;
  int64_t embedding_size;
  int64_t hidden_size;  // of one direction
  int64_t layers;
  bool bidirectional;
  double dropout;  // between layers, in training
};

class Lstm final : public Backbone {
 public:
  Lstm(const LstmConfig& config, Parameters& parameters, at::Device device);

  at::Tensor forward(const PackedBatch& batch, const ForwardMode& mode) const override;
  PackedBatch pack(std::span<const int32_t> ids, std::span<const int32_t> cumulative) const override;
  void add_adapters(const LoraOptions& options, Parameters& parameters) override;
  void merge_adapters() override {}
  void drop_adapters() override {}
  int64_t hidden_size() const override { return directions() * config_.hidden_size; }

 private:
  int64_t directions() const { return config_.bidirectional ? 2 : 1; }
  void add_layer(int64_t layer, Parameters& parameters);

  LstmConfig config_;
  at::Device device_;
  at::Tensor embeddings_;
  std::vector<at::Tensor>
      weights_;  // per layer and direction: weight_ih, weight_hh, bias_ih, bias_hh; gates i, f, g, o
};

}  // namespace xlembed
