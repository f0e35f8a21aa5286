// Embeddings out of a TorchScript encoder: its inputs are padded, its output may still have to be pooled.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/script_module.h"

namespace xlembed {

struct ScriptEmbeddingOptions {
  std::string output_name;    // of a dictionary's or named tuple's value; empty: see below
  int64_t output_index = -1;  // of a tuple's value; negative: see below
  std::string pooling;        // mean, first, none; empty: mean where the output has one vector for each token
  bool normalize = false;
  int64_t pad_id = 0;
};

struct ScriptEmbeddings {
  std::vector<float> values;  // (B, D)
  int64_t dimensions = 0;
};

// Runs forward on sequences padded on the right to (B, L) int64, with a mask of ones and zeros. Arguments
// named input_ids, attention_mask and token_type_ids get what they say; other names get the first two in this
// order. Without name or index the output is the tensor itself, a tuple's first value, or a dictionary's
// sentence_embedding, else last_hidden_state, else token_embeddings. Throws what run() throws,
// INVALID_ARGUMENT, and MODEL_UNSUPPORTED for an output that is neither (B, D) nor (B, L, D).
ScriptEmbeddings embed(const ScriptModule& module, std::span<const int32_t> ids,
                       std::span<const int32_t> cumulative, const ScriptEmbeddingOptions& options);

}  // namespace xlembed
