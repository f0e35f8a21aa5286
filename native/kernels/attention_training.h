// Self-attention over packed sequences in training, float32: the forward pass with dropout of the weights,
// and the gradient, each sequence and head on its own.
//   w_ij = softmax_j(q_i . k_j / sqrt(d)),  y_i = sum_j drop(w_ij) v_j
// The backward pass computes the weights again from query and key: nothing of size L^2 outlives a head, and
// blocks of kBlockRows rows of it stay in a core's cache. Sums run over ascending tokens in one thread: the
// same bits whatever the threads and whatever else is in the batch.
#pragma once

#include <cstdint>

#include "kernels/attention.h"
#include "kernels/dropout.h"

namespace xlembed::kernels {

// Dropout of the weights: row i of head h has the key keys[token i] ^ mix_bits(h + 1). keys (T), null: none
// is dropped.
struct AttentionDropout {
  const int32_t* keys;
  DropoutRule rule;
};

// query_key_value (T, 3H) and cumulative as in kernels/attention.h; output (T, H)
void attention_forward(const float* query_key_value, const int32_t* cumulative, AttentionShape shape,
                       AttentionDropout dropout, float* output);

// output_gradient (T, H) -> query_key_value_gradient (T, 3H), which is written, not added to
void attention_backward(const float* query_key_value, const int32_t* cumulative, AttentionShape shape,
                        AttentionDropout dropout, const float* output_gradient,
                        float* query_key_value_gradient);

}  // namespace xlembed::kernels
