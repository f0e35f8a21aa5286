// Exact inner-product search that reads fewer bytes: a first pass over a narrow copy of the vectors keeps the
// rows that could be among the k best, a second pass scores these in float32, with the bits of top_k.h.
//
// Why nothing is lost: with narrow(x) and narrow(q), the two scores of a pair differ by at most
//   m = |q| |x - narrow(x)| + |q - narrow(q)| |narrow(x)|  (Cauchy-Schwarz), and the rounding of the sums.
// If L is the k-th best narrow score, k rows score L - m or more in float32, so a row whose narrow score is
// below L - 2m cannot be among the k best. Where so many rows lie within 2m that keeping them would cost more
// than it saves, the query is answered from the float32 vectors alone.
#pragma once

#include <cstdint>

#include "kernels/top_k.h"

namespace xlembed::kernels {

enum class Narrow {
  bfloat16,  // rounded to nearest: half the bytes; 2m is about 0.4 % of the product of the lengths
  int8       // x / scale + 128, scale = largest |x| / 127 of the row: a quarter of the bytes
};

// The narrow copy of a corpus, in panels (narrow_words, 48) of 32-bit words: two bfloat16 or four int8 to a
// word; for int8 the last word is the row's scale.
struct NarrowCorpus {
  Narrow type;
  uint32_t* const*
      blocks;            // each (rows_per_block / 48, narrow_words, 48), 64-byte aligned, wholly initialised
  float largest_error;   // of |x - narrow(x)| over the rows
  float largest_length;  // of |narrow(x)|
};

// 32-bit words that one row of D dimensions takes.
int64_t narrow_words(Narrow type, int64_t dimensions);

// Fills in the narrow copy of the rows [first, first + count) of a corpus in layout `rows`, whose blocks it
// shares, and raises the two bounds.
void write_narrow(const Corpus& corpus, int64_t first, int64_t count, int threads, NarrowCorpus& narrow);

// What top_k() gives without a subset. Returns how many of the queries took the float32 vectors alone.
int64_t top_k_narrow(const float* queries, int64_t query_count, const Corpus& corpus,
                     const NarrowCorpus& narrow, int64_t k, int threads, float* scores, int32_t* rows);

}  // namespace xlembed::kernels
