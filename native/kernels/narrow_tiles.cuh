// The scores of many rows with many queries: products in bfloat16 on the tensor cores, a warp at a time.
#pragma once

#include <cuda_pipeline.h>

#include "kernels/narrow_scan.cuh"
#include "kernels/tensor_core.cuh"

namespace xlembed::kernels::cuda {
namespace {

// 128 rows x 128 queries a block, 64 x 64 a warp, three stages of 64 dimensions. Where a multiprocessor has
// the shared memory for two blocks (Hopper), one selects while the other multiplies.
constexpr int tile = 128;
constexpr int tile_threads = 128;
constexpr int depth = 64;
constexpr int stages = 3;
constexpr int chunk = 8;  // bfloat16 in 16 bytes

// 16-byte pieces of a row change places so that eight rows of one column lie in eight groups of banks.
struct Operand {
  bfloat16 values[tile][depth];

  __device__ bfloat16* piece(int row, int column) { return &values[row][(column ^ (row & 7)) * chunk]; }
};
struct alignas(16) NarrowStage {
  Operand rows, queries;
};

// Rows beyond `count` and dimensions beyond the width become zeros.
__device__ void load_operand(Operand& operand, const bfloat16* from, int count, int64_t width,
                             int64_t begin) {
#pragma unroll
  for (int i = 0; i < tile * depth / chunk / tile_threads; ++i) {
    const int place = i * tile_threads + static_cast<int>(threadIdx.x);
    const int row = place / (depth / chunk), column = place % (depth / chunk);
    const int64_t d = begin + column * chunk;
    const bool inside = row < count && d < width;
    __pipeline_memcpy_async(operand.piece(row, column), from + (inside ? row * width + d : 0), 16,
                            inside ? 0 : 16);
  }
}

// sums (64 rows, 64 queries) of a warp += its part of one stage
__device__ void multiply_stage(NarrowStage& stage, int row, int query, float (&sums)[4][8][4]) {
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes, matrix = lane / 8, line = lane % 8;
#pragma unroll
  for (int k = 0; k < depth / 16; ++k) {
    uint32_t x[4][4], q[4][4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      load_matrices(x[i], stage.rows.piece(row + 16 * i + line + matrix % 2 * 8, 2 * k + matrix / 2));
      load_matrices(q[i], stage.queries.piece(query + 16 * i + line + matrix / 2 * 8, 2 * k + matrix % 2));
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < 8; ++j)
        multiply_add(sums[i][j], x[i], q[j / 2][j % 2 * 2], q[j / 2][j % 2 * 2 + 1]);
    }
  }
}

__global__ void __launch_bounds__(tile_threads, 2)
    score_tiles(NarrowRows rows, const bfloat16* queries, int64_t first_tile, int64_t query_tiles,
                Collect sink) {
  NarrowStage* stage = dynamic_shared<NarrowStage>();
  // Blocks of the same rows run together.
  const int64_t first_query = (first_tile + blockIdx.x % query_tiles) * tile;
  const int64_t first_row = rows.first + blockIdx.x / query_tiles * tile;
  const int held = static_cast<int>(min(rows.end - first_row, static_cast<int64_t>(tile)));
  const bfloat16* x = rows.at(first_row);
  const bfloat16* q = queries + first_query * rows.width;
  const int steps = static_cast<int>((rows.width + depth - 1) / depth);
  const auto load = [&](int step) {
    if (step < steps) {
      load_operand(stage[step % stages].rows, x, held, rows.width, static_cast<int64_t>(step) * depth);
      load_operand(stage[step % stages].queries, q, tile, rows.width, static_cast<int64_t>(step) * depth);
    }
    __pipeline_commit();
  };
  const int warp = static_cast<int>(threadIdx.x) / warp_lanes,
            lane = static_cast<int>(threadIdx.x) % warp_lanes;
  const int warp_row = warp % 2 * 64, warp_query = warp / 2 * 64;
  float sums[4][8][4] = {};
  load(0);
  load(1);
  for (int step = 0; step < steps; ++step) {
    __pipeline_wait_prior(1);
    __syncthreads();  // the stage is here, and nobody reads the one that is filled next
    load(step + 2);
    multiply_stage(stage[step % stages], warp_row, warp_query, sums);
  }
  __pipeline_wait_prior(0);
#pragma unroll
  for (int j = 0; j < 8; ++j) {
#pragma unroll
    for (int odd = 0; odd < 2; ++odd) {
      const int64_t query = first_query + warp_query + 8 * j + lane % 4 * 2 + odd;
      const float threshold = sink.thresholds[query];
      const auto score = [&](int i) { return sums[i / 2][j][i % 2 * 2 + odd]; };
      const auto row = [&](int i) { return warp_row + 8 * i + lane / 4; };
      unsigned places[8];  // all asked for before the first is needed
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const bool near = score(i) >= threshold && row(i) < held;
        places[i] = near ? sink.place(query) : list_capacity;
      }
#pragma unroll
      for (int i = 0; i < 8; ++i) sink.put(query, places[i], first_row + row(i), score(i));
    }
  }
}

// Queries of the tiles [first_tile, first_tile + query_tiles) against all rows.
inline void score_by_warps(const NarrowRows& rows, const bfloat16* queries, int64_t first_tile,
                           int64_t query_tiles, const Collect& sink, CudaStream stream) {
  constexpr size_t bytes = stages * sizeof(NarrowStage);
  allow_shared_bytes(score_tiles, bytes);
  const unsigned blocks = blocks_for((rows.end - rows.first + tile - 1) / tile * query_tiles, 1);
  launch(score_tiles, blocks, tile_threads, bytes, stream, rows, queries, first_tile, query_tiles, sink);
}

}  // namespace
}  // namespace xlembed::kernels::cuda
