#include <cuda_pipeline.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "kernels/reduce.cuh"
#include "kernels/top_k.h"

// The scores are those of the CPU to the last bit: one chain of fused multiply-adds per pair, dimensions
// ascending. So tensor cores have no part here; what bounds a search is reading the corpus (few queries) or
// float32 arithmetic.
//
// A search runs over growing slabs of rows. A row that beats its query's threshold (the k-th score of the
// slabs before) is appended to the query's list inside the scoring kernel: scores are never written to
// memory. After each slab a block per query sorts the list and keeps k. The order in which threads append
// does not matter: a list's order is total. A slab that brings more than a list holds is noticed at the end,
// and the search runs again over slabs that no list can overflow.
namespace xlembed::kernels::cuda {
namespace {

using Key = unsigned long long;

constexpr int list_capacity = static_cast<int>(top_k_list);
constexpr int64_t first_slab = 4032;  // rows; a multiple of 48

void check(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(status));
}

// Ascending keys are descending scores, then ascending rows.
__device__ Key key_of(float score, int64_t row) {
  const unsigned bits = __float_as_uint(score + 0.0f);  // -0 and 0 are one score
  const unsigned ascending = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return static_cast<Key>(~ascending) << 32 | static_cast<unsigned>(row);
}
__device__ float score_of(Key key) {
  const unsigned ascending = ~static_cast<unsigned>(key >> 32);
  return __uint_as_float(ascending & 0x80000000u ? ascending & 0x7FFFFFFFu : ~ascending);
}

// A slab g - 1 times as long as all before it brings (g - 1) k rows above their threshold, in a random order:
// half of what a list has left.
int64_t slab_growth(int64_t k) { return std::clamp<int64_t>(1 + (list_capacity - k) / (2 * k), 2, 8); }

// ---- What becomes of a score. `width` neighbouring lanes hold rows of the same query and call together ----

struct Collect {
  const float* thresholds;  // (Q)
  unsigned* counts;         // (Q) may exceed the capacity: the list is then incomplete
  Key* lists;               // (Q, list_capacity)

  template <int width, int count>
  __device__ void operator()(int64_t query, const int64_t (&rows)[count], const float (&scores)[count],
                             int64_t end) const {
    const float threshold = thresholds[query];
#pragma unroll
    for (int i = 0; i < count; ++i) {
      if (rows[i] >= end || !(scores[i] > threshold)) continue;
      const unsigned at = atomicAdd(&counts[query], 1u);
      if (at < list_capacity) lists[query * list_capacity + at] = key_of(scores[i], rows[i]);
    }
  }
};

struct CountBetter {
  const int32_t* relevant;
  const int32_t* offsets;
  const float* relevant_scores;
  int32_t* ranks;

