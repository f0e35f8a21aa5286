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

#include "kernels/narrow_vectors.h"

namespace xlembed::kernels {

// What top_k() gives without a subset, over a corpus in layout `rows` or `narrow`. Returns how many of the
// queries took the float32 vectors alone.
int64_t top_k_narrow(const float* queries, int64_t query_count, const Corpus& corpus,
                     const NarrowCorpus& narrow, int64_t k, int threads, float* scores, int32_t* rows);

namespace cuda {

// The same search on the device.
int64_t top_k_narrow_workspace_bytes(int64_t queries, int64_t dimensions);

// Waits for the stream, to learn which queries must be answered from the float32 vectors alone; returns how
// many. k <= top_k_list / 4; workspace: 16-byte aligned.
int64_t top_k_narrow(const float* queries, int64_t query_count, const Corpus& corpus,
                     const NarrowCorpus& narrow, int64_t k, void* workspace, float* scores, int32_t* rows,
                     CudaStream stream);

int64_t top_k_stored_workspace_bytes(int64_t queries, int64_t dimensions);

// As top_k_narrow() and ranks(), over the vectors that the numbers stand for.
int64_t top_k_stored(const float* queries, int64_t query_count, const StoredCorpus& corpus, int64_t k,
                     void* workspace, float* scores, int32_t* rows, CudaStream stream);
void ranks_stored(const float* queries, int64_t query_count, const StoredCorpus& corpus,
                  const int32_t* relevant, const int32_t* offsets, void* workspace, float* relevant_scores,
                  int32_t* ranks, CudaStream stream);

}  // namespace cuda
}  // namespace xlembed::kernels
