// Low-rank adapters of linear layers (E. Hu et al. 2021, arXiv 2106.09685):
//   y = W x + b + (alpha / rank) B A dropout(x), A (rank, in) uniform, B (out, rank) zero at first
// The names of modules, and which of them a target names, are those of Hugging Face's PEFT.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/packed_batch.h"
#include "core/parameters.h"

namespace xlembed {

struct LoraOptions {
  int64_t rank = 8;
  double alpha = 8;
  double dropout = 0;
  std::vector<std::string>
      targets;                  // a module's name, or how it ends after a dot: query, attention.output.dense
  std::vector<int64_t> layers;  // empty: all
  uint64_t seed = 0;
};

// A linear module that could have an adapter. `weight` (out, in) may be some rows of the product that the
// model computes: those from first_row on.
struct LoraModule {
  std::string name;
  int64_t layer;
  at::Tensor weight;
  int64_t first_row;
};

class Lora {
 public:
  // One adapter for each of `modules` that the options name, its tensors added to `parameters` as
  // <module>.lora_A.weight and <module>.lora_B.weight. Throws INVALID_ARGUMENT when they name none.
  Lora(const LoraOptions& options, const std::vector<LoraModule>& modules, Parameters& parameters);

  // y (T, out of the whole product) plus what the adapters of `modules` [first, first + count) add for
  // x (T, in).
  at::Tensor add(const at::Tensor& y, const at::Tensor& x, size_t first, size_t count,
                 const PackedBatch& batch, bool dropout) const;

  // Adds every adapter to its module's weight.
  void merge() const;

 private:
  struct Adapter {
    LoraModule module;
    at::Tensor a, b;  // undefined: this module has none
  };
  double scale() const { return options_.alpha / static_cast<double>(options_.rank); }

  LoraOptions options_;
  std::vector<Adapter> adapters_;  // one for each module
};

}  // namespace xlembed
