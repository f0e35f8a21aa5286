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

#include "kernels/bfloat16.h"
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

namespace cuda {

// The same search on the device, with a bfloat16 copy of the corpus in rows of narrow_width(D) places, zeros
// behind D. The lists of addresses lie on the device, as the blocks do.
struct NarrowCorpus {
  const bfloat16* const* blocks;     // each (rows_per_block, narrow_width(D)), 16-byte aligned
  const float* const* float_blocks;  // those of the corpus itself, in panels
  const float* bounds;               // (2): the largest |x - narrow(x)| and |narrow(x)| over the rows
};

XLEMBED_BOTH int64_t narrow_width(int64_t dimensions) { return (dimensions + 7) / 8 * 8; }

// What a corpus needs of its rows_per_block, so that no tile lies in two blocks.
inline constexpr int64_t narrow_tile_rows = 384;

// Fills in the rows [first, first + count) from vectors (count, D) and raises the bounds, which begin as
// zeros.
void write_narrow(const float* vectors, int64_t first, int64_t count, int64_t dimensions,
                  int64_t rows_per_block, bfloat16* const* blocks, float* bounds, CudaStream stream);

int64_t top_k_narrow_workspace_bytes(int64_t queries, int64_t dimensions);

// Waits for the stream, to learn which queries must be answered from the float32 vectors alone; returns how
// many. k <= top_k_list / 4; workspace: 16-byte aligned.
int64_t top_k_narrow(const float* queries, int64_t query_count, const Corpus& corpus,
                     const NarrowCorpus& narrow, int64_t k, void* workspace, float* scores, int32_t* rows,
                     CudaStream stream);

}  // namespace cuda
}  // namespace xlembed::kernels
