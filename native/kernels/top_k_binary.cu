#include "kernels/rank_counts.cuh"
#include "kernels/top_k_binary.h"
#include "kernels/top_k_lists.cuh"

// One query is bound by reading the corpus, eight at a time by the population count (16 a clock and
// multiprocessor): more queries than that gain nothing from a larger tile.
namespace xlembed::kernels::cuda {
namespace {

constexpr int threads_per_block = 192;  // 16 panels of 12 threads
constexpr int query_tile = 8;
constexpr int held_words = 128;  // of the queries, in shared memory at a time

// Word w of packed bits, whose bytes need not be aligned; zeros beyond their end.
__device__ uint32_t word_of(const uint8_t* bits, int64_t w, int64_t bytes) {
  uint32_t word = 0;
#pragma unroll
  for (int byte = 0; byte < 4; ++byte) {
    const int64_t at = w * 4 + byte;
    if (at < bytes) word |= static_cast<uint32_t>(bits[at]) << (8 * byte);
  }
  return word;
}

// panels (P, W, 48), queries (Q, bytes); a thread has 4 rows, a block of the grid's second axis one tile.
template <int Q, typename Sink>
__global__ void __launch_bounds__(threads_per_block)
    score_bits(const uint32_t* panels, int64_t panel_count, int64_t first_row, int64_t end, int64_t D,
               const uint8_t* queries, int64_t query_count, Sink sink) {
  __shared__ uint32_t shared[held_words][Q];
  constexpr int quads = kPanelRows / 4;
  const int64_t W = (D + 31) / 32, bytes = (D + 7) / 8;
  const int64_t first_query = static_cast<int64_t>(blockIdx.y) * Q;
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * threads_per_block + threadIdx.x;
  const int64_t panel = min(thread / quads, panel_count - 1);
  const bool inside = thread / quads < panel_count;
  const uint4* x = reinterpret_cast<const uint4*>(panels + panel * W * kPanelRows) + thread % quads;
  int distances[Q][4] = {};
  for (int64_t begin = 0; begin < W; begin += held_words) {
    const int depth = static_cast<int>(min(W - begin, static_cast<int64_t>(held_words)));
    __syncthreads();
    for (int i = threadIdx.x; i < depth * Q; i += threads_per_block) {
      const int64_t query = first_query + i % Q;
      shared[i / Q][i % Q] = query < query_count ? word_of(queries + query * bytes, begin + i / Q, bytes) : 0;
    }
    __syncthreads();
#pragma unroll 4
    for (int w = 0; w < depth; ++w) {
      const uint4 v = __ldg(x + (begin + w) * quads);
#pragma unroll
      for (int q = 0; q < Q; ++q) {
        const uint32_t word = shared[w][q];
        distances[q][0] += __popc(v.x ^ word);
        distances[q][1] += __popc(v.y ^ word);
        distances[q][2] += __popc(v.z ^ word);
        distances[q][3] += __popc(v.w ^ word);
      }
    }
  }
  int64_t rows[4];
#pragma unroll
  for (int i = 0; i < 4; ++i)
    rows[i] = inside ? first_row + panel * kPanelRows + thread % quads * 4 + i : end;
#pragma unroll
  for (int q = 0; q < Q; ++q) {
    if (first_query + q >= query_count) continue;
    float scores[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[i] = static_cast<float>(static_cast<int>(D) - 2 * distances[q][i]);
    sink.template operator()<warp_lanes>(first_query + q, rows, scores, end);
  }
}

// bits (count, bytes) -> rows [first, first + count) of a block of panels
__global__ void write_words(const uint8_t* bits, int64_t first, int64_t count, int64_t W, int64_t bytes,
                            uint32_t* block) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= count * W) return;
  const int64_t row = first + at / W, w = at % W;
  block[(row / kPanelRows * W + w) * kPanelRows + row % kPanelRows] =
      word_of(bits + at / W * bytes, w, bytes);
}

// Sets the scores of the relevant rows that lie in a block of panels; their ranks begin at 1.
__global__ void score_relevant(const uint8_t* queries, const uint32_t* panels, int64_t first_row, int64_t end,
                               int64_t D, const int32_t* relevant, const int32_t* offsets, float* scores,
                               int32_t* ranks) {
  const int64_t query = blockIdx.x, W = (D + 31) / 32, bytes = (D + 7) / 8;
  for (int32_t i = offsets[query] + static_cast<int32_t>(threadIdx.x); i < offsets[query + 1];
       i += static_cast<int32_t>(blockDim.x)) {
    if (relevant[i] < first_row || relevant[i] >= end) continue;
    const int64_t row = relevant[i] - first_row;
    const uint32_t* x = panels + row / kPanelRows * W * kPanelRows + row % kPanelRows;
    int distance = 0;
    for (int64_t w = 0; w < W; ++w)
      distance += __popc(x[w * kPanelRows] ^ word_of(queries + query * bytes, w, bytes));
    scores[i] = static_cast<float>(static_cast<int>(D) - 2 * distance);
    ranks[i] = 1;
  }
}

// Hands the scores of all queries with the rows [first, end) to the sink; `first` is a multiple of 48.
template <typename Sink>
void score_rows(const uint8_t* queries, int64_t query_count, const BinaryCorpus& corpus, int64_t first,
                int64_t end, const Sink& sink, CudaStream stream) {
  while (first < end) {
    const int64_t block_end = (first / corpus.rows_per_block + 1) * corpus.rows_per_block;
    const int64_t stop = std::min(end, block_end), panels = (stop - first + kPanelRows - 1) / kPanelRows;
    const unsigned blocks = blocks_for(panels * (kPanelRows / 4), threads_per_block);
    const uint32_t* x = address(corpus, first);
    if (query_count == 1) {
      launch(score_bits<1, Sink>, blocks, threads_per_block, 0, stream, x, panels, first, stop,
             corpus.dimensions, queries, int64_t{1}, sink);
    } else {
      const dim3 grid(blocks, blocks_for(query_count, query_tile));
      launch(score_bits<query_tile, Sink>, grid, threads_per_block, 0, stream, x, panels, first, stop,
             corpus.dimensions, queries, query_count, sink);
    }
    first = stop;
  }
}

}  // namespace

