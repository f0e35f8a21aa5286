// 64 rows of one head in shared memory, and what a warp multiplies its 16 rows by them: products in bfloat16,
// sums in float32. Where a lane's numbers lie: kernels/tensor_core.cuh.
#pragma once

#include <cuda_pipeline.h>

#include "kernels/bfloat16.h"
#include "kernels/reduce.cuh"
#include "kernels/tensor_core.cuh"

namespace xlembed::kernels::cuda {
namespace {

constexpr int tile_rows = 64;
constexpr int tile_threads = 128;  // four warps of 16 rows
constexpr int chunk = 8;           // bfloat16 in 16 bytes

// 16-byte pieces of a row change places so that eight rows of one column lie in eight groups of banks.
template <int W>
struct alignas(16) Tile {
  static constexpr int pieces = W / chunk, rows_of_banks = 8 / pieces;
  bfloat16 values[tile_rows][W];

  __device__ bfloat16* piece(int row, int column) {
    // A signed remainder takes four instructions where this takes one.
    const unsigned other = static_cast<unsigned>(row) / rows_of_banks % pieces;
    return &values[row][(static_cast<unsigned>(column) ^ other) * chunk];
  }
};

// Rows beyond `count` and dimensions beyond the width become zeros.
template <int W>
__device__ void load_tile(Tile<W>& tile, const bfloat16* from, int64_t stride, int count, int width) {
  constexpr int rows_at_once = tile_threads / Tile<W>::pieces;
  const int first = static_cast<int>(threadIdx.x) / Tile<W>::pieces,
            column = static_cast<int>(threadIdx.x) % Tile<W>::pieces;
  const bfloat16* own = from + first * stride + column * chunk;
#pragma unroll
  for (int row = first; row < first + tile_rows; row += rows_at_once, own += rows_at_once * stride) {
    const bool inside = row < count && column * chunk < width;
    __pipeline_memcpy_async(tile.piece(row, column), inside ? own : from, 16, inside ? 0 : 16);
  }
}

// What a lane holds of 16 rows and `columns` of them, as the left operand of products.
template <int columns>
using Operand = uint32_t[columns / 16][4];
// .. and as sums: [column / 8][i] is row lane / 4 + i / 2 * 8, column lane % 4 * 2 + i % 2 of eight
template <int columns>
using Sums = float[columns / 8][4];

__device__ inline int lane() { return static_cast<int>(threadIdx.x) % warp_lanes; }

// A warp's 16 rows, from this one on.
template <int W>
__device__ void load_rows(Operand<W>& x, Tile<W>& tile, int row) {
  const int matrix = lane() / 8, line = lane() % 8;
#pragma unroll
  for (int k = 0; k < W / 16; ++k)
    load_matrices(x[k], tile.piece(row + line + matrix % 2 * 8, 2 * k + matrix / 2));
}

// sums (16, columns) += x (16, W) times as many rows of the tile, transposed, from `row` on; of those only
// the ones below `count` are wanted
template <int columns, int W>
__device__ void multiply_by_rows(const Operand<W>& x, Tile<W>& tile, int row, int count,
                                 Sums<columns>& sums) {
  const int matrix = lane() / 8, line = lane() % 8;
#pragma unroll
  for (int i = 0; i < columns / 16; ++i) {
    if (row + 16 * i >= count) continue;
#pragma unroll
    for (int k = 0; k < W / 16; ++k) {
      uint32_t y[4];
      load_matrices(y, tile.piece(row + 16 * i + line + matrix / 2 * 8, 2 * k + matrix % 2));
      multiply_add(sums[2 * i], x[k], y[0], y[1]);
      multiply_add(sums[2 * i + 1], x[k], y[2], y[3]);
    }
  }
}

// sums (16, W) += x (16, columns) times as many rows of the tile, from `row` on; those from `count` on meet
// zeros
template <int columns, int W>
__device__ void multiply_by_columns(const Operand<columns>& x, Tile<W>& tile, int row, int count,
                                    Sums<W>& sums) {
  const int matrix = lane() / 8, line = lane() % 8;
#pragma unroll
  for (int i = 0; i < columns / 16; ++i) {
    if (row + 16 * i >= count) continue;
#pragma unroll
    for (int n = 0; n < W / 16; ++n) {
      uint32_t y[4];
      load_matrices_transposed(y, tile.piece(row + 16 * i + line + matrix % 2 * 8, 2 * n + matrix / 2));
      multiply_add(sums[2 * n], x[i], y[0], y[1]);
      multiply_add(sums[2 * n + 1], x[i], y[2], y[3]);
    }
  }
}

// Sums become a left operand, rounded.
template <int columns>
__device__ void round_to_operand(const Sums<columns>& sums, Operand<columns>& x) {
#pragma unroll
  for (int i = 0; i < columns / 16; ++i) {
#pragma unroll
    for (int part = 0; part < 4; ++part) {
      const float (&from)[4] = sums[2 * i + part / 2];
      x[i][part] = pack_bfloat16(from[part % 2 * 2], from[part % 2 * 2 + 1]);
    }
  }
}

// Calls body(j, i, half, column) for every number of sums (16, columns) that a lane holds, sums[j][i]: `half`
// says which of its two rows it is in.
template <int columns, typename Body>
__device__ void each_sum(const Body& body) {
#pragma unroll
  for (int j = 0; j < columns / 8; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) body(j, i, i / 2, 8 * j + lane() % 4 * 2 + i % 2);
  }
}

// Over the four lanes that share a row.
__device__ inline float row_sum(float value) {
  value += __shfl_xor_sync(whole_warp, value, 1);
  return value + __shfl_xor_sync(whole_warp, value, 2);
}
__device__ inline float row_max(float value) {
  value = fmaxf(value, __shfl_xor_sync(whole_warp, value, 1));
  return fmaxf(value, __shfl_xor_sync(whole_warp, value, 2));
}

// Rows of sums (16, W), each times its factor, to memory: the first `count` of them, `width` columns.
template <int W>
__device__ void write_rows(const Sums<W>& sums, const float (&factors)[2], int count, int width, bfloat16* to,
                           int64_t stride) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = lane() / 4 + half * 8;
    if (row >= count) continue;
#pragma unroll
    for (int n = 0; n < W / 8; ++n) {
      if (8 * n >= width) continue;
      const float* pair = &sums[n][half * 2];
      const uint32_t rounded = pack_bfloat16(pair[0] * factors[half], pair[1] * factors[half]);
      *reinterpret_cast<uint32_t*>(to + row * stride + 8 * n + lane() % 4 * 2) = rounded;
    }
  }
}

}  // namespace
}  // namespace xlembed::kernels::cuda
