// Vectors in narrow numbers (bfloat16, int8) on the device: beside float32 ones, or alone. Kernels that read
// them include this; narrow_vectors.cu writes and widens them.
#pragma once

#include "kernels/narrow_vectors.h"
#include "kernels/reduce.cuh"

namespace xlembed::kernels::cuda {

// One warp to a row of `width` places, zeros beyond D; every lane receives how far the row is from x.
struct Distance {
  double error = 0, length = 0;
};
inline __device__ Distance narrow_row(const float* x, int64_t D, int64_t width, bfloat16* out) {
  Distance squared;
  for (int64_t d = threadIdx.x; d < width; d += warp_lanes) {
    const float value = d < D ? x[d] : 0.0f;
    out[d] = round_to_bfloat16(value);
    const double rounded = to_float(out[d]), difference = value - rounded;
    squared.error += difference * difference;
    squared.length += rounded * rounded;
  }
  return {sqrt(warp_sum(squared.error)), sqrt(warp_sum(squared.length))};
}

// The rows of a StoredCorpus.
struct StoredRows {
  Narrow type;
  char* const* blocks;
  int64_t memory_rows;  // of each block
  int64_t row_bytes;

  explicit StoredRows(const StoredCorpus& corpus)
      : type(corpus.type),
        blocks(corpus.blocks),
        memory_rows(corpus.rows_per_block),
        row_bytes(stored_row_bytes(corpus.type, corpus.dimensions)) {}

  __device__ char* at(int64_t row) const { return blocks[row / memory_rows] + row % memory_rows * row_bytes; }
  __device__ float* scale(char* row) const { return reinterpret_cast<float*>(row + row_bytes - 16); }
  __device__ float value(const char* row, int64_t d) const {
    if (type == Narrow::bfloat16) return to_float(reinterpret_cast<const bfloat16*>(row)[d]);
    const float scale = *reinterpret_cast<const float*>(row + row_bytes - 16);
    return scale * static_cast<float>(reinterpret_cast<const int8_t*>(row)[d]);
  }
};

// Rows [first, first + count) -> (count, narrow_width(D)) bfloat16.
void widen_to_bfloat16(const StoredCorpus& corpus, int64_t first, int64_t count, bfloat16* out,
                       CudaStream stream);

// Pieces of at most stored_piece_rows() rows, as float32 panels that are written to `panels` one after the
// other.
PanelSource widened_panels(const StoredCorpus& corpus, float* panels, CudaStream stream);

}  // namespace xlembed::kernels::cuda
