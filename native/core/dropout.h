// Dropout as a differentiable op over rows that carry keys (kernels/dropout.h), and those keys.
#pragma once

#include <span>

#include "core/packed_batch.h"
#include "kernels/dropout.h"

namespace xlembed {

// Gives every token a key drawn from the seed, its sequence's number in the whole batch and its position, so
// that its masks are the same in whatever chunk it is computed. sequences[b] is the number of the caller's
// sequence b.
void seed_dropout(PackedBatch& batch, uint64_t seed, std::span<const int64_t> sequences);

// x (..., columns), dense, with one key for each of its rows in order. `site` tells the model's dropouts
// apart.
at::Tensor dropout(const at::Tensor& x, const at::Tensor& keys, uint32_t site, double probability);

kernels::DropoutRule dropout_rule(uint32_t site, double probability);

// (sequences, heads, length) keys for the rows of a length group's attention probabilities.
at::Tensor attention_keys(const PackedBatch& batch, const LengthGroup& group, int64_t heads);

}  // namespace xlembed
