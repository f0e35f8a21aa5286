// Exact search by Hamming distance over sign bits, as quantize_binary() packs them.
//
//   distance(q, x) = in how many of their D bits q and x differ
//   score(q, x) = D - 2 distance(q, x), the inner product of the signs, each +1 or -1
//
// The smallest distance is the largest score. Scores are whole numbers that float32 holds: the same on every
// device.
#pragma once

#include <cstdint>

#include "kernels/stream.h"
#include "kernels/top_k.h"

namespace xlembed::kernels {

// 32-bit words that one row of D bits takes; the bits beyond D are zero.
inline int64_t binary_words(int64_t dimensions) { return (dimensions + 31) / 32; }
inline int64_t binary_bytes(int64_t dimensions) { return (dimensions + 7) / 8; }

// Rows in panels (W, 48) of words: word w of a row has its bytes 4 w .. 4 w + 3, the first in the lowest
// place. Blocks are 64-byte aligned and wholly initialised; rows beyond N are never found.
struct BinaryCorpus {
  uint32_t* const* blocks;  // each (rows_per_block / 48, W, 48)
  int64_t rows_per_block;   // a multiple of 48
  int64_t rows;             // N
  int64_t dimensions;       // D
};

// Word w of row r: address(corpus, r)[w * kPanelRows].
inline uint32_t* address(const BinaryCorpus& corpus, int64_t row) {
  const int64_t at = row % corpus.rows_per_block;
  return corpus.blocks[row / corpus.rows_per_block] +
         at / kPanelRows * kPanelRows * binary_words(corpus.dimensions) + at % kPanelRows;
}

// For queries (Q, ceil(D / 8)): scores (Q, k) descending, rows (Q, k); equal scores by smaller row; where
// there are fewer than k, the rest is row -1 with score -infinity.
void top_k_binary(const uint8_t* queries, int64_t query_count, const BinaryCorpus& corpus,
                  const Subset& subset, int64_t k, int threads, float* scores, int32_t* rows);

// ranks() of top_k.h by these scores.
void ranks_binary(const uint8_t* queries, int64_t query_count, const BinaryCorpus& corpus,
                  const int32_t* relevant, const int32_t* offsets, int threads, int32_t* ranks);

// Writes bits (count, ceil(D / 8)) to the rows from `first` on; the blocks must reach that far.
void write_binary(const uint8_t* bits, int64_t first, int64_t count, const BinaryCorpus& corpus, int threads);

namespace cuda {

// The same over blocks on the device (the list of their addresses is not); all other pointers are to device
// memory. k <= top_k_list / 4; workspace of top_k_list_bytes(Q). Waits for the stream once.
void top_k_binary(const uint8_t* queries, int64_t query_count, const BinaryCorpus& corpus, int64_t k,
                  void* workspace, float* scores, int32_t* rows, CudaStream stream);

// relevant_scores has one entry for each relevant row.
void ranks_binary(const uint8_t* queries, int64_t query_count, const BinaryCorpus& corpus,
                  const int32_t* relevant, const int32_t* offsets, float* relevant_scores, int32_t* ranks,
                  CudaStream stream);

void write_binary(const uint8_t* bits, int64_t first, int64_t count, const BinaryCorpus& corpus,
                  CudaStream stream);

}  // namespace cuda
}  // namespace xlembed::kernels
