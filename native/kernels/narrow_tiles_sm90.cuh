// As narrow_tiles.cuh, by the instructions that multiply by four warps together, which devices of compute
// capability 9.0 alone have. XLEMBED_SM_90A says that there is code for them.
#pragma once

#include "kernels/narrow_tiles.cuh"
#include "kernels/narrow_vectors.h"

#ifdef XLEMBED_SM_90A
#include "kernels/bulk_copy.cuh"
#include "kernels/warpgroup.cuh"
#endif

namespace xlembed::kernels::cuda {
namespace {

// Bytes of queries that were tiled for the warpgroups.
constexpr int64_t tiled_query_bytes(int64_t queries, int64_t width) {
  return queries * ((width + depth - 1) / depth * depth) * static_cast<int64_t>(sizeof(bfloat16));
}

#ifdef XLEMBED_SM_90A

// 192 rows x 256 queries at a time, 64 rows to each group of four warps, four stages of 64 dimensions. One
// block stays on each multiprocessor and goes from tile to tile: what the next one needs is copied while this
// one's scores are taken. No larger tile has room in registers.
constexpr int group_threads = 128;
constexpr int groups = 3;
constexpr int wide_threads = groups * group_threads;
constexpr int wide_rows = groups * 64;
constexpr int wide_queries = 256;
constexpr int wide_stages = 4;
static_assert(narrow_tile_rows % wide_rows == 0);
constexpr int pieces_of_row = depth / chunk;
constexpr int rows_at_once = wide_threads / pieces_of_row;  // that the threads copy together
static_assert(wide_rows % rows_at_once == 0);

// 64 dimensions of a tile's queries as the products read them; in memory, a tile's lie one after the other.
using QueryStage = bfloat16[wide_queries][depth];
struct WideStage {
  bfloat16 rows[wide_rows][depth];
  QueryStage queries;
};
static_assert(sizeof(WideStage) % 1024 == 0);

// Where a 16-byte piece of a row is among those of the row: matrix_descriptor().
__device__ int place_of_piece(int row, int piece) { return (piece ^ row % 8) * chunk; }

// Queries (whole tiles of them, width), a thread to each piece of a tile's stage.
__global__ void __launch_bounds__(plain_threads)
    tile_queries(const bfloat16* queries, int64_t width, int steps, QueryStage* tiled) {
  const int at = static_cast<int>(blockIdx.x) * plain_threads + static_cast<int>(threadIdx.x);
  const int piece = at % pieces_of_row, query = at / pieces_of_row % wide_queries;
  const int64_t stage = at / (pieces_of_row * wide_queries), d = stage % steps * depth + piece * chunk;
  Vector<bfloat16, chunk> values = {};
  if (d < width)
    values = load_vector<bfloat16, chunk>(queries + (stage / steps * wide_queries + query) * width + d);
  store_vector(&tiled[stage][query][place_of_piece(query, piece)], values);
}

// Brings the stages of a block's tiles to shared memory, one after the other: each thread one piece of every
// 48th row, one thread the queries.
class StageCopies {
 public:
  __device__ StageCopies(const NarrowRows& rows, const QueryStage* queries, int query_tiles, int tiles,
                         WideStage* stages, Arrivals* arrivals)
      : rows_(rows),
        queries_(queries),
        query_tiles_(query_tiles),
        tiles_(tiles),
        steps_(static_cast<int>((rows.width + depth - 1) / depth)),
        stages_(stages),
        arrivals_(arrivals),
        row_(static_cast<int>(threadIdx.x) / pieces_of_row),
        column_(static_cast<int>(threadIdx.x) % pieces_of_row * chunk),
        place_(place_of_piece(row_, static_cast<int>(threadIdx.x) % pieces_of_row)),
        tile_(static_cast<int>(blockIdx.x)) {
    begin_tile();
  }

  // Begins to copy the next stage, if there is one: it is the block's number `count`.
  __device__ void next(unsigned count) {
    if (tile_ < tiles_) {
      WideStage& stage = stages_[count % wide_stages];
      if (threadIdx.x == 0) {
        copy_whole(stage.queries, queries_[query_stage_ + step_], sizeof(QueryStage),
                   &arrivals_[count % wide_stages]);
      }
      const bool inside = step_ * depth + column_ < rows_.width;
#pragma unroll
      for (int r = 0; r < wide_rows; r += rows_at_once) {
        copy(&stage.rows[row_ + r][place_], x_ + r * rows_.width, inside && row_ + r < held_);
      }
      x_ += depth;
      if (++step_ == steps_) {
        tile_ += static_cast<int>(gridDim.x);
        begin_tile();
      }
    }
    __pipeline_commit();
  }

 private:
  __device__ void begin_tile() {
    step_ = 0;
    if (tile_ >= tiles_) return;
    const int64_t first = rows_.first + static_cast<int64_t>(tile_ / query_tiles_) * wide_rows;
    held_ = static_cast<int>(min(rows_.end - first, static_cast<int64_t>(wide_rows)));
    x_ = rows_.at(first) + row_ * rows_.width + column_;
    query_stage_ = tile_ % query_tiles_ * steps_;
  }

  // Sixteen bytes, or zeros.
  __device__ void copy(bfloat16* to, const bfloat16* from, bool inside) const {
    __pipeline_memcpy_async(to, inside ? from : &queries_[0][0][0], 16, inside ? 0 : 16);
  }

