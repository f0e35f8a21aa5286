// Token ids in, one vector per token out: what every architecture offers to the encoder.
#pragma once

#include "core/lora.h"
#include "core/packed_batch.h"
#include "core/parameters.h"

namespace xlembed {

struct ForwardMode {
  bool dropout = false;    // drop with the configuration's probabilities
  bool training = false;   // by the kernels that a step uses, also where no gradient is taken yet
  int64_t layers = -1;     // stop after so many layers; -1: run all
  bool recompute = false;  // keep a layer's input alone for the backward pass, and run it again there
  at::ScalarType dtype = at::kFloat;  // of activations and products, where weights are float32
};

class Backbone {
 public:
  virtual ~Backbone() = default;

  // (T, H) hidden states after the last layer that the mode asks for. Dropout draws from the batch's keys, in
  // an LSTM from libtorch's default generator. Throws MODEL_UNSUPPORTED for a mode that this architecture
  // lacks.
  virtual at::Tensor forward(const PackedBatch& batch, const ForwardMode& mode) const = 0;

  virtual PackedBatch pack(std::span<const int32_t> ids, std::span<const int32_t> cumulative) const = 0;

  virtual int64_t hidden_size() const = 0;

  // Adds low-rank adapters, whose tensors go to `parameters`; forward() uses them from here on. Throws
  // MODEL_UNSUPPORTED for an architecture without, INVALID_ARGUMENT when the options name no module.
  virtual void add_adapters(const LoraOptions& options, Parameters& parameters) = 0;

  // Adds the adapters to the weights, and drops them.
  virtual void merge_adapters() = 0;
  virtual void drop_adapters() = 0;
};

}  // namespace xlembed
