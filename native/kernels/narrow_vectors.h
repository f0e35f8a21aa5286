// Vectors in narrow numbers, bfloat16 or int8: beside float32 ones, for the first pass of a search over them
// (top_k_narrow.h), or alone.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/bfloat16.h"
#include "kernels/top_k.h"

namespace xlembed::kernels {

enum class Narrow {
  bfloat16,  // rounded to nearest: half the bytes; 2m of top_k_narrow.h is about 0.4 % of the product of the
             // lengths
  // x / scale, plus 128 in memory: a quarter of the bytes. The scale is the row's largest |x| / 127, rounded
  // up to 16 bits: integer times scale is exact in float32, and narrowing what was narrowed changes nothing.
  int8
};

// largest / most, not below it, in 16 significant bits.
XLEMBED_BOTH float int8_scale(float largest, int most = 127) {
  const float scale = largest / static_cast<float>(most);
  uint32_t bits;
  memcpy(&bits, &scale, sizeof bits);
  bits = (bits + 255u) & ~255u;
  float rounded;
  memcpy(&rounded, &bits, sizeof rounded);
  return rounded;
}

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

// Fills in the rows [first, first + count) of a corpus from vectors (count, D) and raises the two bounds. In
// a corpus of layout `narrow` nothing is lost any more by reading narrow numbers: the largest error stays
// zero.
void write_narrow(const float* vectors, int64_t first, int64_t count, const Corpus& corpus, int threads,
                  NarrowCorpus& narrow);

// The vectors of a corpus in layout `narrow`: one row (D), or panel p (D, 48).
void read_row(const Corpus& corpus, int64_t row, float* vector);
void read_panel(const Corpus& corpus, int64_t p, float* panel);

// The words of a row: address(corpus, narrow, row)[w * kPanelRows].
inline uint32_t* address(const Corpus& corpus, const NarrowCorpus& narrow, int64_t row) {
  const int64_t at = row % corpus.rows_per_block;
  return narrow.blocks[row / corpus.rows_per_block] +
         at / kPanelRows * kPanelRows * narrow_words(narrow.type, corpus.dimensions) + at % kPanelRows;
}

// ---- One vector ----

// 32-bit words of a row's numbers, without the scale.
int64_t value_words(Narrow type, int64_t dimensions);

// How far narrow(x) is from x.
struct Distance {
  float error = 0;   // |x - narrow(x)|
  float length = 0;  // |narrow(x)|
};

// x (D) -> words (value_words)
Distance encode_bfloat16(const float* x, int64_t dimensions, uint32_t* words, int64_t count);

// x (D) -> words of integers in [-most, most] + offset, scale. The offset makes the corpus unsigned, as the
// instructions want it.
Distance encode_int8(const float* x, int64_t dimensions, int most, int offset, uint32_t* words, int64_t count,
                     float* scale);

// A panel of bfloat16, two to a word, in float32 (D, 48).
void widen_bfloat16(const uint32_t* words, int64_t dimensions, float* panel);

namespace cuda {

// Places of a row of bfloat16, zeros behind D.
XLEMBED_BOTH int64_t narrow_width(int64_t dimensions) { return (dimensions + 7) / 8 * 8; }

// What a corpus needs of its rows_per_block, so that no tile lies in two blocks.
inline constexpr int64_t narrow_tile_rows = 384;

// A bfloat16 copy of a corpus on the device, in rows of narrow_width(D) places. The lists of addresses lie on
// the device, as the blocks do.
struct NarrowCorpus {
  const bfloat16* const* blocks;     // each (rows_per_block, narrow_width(D)), 16-byte aligned
  const float* const* float_blocks;  // those of the corpus itself, in panels
  const float* bounds;               // (2): the largest |x - narrow(x)| and |narrow(x)| over the rows
};

// Fills in the rows [first, first + count) from vectors (count, D) and raises the bounds, which begin as
// zeros.
void write_narrow(const float* vectors, int64_t first, int64_t count, int64_t dimensions,
                  int64_t rows_per_block, bfloat16* const* blocks, float* bounds, CudaStream stream);

// Vectors in narrow numbers alone, row after row: bfloat16 as above; or int8, zeros behind D up to a multiple
// of 16, and 16 bytes that begin with the scale. What searches read in another form (a first pass over int8,
// in bfloat16; the few queries that need float32 alone) is made piece by piece.
struct StoredCorpus {
  Narrow type;
  char* const* blocks;     // on the device; each (rows_per_block, stored_row_bytes), 16-byte aligned
  int64_t rows_per_block;  // a multiple of narrow_tile_rows
  int64_t rows;            // N
  int64_t dimensions;      // D
  float* bounds;           // as above, of bfloat16 numbers against the stored ones; begin as zeros
};

XLEMBED_BOTH int64_t stored_row_bytes(Narrow type, int64_t dimensions) {
  return type == Narrow::bfloat16 ? narrow_width(dimensions) * 2 : (dimensions + 15) / 16 * 16 + 16;
}

// Rows that are widened at a time: at most some 64 MB.
inline int64_t stored_piece_rows(int64_t dimensions) {
  const int64_t tiles = (int64_t{1} << 24) / narrow_width(dimensions) / narrow_tile_rows;
  return (tiles > 0 ? tiles : 1) * narrow_tile_rows;
}

// Narrows vectors (count, D) to the rows from `first` on and raises the bounds.
void write_stored(const float* vectors, int64_t first, int64_t count, const StoredCorpus& corpus,
                  CudaStream stream);

}  // namespace cuda
}  // namespace xlembed::kernels
