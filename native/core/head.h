// Token vectors to embeddings: the modules after the encoder in a sentence-transformers model.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/packed_batch.h"
#include "core/packed_linear.h"
#include "core/parameters.h"
#include "core/pooling.h"

namespace xlembed {

struct HeadModule {
  enum class Kind { pool, dense, normalize } kind;
  std::vector<std::string> modes = {};  // pool: names of core/pooling.h; their vectors are laid side by side
  std::string activation = {};          // dense: identity, tanh, gelu or relu
  int64_t in_features = 0;
  int64_t out_features = 0;
  bool bias = true;
};

// Runs in float32 whatever the encoder's dtype.
class Head {
 public:
  // Dense modules take their tensors as dense.K.linear.{weight,bias}, K being the place in `modules`.
  Head(const std::vector<HeadModule>& modules, int64_t hidden_size, Parameters& parameters);

  // hidden (T, H) -> (B, D) float32, in the batch's own order. In inference on the CPU a row has the same
  // bits whatever is beside it.
  at::Tensor forward(const at::Tensor& hidden, const PackedBatch& batch) const;

  int64_t dimensions() const { return dimensions_; }

 private:
  struct Step {
    HeadModule module;
    std::vector<Pooling> poolings;
    at::Tensor weight, bias;
    mutable std::optional<PackedLinear<float>> packed = {};  // of these, as they were in `version`
    mutable int64_t version = -1;
  };
  static at::Tensor multiply(const Step& step, const at::Tensor& x);
  void add_pooling(Step& step);
  void add_dense(Step& step, const std::string& name, Parameters& parameters);

  std::vector<Step> steps_;
  int64_t dimensions_;
};

}  // namespace xlembed
