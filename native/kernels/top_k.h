// Exact inner-product search over float32 vectors.
//
//   score(q, x) = the sum over d of q[d] * x[d], added in the order d = 0, 1, .. D - 1 by fused multiply-adds
//
// The score of a pair is a pure function of its two vectors: the same bits whatever the number of queries,
// the place of the row, the number of threads. So equal vectors tie, no row outranks itself, and a query's
// answer does not depend on the batch it came in.
#pragma once

#include <cstdint>

namespace xlembed::kernels {

// The corpus lies in panels: 48 consecutive rows, transposed to (D, 48), so that a register holds one
// dimension of neighbouring rows and a scan reads memory in order.
inline constexpr int64_t kPanelRows = 48;

struct Panels {
  const float* const* blocks;  // each (panels_per_block, D, 48), 64-byte aligned, wholly initialised
  int64_t panels_per_block;
  int64_t rows;        // N: those of the last panel beyond N are never found
  int64_t dimensions;  // D

  int64_t count() const { return (rows + kPanelRows - 1) / kPanelRows; }
  const float* panel(int64_t p) const {
    return blocks[p / panels_per_block] + p % panels_per_block * dimensions * kPanelRows;
  }
};

// Writes vectors (count, D) as the rows [first_lane, first_lane + count) of one panel (D, 48).
void write_panel_rows(const float* vectors, int64_t count, int64_t dimensions, int64_t first_lane,
                      float* panel);

// Reads row `lane` of a panel (D, 48) into vector (D).
void read_panel_row(const float* panel, int64_t dimensions, int64_t lane, float* vector);

// The first of vectors (count, D) whose squared length is not a finite float32 (NaN, infinity, or too long
// for its scores to be numbers); `count` when all are fine.
int64_t first_unusable_row(const float* vectors, int64_t count, int64_t dimensions);

// For queries (Q, D): scores (Q, k) descending, rows (Q, k); equal scores by smaller row; where k > N, the
// rest is row -1 with score -infinity.
void top_k(const float* queries, int64_t query_count, const Panels& corpus, int64_t k, int threads,
           float* scores, int32_t* rows);

// The 1-based rank of given rows in their query's full ranking (score descending, then row ascending),
// without holding that ranking. Query q's rows are relevant[offsets[q] .. offsets[q + 1]); ranks has one
// entry for each.
void ranks(const float* queries, int64_t query_count, const Panels& corpus, const int32_t* relevant,
           const int32_t* offsets, int threads, int32_t* ranks);

}  // namespace xlembed::kernels
