// A whole embedding model: backbone, head and their parameters on one device.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "core/head.h"
#include "core/lstm.h"
#include "core/transfer.h"
#include "core/transformer_inference.h"

namespace xlembed {

// "cpu", "cuda" or "cuda:N". Throws DEVICE_UNAVAILABLE.
at::Device parse_device(const std::string& text);

struct EncoderOptions {
  std::variant<TransformerConfig, LstmConfig> backbone;
  std::vector<HeadModule> head;
  std::vector<TensorSource> sources;  // where the weights are; empty: fresh ones
  uint64_t seed = 0;                  // of fresh weights
  double initializer_range = 0.02;    // standard deviation of fresh weights
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;
  bool int8_layers = false;  // inference with linear layers in 8-bit integers; for the CPU and float32
};

class Encoder {
 public:
  explicit Encoder(const EncoderOptions& options);

  // (B, D) float32 on the device, differentiable where gradients are on; rows in the caller's order. When the
  // mode ends at an early layer, the mean of that layer's hidden states takes the head's place.
  at::Tensor embed(const PackedBatch& batch, const ForwardMode& mode = {}) const;

  // Inference: (B * D) float32, rows in the caller's order. On the CPU by kernels of our own where they fit
  // and no adapters are in between.
  std::vector<float> encode(std::span<const int32_t> ids, std::span<const int32_t> cumulative) {
    return begin_encode(ids, cumulative).wait();
  }
  // The same, not waited for: a GPU can have its next batch while it works on this one.
  Download begin_encode(std::span<const int32_t> ids, std::span<const int32_t> cumulative);

  PackedBatch pack(std::span<const int32_t> ids, std::span<const int32_t> cumulative) const {
    return backbone_->pack(ids, cumulative);
  }
  // Adapters that are trained instead of the weights, fresh or read from `sources`. embed() and encode() use
  // them until they are merged into the weights. Throws INVALID_ARGUMENT when there are some already, and
  // what Backbone::add_adapters and Parameters::load throw.
  void add_adapters(const LoraOptions& options, const std::vector<TensorSource>& sources);
  void merge_adapters();
  const Parameters* adapters() const { return adapters_ ? &*adapters_ : nullptr; }

  int64_t dimensions() const { return head_->dimensions(); }
  at::Device device() const { return device_; }
  at::ScalarType dtype() const { return dtype_; }
  // Of the weights.
  int64_t bytes() const { return parameters_.bytes(); }
  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }

 private:
  at::Device device_;
  at::ScalarType dtype_;
  Parameters parameters_;
  std::unique_ptr<Backbone> backbone_;
  std::unique_ptr<Head> head_;
  std::optional<Parameters> adapters_;
  std::unique_ptr<TransformerInference> inference_;  // null where the backbone itself has to do
};

}  // namespace xlembed
