// Exact inner-product search over vectors held in memory.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/torch.h"
#include "kernels/top_k.h"

namespace xlembed {

struct SearchResult {
  std::vector<float> scores;  // (Q, k) descending
  std::vector<int32_t> ids;   // (Q, k) rows of the index; -1 where it holds fewer than k
};

class FlatIndex {
 public:
  // Throws DEVICE_UNAVAILABLE for a device without a search kernel.
  FlatIndex(int64_t dimensions, at::Device device);

  int64_t size() const { return rows_; }
  int64_t dimensions() const { return dimensions_; }

  // vectors (rows, D) are copied and appended. Throws INVALID_ARGUMENT, with the index as it was, for a
  // vector with NaN or infinity.
  void add(const float* vectors, int64_t rows);

  // Largest inner products first; equal scores by smaller row. Throws INVALID_ARGUMENT for a query with NaN
  // or infinity.
  SearchResult search(const float* queries, int64_t count, int64_t k) const;

  // The 1-based rank of given rows in their query's full ranking (score descending, then row ascending),
  // without holding the score matrix. Query q's rows are ids[offsets[q] .. offsets[q + 1]).
  std::vector<int32_t> ranks(const float* queries, int64_t count, const int32_t* ids,
                             const int32_t* offsets) const;

 private:
  struct Free {
    void operator()(float* memory) const;
  };
  using Block = std::unique_ptr<float[], Free>;  // (panels_per_block_, D, 48)

  void reserve(int64_t rows);
  float* panel(int64_t p);
  kernels::Panels panels() const;

  int64_t dimensions_;
  int64_t panels_per_block_;
  int64_t rows_ = 0;
  std::vector<Block> blocks_;
  std::vector<const float*> addresses_;  // of blocks_
};

}  // namespace xlembed
