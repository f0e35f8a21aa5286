// Token vectors to embeddings: the modules after the encoder in a sentence-transformers model.
#pragma once

#include <string>
#include <vector>

#include "core/packed_batch.h"
#include "core/parameters.h"

namespace xlembed {

struct HeadModule {
  enum class Kind { pool, dense, normalize } kind;
  std::string mode;  // pool: mean, first or max; dense: activation identity, tanh, gelu or relu
  int64_t in_features = 0;
  int64_t out_features = 0;
  bool bias = true;
};

// Runs in float32 whatever the encoder's dtype.
class Head {
 public:
  // Dense modules take their tensors as dense.K.linear.{weight,bias}, K being the place in `modules`.
  Head(const std::vector<HeadModule>& modules, int64_t hidden_size, Parameters& parameters);

  // hidden (T, H) -> (B, D) float32, in the batch's own order.
  at::Tensor forward(const at::Tensor& hidden, const PackedBatch& batch) const;

  int64_t dimensions() const { return dimensions_; }

 private:
  struct Step {
    HeadModule module;
    at::Tensor weight, bias;
  };
  std::vector<Step> steps_;
  int64_t dimensions_;
};

}  // namespace xlembed
