// Self-attention over packed sequences in training: the forward pass with dropout of the weights, and the
// gradient, each sequence and head on its own.
//   w_ij = softmax_j(q_i . k_j / sqrt(d)),  y_i = sum_j drop(w_ij) v_j
// The backward pass computes the weights again from query and key: nothing of size L^2 outlives a block of 64
// rows. Sums run in an order that the sequence alone decides: the same bits whatever the threads and whatever
// else is in the batch.
#pragma once

#include <cstdint>

#include "kernels/attention.h"
#include "kernels/dropout.h"
#include "kernels/stream.h"

namespace xlembed::kernels {

// Dropout of the weights: row i of head h has the key keys[token i] ^ mix_bits(h + 1). keys (T), null: none
// is dropped.
struct AttentionDropout {
  const int32_t* keys;
  DropoutRule rule;
};

// In float32. query_key_value (T, 3H) and cumulative as in kernels/attention.h; output (T, H)
void attention_forward(const float* query_key_value, const int32_t* cumulative, AttentionShape shape,
                       AttentionDropout dropout, float* output);

// output_gradient (T, H) -> query_key_value_gradient (T, 3H), which is written, not added to
void attention_backward(const float* query_key_value, const int32_t* cumulative, AttentionShape shape,
                        AttentionDropout dropout, const float* output_gradient,
                        float* query_key_value_gradient);

namespace cuda {

// In bfloat16 with sums in float32, on tensor cores.
constexpr bool has_attention(int64_t width) { return width % 8 == 0 && width <= 64; }

// `longest` is the length of the longest sequence; log_sums (heads, T) is for the backward pass
void attention_forward(const bfloat16* query_key_value, const int32_t* cumulative, AttentionShape shape,
                       AttentionDropout dropout, int64_t longest, bfloat16* output, float* log_sums,
                       CudaStream stream);

inline constexpr int64_t attention_scratch_floats = 4;  // of each token and head

// scratch (heads, T, attention_scratch_floats), 16-byte aligned; the rest as above
void attention_backward(const bfloat16* query_key_value, const int32_t* cumulative, AttentionShape shape,
                        AttentionDropout dropout, int64_t longest, const bfloat16* output,
                        const float* log_sums, const bfloat16* output_gradient, float* scratch,
                        bfloat16* query_key_value_gradient, CudaStream stream);

}  // namespace cuda
}  // namespace xlembed::kernels
