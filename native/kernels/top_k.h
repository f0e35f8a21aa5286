// Exact inner-product search over float32 vectors.
//
//   score(q, x) = the sum over d of q[d] * x[d]: chains of 512 dimensions, each added in the order of d by
//   fused
//                 multiply-adds; then the chains' sums, in that order
//
// The score of a pair is a pure function of its two vectors: the same bits whatever the number of queries,
// the place of the row, the layout, the number of threads. So equal vectors tie, no row outranks itself, and
// a query's answer does not depend on the batch it came in.
#pragma once

#include <cstdint>
#include <functional>

#include "kernels/stream.h"

namespace xlembed::kernels {

// A panel is 48 consecutive rows, transposed to (D, 48): a register holds one dimension of neighbouring rows,
// and a scan reads memory in order.
inline constexpr int64_t kPanelRows = 48;

// Dimensions in a chain. In one long chain rounding errors would outgrow those of a matrix product.
inline constexpr int64_t kChain = 512;

struct NarrowCorpus;  // top_k_narrow.h

// `narrow`: there are no float32 vectors but those that narrow numbers stand for; results are the same bits
// as over these in float32.
enum class Layout { panels, rows, narrow };

// Vectors in blocks of memory, each 64-byte aligned and wholly initialised; rows beyond N are never found.
struct Corpus {
  const float* const* blocks;  // each (rows_per_block / 48, D, 48) as panels, (rows_per_block, D) as rows
  int64_t rows_per_block;      // a multiple of 48
  int64_t rows;                // N
  int64_t dimensions;          // D
  Layout layout;
  const NarrowCorpus* narrow = nullptr;  // in layout `narrow`
};

// The rows that a search is confined to, ascending.
struct Subset {
  const int32_t* rows = nullptr;
  int64_t count = -1;  // -1: all rows of the corpus

  bool all() const { return count < 0; }
};

// For queries (Q, D): scores (Q, k) descending, rows (Q, k); equal scores by smaller row; where there are
// fewer than k, the rest is row -1 with score -infinity.
void top_k(const float* queries, int64_t query_count, const Corpus& corpus, const Subset& subset, int64_t k,
           int threads, float* scores, int32_t* rows);

// The same by float32 sums alone. top_k() takes it for few queries or rows; for many, narrow numbers say
// first which rows' sums are wanted (top_k_two_pass.h).
void top_k_one_pass(const float* queries, int64_t query_count, const Corpus& corpus, const Subset& subset,
                    int64_t k, int threads, float* scores, int32_t* rows);

// The 1-based rank of given rows in their query's full ranking (score descending, then row ascending),
// without holding that ranking. Query q's rows are relevant[offsets[q] .. offsets[q + 1]); ranks has one
// entry for each. A row whose score is NaN, which top_k() never finds, stands behind all that it finds.
void ranks(const float* queries, int64_t query_count, const Corpus& corpus, const int32_t* relevant,
           const int32_t* offsets, int threads, int32_t* ranks);

// Writes vectors (count, D) to the rows from `first` on; the blocks must reach that far.
void write_vectors(const float* vectors, int64_t first, int64_t count, const Corpus& corpus, int threads);

// The first of vectors (count, D) whose squared length is not a finite float32 (NaN, infinity, or so long
// that a score may not be a number); `count` when all are fine.
int64_t first_unusable_row(const float* vectors, int64_t count, int64_t dimensions);

namespace cuda {

// The same searches, with the same bits, over a corpus in layout `panels` whose blocks lie on the device (the
// list of their addresses does not); all other pointers are to device memory. k <= top_k_list / 4.

inline constexpr int64_t top_k_list = 8192;  // rows that a query holds between two sorts

inline int64_t top_k_padded_queries(int64_t queries) { return (queries + 127) / 128 * 128; }
inline int64_t top_k_list_bytes(int64_t queries) {
  return (queries * (top_k_list * 8 + 8) + 4 + 15) / 16 * 16;
}
inline int64_t top_k_workspace_bytes(int64_t queries, int64_t dimensions) {
  return top_k_list_bytes(queries) + dimensions * top_k_padded_queries(queries) * 4;
}

// Waits for the stream once, to learn whether the lists sufficed. workspace: 16-byte aligned.
void top_k(const float* queries, int64_t query_count, const Corpus& corpus, int64_t k, void* workspace,
           float* scores, int32_t* rows, CudaStream stream);

// relevant_scores has one entry for each relevant row.
void ranks(const float* queries, int64_t query_count, const Corpus& corpus, const int32_t* relevant,
           const int32_t* offsets, void* workspace, float* relevant_scores, int32_t* ranks,
           CudaStream stream);

void write_vectors(const float* vectors, int64_t first, int64_t count, const Corpus& corpus,
                   CudaStream stream);

// The same searches over panels that are made when they are wanted: source(first, &end) gives those of the
// rows from `first` (a multiple of 48) on, and lowers `end` to where they end; they are read before the next
// call.
using PanelSource = std::function<const float*(int64_t first, int64_t* end)>;
struct CorpusShape {
  int64_t rows, dimensions;
};
void top_k(const float* queries, int64_t query_count, const PanelSource& source, CorpusShape corpus,
           int64_t k, void* workspace, float* scores, int32_t* rows, CudaStream stream);
void ranks(const float* queries, int64_t query_count, const PanelSource& source, CorpusShape corpus,
           const int32_t* relevant, const int32_t* offsets, void* workspace, float* relevant_scores,
           int32_t* ranks, CudaStream stream);

}  // namespace cuda

// The float32 of dimension d of row r: address(corpus, r)[d * stride(corpus)]; not in layout `narrow`.
inline const float* address(const Corpus& corpus, int64_t row) {
  const float* block = corpus.blocks[row / corpus.rows_per_block];
  const int64_t at = row % corpus.rows_per_block;
  if (corpus.layout == Layout::rows) return block + at * corpus.dimensions;
  return block + at / kPanelRows * kPanelRows * corpus.dimensions + at % kPanelRows;
}
inline int64_t stride(const Corpus& corpus) { return corpus.layout == Layout::rows ? 1 : kPanelRows; }

}  // namespace xlembed::kernels