  template <int width, int count>
  __device__ void operator()(int64_t query, const int64_t (&rows)[count], const float (&scores)[count],
                             int64_t end) const {
    const unsigned together =
        width == warp_lanes ? whole_warp : 0xFFFFu << (threadIdx.x % warp_lanes / 16 * 16);
    for (int32_t i = offsets[query]; i < offsets[query + 1]; ++i) {
      const float own = relevant_scores[i];
      int better = 0;
#pragma unroll
      for (int j = 0; j < count; ++j) {
        const bool tied_before = scores[j] == own && rows[j] < relevant[i];
        better += rows[j] < end && (scores[j] > own || tied_before);
      }
#pragma unroll
      for (int distance = width / 2; distance > 0; distance /= 2) {
        better += __shfl_xor_sync(together, better, distance);
      }
      if (threadIdx.x % width == 0 && better > 0) atomicAdd(&ranks[i], better);
    }
  }
};

// ---- Few queries: the corpus is read once, 16 bytes a thread and dimension ----

constexpr int few_threads = 192;     // 16 panels of 12 threads
constexpr int few_dimensions = 128;  // of the queries, held in shared memory at a time

// panels (P, D, 48), queries (D, padded_queries); a thread has 4 rows.
template <int Q, typename Sink>
__global__ void __launch_bounds__(few_threads)
    score_few(const float* panels, int64_t panel_count, int64_t first_row, int64_t end, int64_t D,
              const float* queries, int64_t padded_queries, int64_t first_query, int64_t query_end,
              Sink sink) {
  __shared__ float shared[few_dimensions][Q];
  constexpr int quads = kPanelRows / 4;
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * few_threads + threadIdx.x;
  const int64_t panel = min(thread / quads, panel_count - 1);
  const bool inside = thread / quads < panel_count;
  const float4* x = reinterpret_cast<const float4*>(panels + panel * D * kPanelRows) + thread % quads;
  float sums[Q][4] = {};
  for (int64_t begin = 0; begin < D; begin += few_dimensions) {
    const int depth = static_cast<int>(min(D - begin, static_cast<int64_t>(few_dimensions)));
    __syncthreads();
    for (int i = threadIdx.x; i < depth * Q; i += few_threads) {
      shared[i / Q][i % Q] = queries[(begin + i / Q) * padded_queries + first_query + i % Q];
    }
    __syncthreads();
#pragma unroll 8
    for (int d = 0; d < depth; ++d) {
      const float4 v = __ldg(x + (begin + d) * quads);
#pragma unroll
      for (int q = 0; q < Q; ++q) {
        const float value = shared[d][q];
        sums[q][0] = fmaf(v.x, value, sums[q][0]);
        sums[q][1] = fmaf(v.y, value, sums[q][1]);
        sums[q][2] = fmaf(v.z, value, sums[q][2]);
        sums[q][3] = fmaf(v.w, value, sums[q][3]);
      }
    }
  }
  int64_t rows[4];
#pragma unroll
  for (int i = 0; i < 4; ++i)
    rows[i] = inside ? first_row + panel * kPanelRows + thread % quads * 4 + i : end;
#pragma unroll
  for (int q = 0; q < Q; ++q) {
    if (first_query + q < query_end)
      sink.template operator()<warp_lanes>(first_query + q, rows, sums[q], end);
  }
}

// ---- Many queries: 96 rows x 128 queries a block, 6 x 8 sums a thread, two stages of 16 dimensions ----

constexpr int many_threads = 256;
constexpr int many_rows = 2 * static_cast<int>(kPanelRows);
constexpr int many_queries = 128;
constexpr int many_dimensions = 16;

struct Stage {
  float rows[many_dimensions][many_rows];
  float queries[many_dimensions][many_queries];
};

// Sixteen bytes from global to shared memory, or zeros.
__device__ void copy_16(float* to, const float* from, bool inside) {
  __pipeline_memcpy_async(to, from, 16, inside ? 0 : 16);
}

// panels: two, or one at the end of a block of memory; dimensions beyond D become zeros.
__device__ void load_stage(Stage& stage, const float* panels, int panel_count, int64_t D,
                           const float* queries, int64_t padded_queries, int64_t begin) {
  constexpr int row_quads = many_rows / 4, query_quads = many_queries / 4, panel_quads = row_quads / 2;
  for (int i = threadIdx.x; i < many_dimensions * row_quads; i += many_threads) {
    const int d = i / row_quads, quad = i % row_quads, panel = quad / panel_quads;
    const bool inside = begin + d < D && panel < panel_count;
    const int64_t at = (panel * D + begin + d) * kPanelRows + quad % panel_quads * 4;
    copy_16(&stage.rows[d][quad * 4], panels + (inside ? at : 0), inside);
  }
  for (int i = threadIdx.x; i < many_dimensions * query_quads; i += many_threads) {
    const int d = i / query_quads, quad = i % query_quads;
    const bool inside = begin + d < D;
    copy_16(&stage.queries[d][quad * 4], queries + (inside ? (begin + d) * padded_queries + quad * 4 : 0),
            inside);
  }
}

template <typename Sink>
__global__ void __launch_bounds__(many_threads)
    score_many(const float* panels, int64_t panel_count, int64_t first_row, int64_t end, int64_t D,
               const float* queries, int64_t padded_queries, int64_t query_end, Sink sink) {
  __shared__ alignas(16) Stage stages[2];
  const int64_t query_tiles = padded_queries / many_queries;
  const int64_t first_query =
      blockIdx.x % query_tiles * many_queries;  // blocks of the same rows run together
  const int64_t first_panel = blockIdx.x / query_tiles * 2;
  const int held = static_cast<int>(min(panel_count - first_panel, static_cast<int64_t>(2)));
  const float* x = panels + first_panel * D * kPanelRows;
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  const int64_t steps = (D + many_dimensions - 1) / many_dimensions;
  float sums[8][6] = {};
  load_stage(stages[0], x, held, D, queries + first_query, padded_queries, 0);
  __pipeline_commit();
  for (int64_t step = 0; step < steps; ++step) {
    if (step + 1 < steps) {
      load_stage(stages[(step + 1) % 2], x, held, D, queries + first_query, padded_queries,
                 (step + 1) * many_dimensions);
    }
    __pipeline_commit();
    __pipeline_wait_prior(1);
    __syncthreads();
    const Stage& stage = stages[step % 2];
#pragma unroll
    for (int d = 0; d < many_dimensions; ++d) {
      float values[8], q[8];
#pragma unroll
      for (int i = 0; i < 3; ++i) {  // rows tx * 2 + 32 i and the next: no two lanes share a bank
        const float2 pair = *reinterpret_cast<const float2*>(&stage.rows[d][tx * 2 + 32 * i]);
        values[2 * i] = pair.x;
        values[2 * i + 1] = pair.y;
      }
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const float4 quad = *reinterpret_cast<const float4*>(&stage.queries[d][ty * 4 + 64 * j]);
        q[4 * j] = quad.x;
        q[4 * j + 1] = quad.y;
        q[4 * j + 2] = quad.z;
        q[4 * j + 3] = quad.w;
      }
#pragma unroll
      for (int j = 0; j < 8; ++j) {
#pragma unroll
        for (int i = 0; i < 6; ++i) sums[j][i] = fmaf(values[i], q[j], sums[j][i]);
      }
    }
    __syncthreads();  // the stage is filled again in the next step
  }
  int64_t rows[6];
#pragma unroll
  for (int i = 0; i < 6; ++i) {
    const int at = tx * 2 + 32 * (i / 2) + i % 2;
    rows[i] = at < held * kPanelRows ? first_row + first_panel * kPanelRows + at : end;
  }
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    const int64_t query = first_query + ty * 4 + 64 * (j / 4) + j % 4;
    // Both halves of a warp must call: a query that does not exist stands in as the last one, with no rows.
    int64_t own[6];
#pragma unroll
    for (int i = 0; i < 6; ++i) own[i] = query < query_end ? rows[i] : end;
    sink.template operator()<16>(min(query, query_end - 1), own, sums[j], end);
  }
}

