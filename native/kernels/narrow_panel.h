// A float32 panel (D, 48) in narrow numbers, two to a word, for a search that keeps no narrow copy.
#pragma once

#include <cstdint>

#include "kernels/narrow_vectors.h"

namespace xlembed::kernels {

// What a row or a query has whose bounds are of use: squares of its values neither overflow float32 nor, but
// for what kShortest bounds, vanish in it.
inline constexpr float kShortest = 1e-12f, kLongest = 1e15f;

// The first `rows` rows of a panel -> words (W, 48), of which what stands behind D is left alone: they must
// be zeros. Gives how far off the rows are and, in narrow numbers, how long, at most; an infinite length
// where a row is longer than kLongest. A row with NaN does not count, and its narrow scores will be NaN.

Distance narrow_to_bfloat16(const float* panel, int64_t dimensions, int64_t rows, uint32_t* words);

// Integers of 16 bits (fixed16.h), each row with a step of its own: steps (48), NaN for a row with NaN.
Distance narrow_to_fixed16(const float* panel, int64_t dimensions, int64_t rows, uint32_t* words,
                           float* steps);

}  // namespace xlembed::kernels
