// What the first pass of a narrow search reads, and what becomes of its scores.
#pragma once

#include "kernels/bfloat16.h"
#include "kernels/top_k_lists.cuh"

namespace xlembed::kernels::cuda {
namespace {

// Rows [first, end) of the narrow corpus: in its blocks, or widened, from row `first` on.
struct NarrowRows {
  const bfloat16* const* blocks;
  int64_t memory_rows;  // of each block; no tile lies in two
  int64_t width;
  int64_t first, end;
  const bfloat16* widened = nullptr;

  __device__ const bfloat16* at(int64_t row) const {
    if (widened) return widened + (row - first) * width;
    return blocks[row / memory_rows] + row % memory_rows * width;
  }
};

}  // namespace
}  // namespace xlembed::kernels::cuda
