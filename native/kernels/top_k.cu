#include "kernels/rank_counts.cuh"
#include "kernels/top_k.h"
#include "kernels/top_k_lists.cuh"
#include "kernels/top_k_scan.cuh"

namespace xlembed::kernels::cuda {
namespace {

// queries (Q, D) -> (D, padded), zeros beyond Q
__global__ void transpose_queries(const float* queries, int64_t count, int64_t D, int64_t padded,
                                  float* out) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= D * padded) return;
  const int64_t d = at / padded, q = at % padded;
  out[at] = q < count ? queries[q * D + d] : 0.0f;
}

// vectors (count, D) -> rows [first, first + count) of a block of panels
__global__ void write_panel_rows(const float* vectors, int64_t first, int64_t count, int64_t D,
                                 float* block) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= count * D) return;
  const int64_t row = first + at / D, d = at % D;
  block[(row / kPanelRows * D + d) * kPanelRows + row % kPanelRows] = vectors[at];
}

// A warp to a query.
__global__ void __launch_bounds__(warp_lanes)
    score_relevant(const float* queries, const float* block, int64_t first_row, int64_t end, int64_t D,
                   const int32_t* relevant, const int32_t* offsets, float* scores, int32_t* ranks) {
  const int64_t query = static_cast<int64_t>(blockIdx.x);
  for (int32_t i = offsets[query]; i < offsets[query + 1]; ++i) {
    if (relevant[i] < first_row || relevant[i] >= end) continue;
    const int64_t row = relevant[i] - first_row;
    const float* x = block + row / kPanelRows * D * kPanelRows + row % kPanelRows;
    const float score = score_pair<1>(PanelRow{x}, queries + query * D, D);
    if (threadIdx.x != 0) continue;
    scores[i] = score;
    ranks[i] = 1;
  }
}

// In the caller's workspace, behind the lists: (D, padded queries).
float* transposed_queries(void* workspace, int64_t queries) {
  return reinterpret_cast<float*>(static_cast<char*>(workspace) + top_k_list_bytes(queries));
}

void transpose(const float* queries, int64_t count, int64_t D, float* out, CudaStream stream) {
  const int64_t padded = top_k_padded_queries(count);
  launch(transpose_queries, blocks_for(D * padded, plain_threads), plain_threads, 0, stream, queries, count,
         D, padded, out);
}

// The blocks of memory, one after another.
PanelSource panels_of(const Corpus& corpus) {
  return [&corpus](int64_t first, int64_t* end) {
    *end = std::min(*end, (first / corpus.rows_per_block + 1) * corpus.rows_per_block);
    return address(corpus, first);
  };
}

}  // namespace

void top_k(const float* queries, int64_t query_count, const Corpus& corpus, int64_t k, void* workspace,
           float* scores, int32_t* rows, CudaStream stream) {
  top_k(queries, query_count, panels_of(corpus), {corpus.rows, corpus.dimensions}, k, workspace, scores, rows,
        stream);
}

void top_k(const float* queries, int64_t query_count, const PanelSource& source, CorpusShape corpus,
           int64_t k, void* workspace, float* scores, int32_t* rows, CudaStream stream) {
  if (query_count == 0 || k == 0) return;
  const Lists lists(workspace, query_count);
  float* transposed = transposed_queries(workspace, query_count);
  transpose(queries, query_count, corpus.dimensions, transposed, stream);
  const auto score = [&](int64_t first, int64_t end, const Collect& sink) {
    score_rows(transposed, query_count, source, corpus.dimensions, first, end, sink, stream);
  };
  search_lists(lists, query_count, corpus.rows, k, score, scores, rows, stream);
}

void ranks(const float* queries, int64_t query_count, const Corpus& corpus, const int32_t* relevant,
           const int32_t* offsets, void* workspace, float* relevant_scores, int32_t* found,
           CudaStream stream) {
  ranks(queries, query_count, panels_of(corpus), {corpus.rows, corpus.dimensions}, relevant, offsets,
        workspace, relevant_scores, found, stream);
}

void ranks(const float* queries, int64_t query_count, const PanelSource& source, CorpusShape corpus,
           const int32_t* relevant, const int32_t* offsets, void* workspace, float* relevant_scores,
           int32_t* ranks, CudaStream stream) {
  if (query_count == 0) return;
  float* transposed = transposed_queries(workspace, query_count);
  transpose(queries, query_count, corpus.dimensions, transposed, stream);
  for (int64_t first = 0, end; first < corpus.rows; first = end) {
    end = corpus.rows;
    const float* x = source(first, &end);
    launch(score_relevant, static_cast<unsigned>(query_count), warp_lanes, 0, stream, queries, x, first, end,
           corpus.dimensions, relevant, offsets, relevant_scores, ranks);
  }
  score_rows(transposed, query_count, source, corpus.dimensions, 0, corpus.rows,
             CountBetter{relevant, offsets, relevant_scores, ranks}, stream);
}

void write_vectors(const float* vectors, int64_t first, int64_t count, const Corpus& corpus,
                   CudaStream stream) {
  while (count > 0) {
    const int64_t begin = first % corpus.rows_per_block,
                  rows = std::min(count, corpus.rows_per_block - begin);
    float* block = const_cast<float*>(corpus.blocks[first / corpus.rows_per_block]);
    launch(write_panel_rows, blocks_for(rows * corpus.dimensions, plain_threads), plain_threads, 0, stream,
           vectors, begin, rows, corpus.dimensions, block);
    vectors += rows * corpus.dimensions;
    first += rows;
    count -= rows;
  }
}

}  // namespace xlembed::kernels::cuda