void top_k_binary(const uint8_t* queries, int64_t query_count, const BinaryCorpus& corpus, int64_t k,
                  void* workspace, float* scores, int32_t* rows, CudaStream stream) {
  if (query_count == 0 || k == 0) return;
  const auto score = [&](int64_t first, int64_t end, const Collect& sink) {
    score_rows(queries, query_count, corpus, first, end, sink, stream);
  };
  search_lists(Lists(workspace, query_count), query_count, corpus.rows, k, score, scores, rows, stream);
}

void ranks_binary(const uint8_t* queries, int64_t query_count, const BinaryCorpus& corpus,
                  const int32_t* relevant, const int32_t* offsets, float* relevant_scores, int32_t* ranks,
                  CudaStream stream) {
  if (query_count == 0) return;
  for (int64_t first = 0; first < corpus.rows; first += corpus.rows_per_block) {
    const int64_t end = std::min(corpus.rows, first + corpus.rows_per_block);
    launch(score_relevant, static_cast<unsigned>(query_count), warp_lanes, 0, stream, queries,
           address(corpus, first), first, end, corpus.dimensions, relevant, offsets, relevant_scores, ranks);
  }
  score_rows(queries, query_count, corpus, 0, corpus.rows,
             CountBetter{relevant, offsets, relevant_scores, ranks}, stream);
}

void write_binary(const uint8_t* bits, int64_t first, int64_t count, const BinaryCorpus& corpus,
                  CudaStream stream) {
  const int64_t bytes = binary_bytes(corpus.dimensions), words = binary_words(corpus.dimensions);
  while (count > 0) {
    const int64_t begin = first % corpus.rows_per_block,
                  rows = std::min(count, corpus.rows_per_block - begin);
    launch(write_words, blocks_for(rows * words, plain_threads), plain_threads, 0, stream, bits, begin, rows,
           words, bytes, corpus.blocks[first / corpus.rows_per_block]);
    bits += rows * bytes;
    first += rows;
    count -= rows;
  }
}

}  // namespace xlembed::kernels::cuda
