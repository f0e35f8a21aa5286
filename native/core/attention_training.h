// Self-attention over a packed batch as a differentiable op, on the CPU in float32
// (kernels/attention_training.h).
#pragma once

#include "core/packed_batch.h"

namespace xlembed {

bool has_attention_training(const at::Tensor& query_key_value);

// query_key_value (T, 3H) -> (T, H); with probability 0 nothing is dropped. The masks are those of dropout()
// with attention_keys() at this site. No second derivative.
at::Tensor attention_training(const at::Tensor& query_key_value, const PackedBatch& batch, int64_t heads,
                              uint32_t site, double probability);

}  // namespace xlembed
