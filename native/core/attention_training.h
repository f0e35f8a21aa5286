// Self-attention over a packed batch as a differentiable op, on the CPU in float32 and on a GPU in bfloat16
// (kernels/attention_training.h).
#pragma once

#include "core/packed_batch.h"

namespace xlembed {

// Whether there is a kernel for query_key_value (T, 3H) of this type, with heads of this width: on a GPU of
// compute capability 8.0 or newer for multiples of 8 up to 64.
bool has_attention_training(const at::Tensor& query_key_value, int64_t width);

// query_key_value (T, 3H) -> (T, H); with probability 0 nothing is dropped. The masks are those of dropout()
// with attention_keys() at this site. Equal inputs give equal bits. No second derivative.
at::Tensor attention_training(const at::Tensor& query_key_value, const PackedBatch& batch, int64_t heads,
                              uint32_t site, double probability);

}  // namespace xlembed
