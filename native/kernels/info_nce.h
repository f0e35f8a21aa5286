// The contrastive loss over one block of rows of the (N, M) similarity matrix, which is never whole in
// memory. With logit_ij = scale * s_ij, s_ij = q_i . p_j, and passage i the answer to query i:
//   forward:  loss_i = log sum_j exp(logit_ij) - logit_ii
//   backward: d loss_i / d logit_ij = exp(logit_ij) / sum_k exp(logit_ik) - [i = j]
// and, for the symmetric form, the same along the columns of the first N passages. A row is one cache-sized
// piece of work, so its maximum, its sum and its gradient are taken while it is near; the columns keep a
// running maximum and sum over the blocks (M. Milakov and N. Gimelshein, arXiv 1805.02867). Every function
// gives the same bits whatever the number of threads.
#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"
#include "kernels/stream.h"

namespace xlembed::kernels {

// Queries first_row .. first_row + rows against all passages.
struct SimilarityBlock {
  float* values;  // (rows, columns), row r at values + r * stride; s_ij on entry
  int64_t rows;
  int64_t columns;    // M
  int64_t stride;     // a multiple of 4, at least columns
  int64_t first_row;  // i of the block's first row
};

enum class NegativeLanguages { any, same, other };

// Which pairs (i, j), j != i, are not negatives. A null pointer asks nothing.
struct NegativeRule {
  const int32_t* groups = nullptr;             // (M): a passage of query i's own group (>= 0) is no negative
  const int32_t* query_languages = nullptr;    // (N)
  const int32_t* passage_languages = nullptr;  // (M)
  NegativeLanguages languages = NegativeLanguages::any;
};

// What a masked pair's similarity becomes: finite, so that zero times it is zero, and exp() of it is zero.
inline constexpr float masked_similarity = -1e30f;

// One value per query, all (N); a block touches its own rows. Maxima are of similarities, before scaling:
// (s - maximum) * scale is accurate however large the logits are, and
//   log sum_j exp(logit_ij) = scale * maximum_i + log(sum_i).
struct RowResults {
  float* loss;
  float* maximum;
  float* sum;        // of exp((s_ij - maximum_i) * scale)
  float* positive;   // s_ii
  uint8_t* correct;  // 1 when s_ii is the largest of its row (ties: the smaller column wins)
};

// Running state of the first N columns, all (N). Start: maximum -inf, sum 0.
struct ColumnState {
  float* maximum;
  float* sum;
};

// What the gradient needs besides the block, all (N). The columns' pointers are null in the one-directional
// form.
struct GradientInputs {
  const float* row_weights;  // w, or null for ones
  const float* row_maximum;
  const float* row_sum;
  const float* column_maximum;
  const float* column_share;  // w_j / the column's sum
};

// scale points at one float (in device memory for CUDA, so that nobody waits for it).

// Masks the block and fills its rows' results.
void info_nce_rows(SimilarityBlock block, const float* scale, const NegativeRule& rule, RowResults results);

// Adds a masked block (after info_nce_rows) to the running state of the columns.
void info_nce_columns(SimilarityBlock block, const float* scale, int64_t queries, ColumnState state);

// Overwrites a masked block by
//   g_ij = w_i (exp((s_ij - row_maximum_i) * scale) / row_sum_i - [i = j])
//        + column_share_j exp((s_ij - column_maximum_j) * scale) - w_j [i = j],
// the second term only with the columns' state and for j < queries, and sets
//   scale_gradient_i = sum_j g_ij s_ij, (N).
// The upstream factor and `scale` are left to the caller: |g| <= 2 w suits narrow types.
void info_nce_gradient(SimilarityBlock block, const float* scale, int64_t queries, GradientInputs inputs,
                       float* scale_gradient);

// A recomputed block is not yet masked.
void info_nce_mask(SimilarityBlock block, const NegativeRule& rule);

// info_nce_rows and the one-directional info_nce_gradient with each row still in cache.
void info_nce_rows_and_gradient(SimilarityBlock block, const float* scale, const NegativeRule& rule,
                                const float* row_weights, RowResults results, float* scale_gradient);

namespace cuda {

void info_nce_rows(SimilarityBlock block, const float* scale, const NegativeRule& rule, RowResults results,
                   CudaStream stream);
void info_nce_columns(SimilarityBlock block, const float* scale, int64_t queries, ColumnState state,
                      CudaStream stream);
void info_nce_mask(SimilarityBlock block, const NegativeRule& rule, CudaStream stream);

// As on the CPU, but g goes to gradient (rows, stride) in the type that the products take: float (then it may
// be block.values), bfloat16.
void info_nce_gradient(SimilarityBlock block, const float* scale, int64_t queries, GradientInputs inputs,
                       float* scale_gradient, float* gradient, CudaStream stream);
void info_nce_gradient(SimilarityBlock block, const float* scale, int64_t queries, GradientInputs inputs,
                       float* scale_gradient, bfloat16* gradient, CudaStream stream);
void info_nce_rows_and_gradient(SimilarityBlock block, const float* scale, const NegativeRule& rule,
                                const float* row_weights, RowResults results, float* scale_gradient,
                                float* gradient, CudaStream stream);
void info_nce_rows_and_gradient(SimilarityBlock block, const float* scale, const NegativeRule& rule,
                                const float* row_weights, RowResults results, float* scale_gradient,
                                bfloat16* gradient, CudaStream stream);

}  // namespace cuda
}  // namespace xlembed::kernels