// ---- Lists ----

// A block to a query: sorts its list and keeps the k best. `overflowed` is raised for an incomplete list.
constexpr int sort_threads = 512;

__global__ void __launch_bounds__(sort_threads)
    keep_best(int64_t k, float* thresholds, unsigned* counts, Key* lists, int* overflowed) {
  extern __shared__ Key keys[];
  const int64_t query = blockIdx.x;
  Key* list = lists + query * list_capacity;
  const unsigned count = counts[query];
  const int held = static_cast<int>(min(count, static_cast<unsigned>(list_capacity)));
  int size = 1;
  while (size < held) size *= 2;
  for (int i = threadIdx.x; i < size; i += sort_threads) keys[i] = i < held ? list[i] : ~Key{0};
  for (int width = 2; width <= size; width *= 2) {
    for (int distance = width / 2; distance > 0; distance /= 2) {
      __syncthreads();
      for (int i = threadIdx.x; i < size / 2; i += sort_threads) {
        const int low = i / distance * distance * 2 + i % distance, high = low + distance;
        const Key a = keys[low], b = keys[high];
        if ((a > b) == ((low & width) == 0)) {
          keys[low] = b;
          keys[high] = a;
        }
      }
    }
  }
  __syncthreads();
  const int kept = static_cast<int>(min(static_cast<int64_t>(held), k));
  for (int i = threadIdx.x; i < kept; i += sort_threads) list[i] = keys[i];
  if (threadIdx.x != 0) return;
  if (count > list_capacity) *overflowed = 1;
  counts[query] = kept;
  if (kept == k) thresholds[query] = score_of(keys[k - 1]);
}

