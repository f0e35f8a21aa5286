// Queries in the numbers that the first pass of a search multiplies, and how far its scores may be off.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/narrow_vectors.h"

namespace xlembed::kernels {

// What the first pass multiplies.
enum class FirstPass {
  bfloat16,
  fixed16,  // integers of 16 bits (fixed16.h), in words as many as bfloat16's
  int8
};

struct NarrowQueries {
  // Of one query. Its narrow scores are in the unit of its step.
  struct Size {
    double length;
    Distance distance;
    double unit;
  };
  std::vector<uint32_t> words;       // (Q, value_words)
  std::vector<int32_t> corrections;  // int8: what the corpus's offset adds to every sum
  std::vector<Size> sizes;
};

// queries (Q, D)
NarrowQueries encode_queries(const float* queries, int64_t count, int64_t dimensions, FirstPass pass);

// 2m of top_k_narrow.h for each query, against rows that are off by `rows.error` at most and, in narrow
// numbers, as long as `rows.length` at most; in the query's unit times `row_unit`.
std::vector<float> margins(const NarrowQueries& queries, const Distance& rows, double row_unit,
                           int64_t dimensions);

}  // namespace xlembed::kernels
