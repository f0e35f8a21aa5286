// Token ids in, one vector per token out: what every architecture offers to the encoder.
#pragma once

#include "core/packed_batch.h"
#include "core/parameters.h"

namespace xlembed {

class Backbone {
 public:
  virtual ~Backbone() = default;

  // (T, H) last hidden states. With `dropout`, the configuration's probabilities apply (libtorch's default
  // generator of the device draws).
  virtual at::Tensor forward(const PackedBatch& batch, bool dropout) const = 0;

  virtual PackedBatch pack(std::span<const int32_t> ids, std::span<const int32_t> cumulative) const = 0;

  virtual int64_t hidden_size() const = 0;
};

}  // namespace xlembed