__global__ void start_lists(int64_t queries, float* thresholds, unsigned* counts, int* overflowed) {
  const int64_t q = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (q == 0) *overflowed = 0;
  if (q >= queries) return;
  thresholds[q] = -INFINITY;
  counts[q] = 0;
}

__global__ void write_lists(int64_t queries, int64_t k, const unsigned* counts, const Key* lists,
                            float* scores, int32_t* rows) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= queries * k) return;
  const int64_t query = at / k, i = at % k;
  const bool found = i < counts[query];
  const Key key = found ? lists[query * list_capacity + i] : 0;
  scores[at] = found ? score_of(key) : -INFINITY;
  rows[at] = found ? static_cast<int32_t>(key & 0xFFFFFFFFu) : -1;
}

// ---- Around the kernels ----

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

__global__ void score_relevant(const float* queries, int64_t query_count, const float* block,
                               int64_t first_row, int64_t end, int64_t D, const int32_t* relevant,
                               const int32_t* offsets, float* scores, int32_t* ranks) {
  const int64_t query = static_cast<int64_t>(blockIdx.x);
  for (int32_t i = offsets[query] + threadIdx.x; i < offsets[query + 1]; i += blockDim.x) {
    if (relevant[i] < first_row || relevant[i] >= end) continue;
    const int64_t row = relevant[i] - first_row;
    const float* x = block + row / kPanelRows * D * kPanelRows + row % kPanelRows;
    float sum = 0;
    for (int64_t d = 0; d < D; ++d) sum = fmaf(x[d * kPanelRows], queries[query * D + d], sum);
    scores[i] = sum;
    ranks[i] = 1;
  }
}

constexpr int plain_threads = 256;

unsigned blocks_for(int64_t items, int64_t per_block) {
  return static_cast<unsigned>((items + per_block - 1) / per_block);
}

// Hands the scores of all queries with the rows [first, end) to the sink; `first` is a multiple of 48.
template <typename Sink>
void score_rows(const float* transposed, int64_t query_count, const Corpus& corpus, int64_t first,
                int64_t end, const Sink& sink, CudaStream stream) {
  const int64_t D = corpus.dimensions, padded = top_k_padded_queries(query_count);
  while (first < end) {
    const int64_t block_end = (first / corpus.rows_per_block + 1) * corpus.rows_per_block,
                  stop = std::min(end, block_end);
    const int64_t panels = (stop - first + kPanelRows - 1) / kPanelRows;
    const float* x = address(corpus, first);
    if (query_count > 16) {
      const int64_t blocks = (panels + 1) / 2 * (padded / many_queries);
      score_many<<<static_cast<unsigned>(blocks), many_threads, 0, stream>>>(
          x, panels, first, stop, D, transposed, padded, query_count, sink);
    } else {
      const unsigned blocks = blocks_for(panels * (kPanelRows / 4), few_threads);
      if (query_count == 1) {
        score_few<1>
            <<<blocks, few_threads, 0, stream>>>(x, panels, first, stop, D, transposed, padded, 0, 1, sink);
      } else {
        for (int64_t q = 0; q < query_count; q += 8) {
          score_few<8><<<blocks, few_threads, 0, stream>>>(x, panels, first, stop, D, transposed, padded, q,
                                                           query_count, sink);
        }
      }
    }
    check(cudaGetLastError());
    first = stop;
  }
}

// The pieces of the caller's workspace.
struct Workspace {
  Workspace(void* memory, int64_t queries, int64_t dimensions) {
    lists = static_cast<Key*>(memory);
    transposed = reinterpret_cast<float*>(lists + queries * list_capacity);
    thresholds = transposed + dimensions * top_k_padded_queries(queries);
    counts = reinterpret_cast<unsigned*>(thresholds + queries);
    overflowed = reinterpret_cast<int*>(counts + queries);
  }
  Key* lists;
  float* transposed;
  float* thresholds;
  unsigned* counts;
  int* overflowed;
};

