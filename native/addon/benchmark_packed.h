// Sequences of many lengths for the benchmarks: packed as this project holds them, and padded as others do.
#pragma once

#include "addon/benchmark_case.h"

namespace xlembed::addon {

// (B + 1) int32: lengths 1 .. 2 * mean - 1, evenly drawn.
at::Tensor draw_cumulative(int64_t sequences, int64_t mean, int64_t seed);

// What libtorch reads in place of packed tokens: for each token its sequence, and its row among padded ones.
struct Places {
  at::Tensor counts;    // (B, 1) of the tokens' dtype
  at::Tensor sequence;  // (T) int64
  at::Tensor padded;    // (T) int64
  at::Tensor starts;    // (B) int64
  at::Tensor lengths;   // (B) int64
  int64_t longest;
};
Places places_of(const at::Tensor& cumulative, const at::TensorOptions& type);

// Sequences one after another, filled up with zeros, as libtorch's users hold them; differentiable.
at::Tensor pad(const at::Tensor& tokens, const Places& places);

// The gradient that comes from behind a result.
at::Tensor upstream_of(const at::Tensor& result);

}  // namespace xlembed::addon