  const NarrowRows& rows_;
  const QueryStage* queries_;
  int query_tiles_, tiles_, steps_;
  WideStage* stages_;
  Arrivals* arrivals_;
  int row_, column_, place_;
  int tile_, held_ = 0, step_ = 0, query_stage_ = 0;
  const bfloat16* x_ = nullptr;
};

__global__ void __launch_bounds__(wide_threads, 1)
    score_wide_tiles(NarrowRows rows, const QueryStage* queries, int query_tiles, int tiles, Collect sink) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  __shared__ Arrivals arrivals[wide_stages];
  const auto start = reinterpret_cast<uintptr_t>(dynamic_shared<char>());
  auto* const stages = reinterpret_cast<WideStage*>((start + 1023) / 1024 * 1024);
  const int group = static_cast<int>(threadIdx.x) / group_threads;
  const int warp = static_cast<int>(threadIdx.x) / warp_lanes,
            lane = static_cast<int>(threadIdx.x) % warp_lanes;
  const int steps = static_cast<int>((rows.width + depth - 1) / depth);
  const auto end = static_cast<int>(rows.end);
  if (threadIdx.x == 0) {
    for (Arrivals& of_stage : arrivals) begin_arrivals(&of_stage);
  }
  __syncthreads();
  StageCopies copies(rows, queries, query_tiles, tiles, stages, arrivals);
  copies.next(0);
  copies.next(1);
  unsigned count = 0;  // of stages that were multiplied
  // CUDA 12's assembler gives sums without a value one while products are under way, and makes each wait.
  float sums[wide_queries / 2] = {};
  for (int which = static_cast<int>(blockIdx.x); which < tiles; which += static_cast<int>(gridDim.x)) {
    for (int step = 0; step < steps; ++step) {
      __pipeline_wait_prior(1);
      show_to_products();
      __syncthreads();  // the rows are here, and nobody reads the stage before the last any more
      const unsigned at = count % wide_stages;
      wait_for_arrivals(&arrivals[at], count / wide_stages % 2);
      begin_products();
      const uint64_t a = matrix_descriptor(stages[at].rows[group * 64]);
      const uint64_t b = matrix_descriptor(stages[at].queries);
#pragma unroll
      for (int k = 0; k < depth / 16; ++k) multiply_64_256(sums, a + 2 * k, b + 2 * k, step > 0 || k > 0);
      commit_products();
      copies.next(count + 2);  // to where everybody has done with the products of two steps ago
      wait_for_products<1>(sums);
      ++count;
    }
    wait_for_products<0>(sums);
    // Of the tile's rows and queries, what this thread has the sums of.
    const int row = static_cast<int>(rows.first) + which / query_tiles * wide_rows + warp * 16 + lane / 4;
    const int query = which % query_tiles * wide_queries + lane % 4 * 2;
    // Seldom does a score reach its threshold: sixteen are looked at before one is looked at alone.
#pragma unroll
    for (int first = 0; first < wide_queries / 8; first += 4) {
      float2 thresholds[4];
      bool any = false;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        thresholds[j] = *reinterpret_cast<const float2*>(sink.thresholds + query + 8 * (first + j));
        const float* own = &sums[4 * (first + j)];  // rows `row` and the eighth behind it, of two queries
        any |= fmaxf(own[0], own[2]) >= thresholds[j].x || fmaxf(own[1], own[3]) >= thresholds[j].y;
      }
      if (!any) continue;
      // Eight places are asked for before the first is needed.
#pragma unroll
      for (int j = first; j < first + 4; j += 2) {
        unsigned places[8];
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          const float2 both = thresholds[j - first + i / 4];
          const bool near = sums[4 * j + i] >= (i % 2 ? both.y : both.x) && row + i / 2 % 2 * 8 < end;
          places[i] = near ? sink.place(query + 8 * (j + i / 4) + i % 2) : list_capacity;
        }
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          sink.put(query + 8 * (j + i / 4) + i % 2, places[i], row + i / 2 % 2 * 8, sums[4 * j + i]);
        }
      }
    }
  }
  __pipeline_wait_prior(0);
#endif
}

// How many of the padded queries score_by_warpgroups() takes on this device: the first ones.
int64_t queries_by_warpgroups(int64_t padded) {
  return has_warpgroups(score_wide_tiles) ? padded / wide_queries * wide_queries : 0;
}

// Queries (query_count, width) as score_by_warpgroups() wants them: tiled_query_bytes() from `tiled` on.
void tile_for_warpgroups(const bfloat16* queries, int64_t query_count, int64_t width, void* tiled,
                         CudaStream stream) {
  const int64_t steps = (width + depth - 1) / depth;
  launch(tile_queries, blocks_for(query_count * steps * pieces_of_row, plain_threads), plain_threads, 0,
         stream, queries, width, static_cast<int>(steps), static_cast<QueryStage*>(tiled));
}

void score_by_warpgroups(const NarrowRows& rows, const void* tiled, int64_t query_count, const Collect& sink,
                         CudaStream stream) {
  constexpr size_t bytes = wide_stages * sizeof(WideStage) + 1024;
  allow_shared_bytes(score_wide_tiles, bytes);
  const auto query_tiles = static_cast<int>(query_count / wide_queries);
  const auto tiles = static_cast<int>((rows.end - rows.first + wide_rows - 1) / wide_rows) * query_tiles;
  const auto blocks = static_cast<unsigned>(std::min(tiles, multiprocessors()));
  launch(score_wide_tiles, blocks, wide_threads, bytes, stream, rows, static_cast<const QueryStage*>(tiled),
         query_tiles, tiles, sink);
}

#else

int64_t queries_by_warpgroups(int64_t) { return 0; }
void tile_for_warpgroups(const bfloat16*, int64_t, int64_t, void*, CudaStream) {}
void score_by_warpgroups(const NarrowRows&, const void*, int64_t, const Collect&, CudaStream) {}

#endif

}  // namespace
}  // namespace xlembed::kernels::cuda
