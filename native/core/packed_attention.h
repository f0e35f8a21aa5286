// Attention over sequences of any lengths laid end to end, in one launch: what a GPU has in place of the
// dense blocks of equal lengths that the CPU works on.
#pragma once

#include "core/packed_batch.h"

namespace xlembed {

// Whether attend_packed can take (T, 3, heads, width) of this type where it lies: on a GPU of compute
// capability 8.0 or newer.
bool has_packed_attention(const at::Tensor& query_key_value);

// softmax(Q K^T / sqrt(width)) V within each sequence of the batch: query_key_value (T, 3, heads, width) ->
// (T, heads * width), differentiable. libtorch's flash attention (Dao 2023) for float16 and bfloat16, its
// memory-efficient attention (Rabe and Staats 2021) for float32; neither makes the matrix of probabilities,
// so that memory grows with the tokens alone.
at::Tensor attend_packed(const at::Tensor& query_key_value, const PackedBatch& batch);

}  // namespace xlembed