void transpose(const float* queries, int64_t count, int64_t D, float* out, CudaStream stream) {
  const int64_t padded = top_k_padded_queries(count);
  transpose_queries<<<blocks_for(D * padded, plain_threads), plain_threads, 0, stream>>>(queries, count, D,
                                                                                         padded, out);
}

// One search over slabs that begin at first_slab rows and grow; returns whether a list overflowed.
bool search(const Workspace& work, int64_t queries, const Corpus& corpus, int64_t k, int64_t slab,
            int64_t growth, CudaStream stream) {
  constexpr int sort_bytes = list_capacity * sizeof(Key);
  check(cudaFuncSetAttribute(keep_best, cudaFuncAttributeMaxDynamicSharedMemorySize, sort_bytes));
  start_lists<<<blocks_for(queries, plain_threads), plain_threads, 0, stream>>>(queries, work.thresholds,
                                                                                work.counts, work.overflowed);
  for (int64_t first = 0; first < corpus.rows;) {
    const int64_t end = std::min(corpus.rows, first + slab);
    score_rows(work.transposed, queries, corpus, first, end,
               Collect{work.thresholds, work.counts, work.lists}, stream);
    keep_best<<<static_cast<unsigned>(queries), sort_threads, sort_bytes, stream>>>(
        k, work.thresholds, work.counts, work.lists, work.overflowed);
    first = end;
    slab = growth == 1 ? slab : end * (growth - 1);
  }
  int overflowed = 0;
  check(cudaMemcpyAsync(&overflowed, work.overflowed, sizeof overflowed, cudaMemcpyDeviceToHost, stream));
  check(cudaStreamSynchronize(stream));
  return overflowed != 0;
}

}  // namespace

void top_k(const float* queries, int64_t query_count, const Corpus& corpus, int64_t k, void* workspace,
           float* scores, int32_t* rows, CudaStream stream) {
  if (query_count == 0 || k == 0) return;
  const Workspace work(workspace, query_count, corpus.dimensions);
  transpose(queries, query_count, corpus.dimensions, work.transposed, stream);
  if (search(work, query_count, corpus, k, first_slab, slab_growth(k), stream)) {
    const int64_t safe_slab = (list_capacity - k) / kPanelRows * kPanelRows;
    search(work, query_count, corpus, k, safe_slab, 1, stream);
  }
  write_lists<<<blocks_for(query_count * k, plain_threads), plain_threads, 0, stream>>>(
      query_count, k, work.counts, work.lists, scores, rows);
  check(cudaGetLastError());
}

void ranks(const float* queries, int64_t query_count, const Corpus& corpus, const int32_t* relevant,
           const int32_t* offsets, void* workspace, float* relevant_scores, int32_t* ranks,
           CudaStream stream) {
  if (query_count == 0) return;
  const Workspace work(workspace, query_count, corpus.dimensions);
  transpose(queries, query_count, corpus.dimensions, work.transposed, stream);
  for (int64_t first = 0; first < corpus.rows; first += corpus.rows_per_block) {
    const int64_t end = std::min(corpus.rows, first + corpus.rows_per_block);
    score_relevant<<<static_cast<unsigned>(query_count), warp_lanes, 0, stream>>>(
        queries, query_count, address(corpus, first), first, end, corpus.dimensions, relevant, offsets,
        relevant_scores, ranks);
  }
  score_rows(work.transposed, query_count, corpus, 0, corpus.rows,
             CountBetter{relevant, offsets, relevant_scores, ranks}, stream);
}

void write_vectors(const float* vectors, int64_t first, int64_t count, const Corpus& corpus,
                   CudaStream stream) {
  while (count > 0) {
    const int64_t begin = first % corpus.rows_per_block,
                  rows = std::min(count, corpus.rows_per_block - begin);
    float* block = const_cast<float*>(corpus.blocks[first / corpus.rows_per_block]);
    write_panel_rows<<<blocks_for(rows * corpus.dimensions, plain_threads), plain_threads, 0, stream>>>(
        vectors, begin, rows, corpus.dimensions, block);
    check(cudaGetLastError());
    vectors += rows * corpus.dimensions;
    first += rows;
    count -= rows;
  }
}

}  // namespace xlembed::kernels::cuda
