// Exact inner-product search over vectors held in memory.
#pragma once

#include <cstdint>
#include <vector>

#include "core/torch.h"

namespace xlembed {

struct SearchResult {
  std::vector<float> scores;  // (Q, k) descending
  std::vector<int32_t> ids;   // (Q, k) rows of the index; -1 where it holds fewer than k
};

class FlatIndex {
 public:
  FlatIndex(int64_t dimensions, at::Device device);

  int64_t size() const;
  int64_t dimensions() const;

  // vectors (rows, D) are copied and appended.
  void add(const float* vectors, int64_t rows);

  // Largest inner products first; equal scores by smaller row.
  SearchResult search(const float* queries, int64_t count, int64_t k) const;

  // The 1-based rank of given rows in their query's full ranking (score descending, then row ascending), without
  // holding the score matrix. Query q's rows are ids[offsets[q] .. offsets[q + 1]).
  std::vector<int32_t> ranks(const float* queries, int64_t count, const int32_t* ids,
                             const int32_t* offsets) const;

 private:
  int64_t dimensions_;
  at::Device device_;
};

}  // namespace xlembed
