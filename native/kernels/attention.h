// Self-attention over packed sequences at inference (Vaswani et al. 2017), each sequence on its own:
//   y_i = sum_j softmax_j(q_i . k_j / sqrt(d)) v_j      for each head, d = H / heads
// T is float or bfloat16, by the matrix unit (amx.h) where the processor has one; sums are float32, softmax's
// weights are rounded to T. No padding: rows are read where the product of query, key and value put them. An
// embedding does not depend on the sequences beside it.
#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"

namespace xlembed::kernels {

// Whether heads of this width are faster in bfloat16 than in float32.
bool bfloat16_attention_is_faster(int64_t width);

struct AttentionShape {
  int64_t sequences, heads, width;  // `width` even for bfloat16
};

// query_key_value (T, 3H): a row holds query, key, value, each (heads, d); cumulative (sequences + 1) offsets
// of rows; output (T, H)
template <typename T>
void attention(const T* query_key_value, const int32_t* cumulative, AttentionShape shape, T* output);

}  // namespace xlembed::kernels
