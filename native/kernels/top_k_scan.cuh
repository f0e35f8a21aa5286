// The float32 scores of many rows with some queries, handed to a sink: a list of the best, or counts for
// ranks.
//
// The scores are those of the CPU to the last bit: chains of fused multiply-adds, dimensions ascending. So
// tensor cores have no part here; what bounds a search is reading the corpus (few queries) or float32
// arithmetic.
#pragma once

#include <cuda_pipeline.h>

#include "kernels/launch.cuh"
#include "kernels/reduce.cuh"
#include "kernels/top_k.h"

namespace xlembed::kernels::cuda {
namespace {

// ---- Rows longer than a chain: the sums of the chains that ended, (A * B, threads) in shared memory ----

int ended_bytes(int threads, int sums, int64_t D) {
  return D > kChain ? threads * sums * static_cast<int>(sizeof(float)) : 0;
}

template <int Threads, int A, int B>
__device__ void end_chains(float (&sums)[A][B], float* ended, bool first) {
#pragma unroll
  for (int i = 0; i < A * B; ++i) {
    float& sum = sums[i / B][i % B];
    ended[i * Threads] = first ? sum : ended[i * Threads] + sum;
    sum = 0;
  }
}

template <int Threads, int A, int B>
__device__ void add_ended_chains(float (&sums)[A][B], const float* ended) {
#pragma unroll
  for (int i = 0; i < A * B; ++i) sums[i / B][i % B] = ended[i * Threads] + sums[i / B][i % B];
}

// ---- Few queries: the corpus is read once, 16 bytes a thread and dimension ----

constexpr int few_threads = 192;     // 16 panels of 12 threads
constexpr int few_dimensions = 128;  // of the queries, held in shared memory at a time
constexpr int group_dimensions = 4;  // that a thread copies together

// Groups on their way from memory, or here: each thread copies to places of its own, which nobody else reads.
template <int Q>
inline constexpr int few_groups = Q == 1 ? 8 : 4;

template <int Q>
int few_bytes(int64_t D) {
  constexpr int copies = few_threads * few_groups<Q> * group_dimensions * static_cast<int>(sizeof(float4));
  return copies + ended_bytes(few_threads, 4 * Q, D);
}

// Whether the device has these, and the queries beside them.
template <int Q>
bool has_few_bytes(int64_t D) {
  return has_shared_bytes(few_bytes<Q>(D) + few_dimensions * Q * sizeof(float));
}

// panels (P, D, 48), queries (D, padded_queries); a thread has 4 rows.
template <int Q, typename Sink>
__global__ void __launch_bounds__(few_threads, 2)
    score_few(const float* panels, int64_t panel_count, int64_t first_row, int64_t end, int64_t D,
              const float* queries, int64_t padded_queries, int64_t first_query, int64_t query_end,
              Sink sink) {
  __shared__ float shared[few_dimensions][Q];
  constexpr int quads = kPanelRows / 4, groups = few_groups<Q>;
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * few_threads + threadIdx.x;
  const int64_t panel = min(thread / quads, panel_count - 1);
  const bool inside = thread / quads < panel_count;
  const float4* x = reinterpret_cast<const float4*>(panels + panel * D * kPanelRows) + thread % quads;
  float4* const own = dynamic_shared<float4>() + threadIdx.x;
  float* const ended = dynamic_shared<float>() + few_threads * groups * group_dimensions * 4 + threadIdx.x;
  static_assert(kChain % few_dimensions == 0 && few_dimensions % (groups * group_dimensions) == 0);
  const auto copy = [&](int64_t first) {
#pragma unroll
    for (int k = 0; k < group_dimensions; ++k) {
      if (first + k >= D) break;
      const int place = static_cast<int>((first + k) % (groups * group_dimensions));
      __pipeline_memcpy_async(own + place * few_threads, x + (first + k) * quads, sizeof(float4));
    }
    __pipeline_commit();
  };
  for (int group = 0; group < groups - 1; ++group) copy(group * group_dimensions);
  float sums[Q][4] = {};
  for (int64_t begin = 0; begin < D; begin += few_dimensions) {
    const int depth = static_cast<int>(min(D - begin, static_cast<int64_t>(few_dimensions)));
    __syncthreads();
    for (int i = threadIdx.x; i < depth * Q; i += few_threads) {
      shared[i / Q][i % Q] = queries[(begin + i / Q) * padded_queries + first_query + i % Q];
    }
    __syncthreads();
    for (int first = 0; first < depth; first += group_dimensions) {
      __pipeline_wait_prior(groups - 2);
      copy(begin + first + (groups - 1) * group_dimensions);
#pragma unroll
      for (int k = 0; k < group_dimensions; ++k) {
        const int d = first + k;
        if (d >= depth) break;
        const float4 v = own[d % (groups * group_dimensions) * few_threads];
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
    const int64_t end = begin + few_dimensions;
    if (end % kChain == 0 && end < D) end_chains<few_threads>(sums, ended, end == kChain);
  }
  __pipeline_wait_prior(0);
  if (D > kChain) add_ended_chains<few_threads>(sums, ended);
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

// ---- Many queries: 6 x 8 sums a thread, two stages of 16 dimensions ----

constexpr int many_threads = 256;
constexpr int many_dimensions = 16;

// 96 rows x 128 queries a block, or 384 x 32. Thread (tx, ty) has the rows 2 tx + 2 columns i and the next of
// each, i < 3, and the queries 4 ty + queries / 2 j and the next three, j < 2.
template <int queries_>
struct Many {
  static constexpr int queries = queries_, columns = many_threads / (queries / 8), rows = 6 * columns;
  static constexpr int panels = rows / static_cast<int>(kPanelRows);

  struct alignas(16) Stage {
    float rows[many_dimensions][Many::rows];
    float queries[many_dimensions][Many::queries];
  };

  static int bytes(int64_t D) { return 2 * sizeof(Stage) + ended_bytes(many_threads, 48, D); }
};

// Sixteen bytes from global to shared memory, or zeros.
__device__ void copy_16(float* to, const float* from, bool inside) {
  __pipeline_memcpy_async(to, from, 16, inside ? 0 : 16);
}

// Panels that there are not, at the end of a block of memory, and dimensions beyond D become zeros.
template <typename Tile>
__device__ void load_stage(typename Tile::Stage& stage, const float* panels, int panel_count, int64_t D,
                           const float* queries, int64_t padded_queries, int64_t begin) {
  constexpr int row_quads = Tile::rows / 4, query_quads = Tile::queries / 4,
                panel_quads = static_cast<int>(kPanelRows) / 4;
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

template <typename Tile, typename Sink>
__global__ void __launch_bounds__(many_threads, 2)
    score_many(const float* panels, int64_t panel_count, int64_t first_row, int64_t end, int64_t D,
               const float* queries, int64_t padded_queries, int64_t query_end, Sink sink) {
  auto* const stages = dynamic_shared<typename Tile::Stage>();
  // Blocks of the same rows run together.
  const int64_t query_tiles = (query_end + Tile::queries - 1) / Tile::queries;
  const int64_t first_query = blockIdx.x % query_tiles * Tile::queries;
  const int64_t first_panel = blockIdx.x / query_tiles * Tile::panels;
  const int held = static_cast<int>(min(panel_count - first_panel, static_cast<int64_t>(Tile::panels)));
  const float* x = panels + first_panel * D * kPanelRows;
  const int tx = threadIdx.x % Tile::columns, ty = threadIdx.x / Tile::columns;
  const int64_t steps = (D + many_dimensions - 1) / many_dimensions;
  constexpr int64_t chain_steps = kChain / many_dimensions;
  static_assert(kChain % many_dimensions == 0);
  float* const ended = reinterpret_cast<float*>(stages + 2) + threadIdx.x;
  float sums[8][6] = {};
  load_stage<Tile>(stages[0], x, held, D, queries + first_query, padded_queries, 0);
  __pipeline_commit();
  for (int64_t step = 0; step < steps; ++step) {
    if (step + 1 < steps) {
      load_stage<Tile>(stages[(step + 1) % 2], x, held, D, queries + first_query, padded_queries,
                       (step + 1) * many_dimensions);
    }
    __pipeline_commit();
    __pipeline_wait_prior(1);
    __syncthreads();
    const typename Tile::Stage& stage = stages[step % 2];
#pragma unroll
    for (int d = 0; d < many_dimensions; ++d) {
      float values[6], q[8];
#pragma unroll
      for (int i = 0; i < 3; ++i) {  // no two lanes share a bank
        const float2 pair = *reinterpret_cast<const float2*>(&stage.rows[d][2 * tx + 2 * Tile::columns * i]);
        values[2 * i] = pair.x;
        values[2 * i + 1] = pair.y;
      }
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const float4 quad =
            *reinterpret_cast<const float4*>(&stage.queries[d][4 * ty + Tile::queries / 2 * j]);
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
    if ((step + 1) % chain_steps == 0 && step + 1 < steps) {
      end_chains<many_threads>(sums, ended, step < chain_steps);
    }
  }
  if (D > kChain) add_ended_chains<many_threads>(sums, ended);
  int64_t rows[6];
#pragma unroll
  for (int i = 0; i < 6; ++i) {
    const int at = 2 * tx + 2 * Tile::columns * (i / 2) + i % 2;
    rows[i] = at < held * kPanelRows ? first_row + first_panel * kPanelRows + at : end;
  }
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    const int64_t query = first_query + 4 * ty + Tile::queries / 2 * (j / 4) + j % 4;
    // All lanes must call: a query that does not exist stands in as the last one, with no rows.
    int64_t own[6];
#pragma unroll
    for (int i = 0; i < 6; ++i) own[i] = query < query_end ? rows[i] : end;
    constexpr int together = Tile::columns < warp_lanes ? Tile::columns : warp_lanes;
    sink.template operator()<together>(min(query, query_end - 1), own, sums[j], end);
  }
}

// ---- Which of them ----

// More queries than most_few share one reading of the corpus, as tiles; more than most_some fill wide ones.
constexpr int64_t most_few = 16, most_some = 96;

template <typename Tile, typename Sink>
void launch_many(const float* panels, int64_t panel_count, int64_t first, int64_t end, int64_t D,
                 const float* transposed, int64_t query_count, const Sink& sink, CudaStream stream) {
  const int64_t query_tiles = (query_count + Tile::queries - 1) / Tile::queries;
  const unsigned blocks = blocks_for((panel_count + Tile::panels - 1) / Tile::panels * query_tiles, 1);
  allow_shared_bytes(score_many<Tile, Sink>, Tile::bytes(D));
  launch(score_many<Tile, Sink>, blocks, many_threads, Tile::bytes(D), stream, panels, panel_count, first,
         end, D, transposed, top_k_padded_queries(query_count), query_count, sink);
}

// Q queries at a time.
template <int Q, typename Sink>
void launch_few(const float* panels, int64_t panel_count, int64_t first, int64_t end, int64_t D,
                const float* transposed, int64_t query_count, const Sink& sink, CudaStream stream) {
  const unsigned blocks = blocks_for(panel_count * (kPanelRows / 4), few_threads);
  const int64_t padded = top_k_padded_queries(query_count);
  allow_shared_bytes(score_few<Q, Sink>, few_bytes<Q>(D));
  for (int64_t q = 0; q < query_count; q += Q) {
    launch(score_few<Q, Sink>, blocks, few_threads, few_bytes<Q>(D), stream, panels, panel_count, first, end,
           D, transposed, padded, q, query_count, sink);
  }
}

// What suits the number of queries; where the device lacks the memory for that, another.
template <typename Sink>
auto way_to_score(int64_t query_count, int64_t D) {
  const auto many = launch_many<Many<128>, Sink>, some = launch_many<Many<32>, Sink>;
  const auto sixteen = launch_few<16, Sink>, eight = launch_few<8, Sink>, one = launch_few<1, Sink>;
  if (query_count > most_some) return many;
  if (query_count > most_few) return has_shared_bytes(Many<32>::bytes(D)) ? some : many;
  if (query_count > 8 && has_few_bytes<16>(D)) return sixteen;
  return query_count > 1 || !has_few_bytes<1>(D) ? eight : one;
}

// Hands the scores of all queries with the rows [first, end) to the sink; `first` is a multiple of 48.
template <typename Sink>
void score_rows(const float* transposed, int64_t query_count, const PanelSource& source, int64_t D,
                int64_t first, int64_t end, const Sink& sink, CudaStream stream) {
  const auto launch = way_to_score<Sink>(query_count, D);
  while (first < end) {
    int64_t stop = end;
    const float* x = source(first, &stop);
    const int64_t panels = (stop - first + kPanelRows - 1) / kPanelRows;
    launch(x, panels, first, stop, D, transposed, query_count, sink, stream);
    first = stop;
  }
}

}  // namespace
}  // namespace xlembed::kernels::cuda
