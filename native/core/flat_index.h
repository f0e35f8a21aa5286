// Exact inner-product search over vectors held in memory.
#pragma once

#include <atomic>
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

  // Takes these rows (ascending) out; later rows move up.
  void remove(const int32_t* rows, int64_t count);

  // (count, D): the vectors from row `first` on.
  std::vector<float> vectors(int64_t first, int64_t count) const;

  // Largest inner products first; equal scores by smaller row; only among the rows of `subset`. Throws
  // INVALID_ARGUMENT for a query with NaN or infinity.
  SearchResult search(const float* queries, int64_t count, int64_t k,
                      const kernels::Subset& subset = {}) const;

  // The 1-based rank of given rows in their query's full ranking (score descending, then row ascending),
  // without holding the score matrix. Query q's rows are ids[offsets[q] .. offsets[q + 1]).
  std::vector<int32_t> ranks(const float* queries, int64_t count, const int32_t* ids,
                             const int32_t* offsets) const;

 private:
  struct Free {
    void operator()(float* memory) const;
  };
  using Block = std::unique_ptr<float[], Free>;  // (rows_per_block_ / 48, D, 48)

  void reserve(int64_t rows);
  kernels::Corpus corpus() const;
  float* address(int64_t row) { return const_cast<float*>(kernels::address(corpus(), row)); }

  int64_t dimensions_;
  int64_t rows_per_block_;
  std::atomic<int64_t> rows_ = 0;  // read while add() runs
  std::vector<Block> blocks_;
  std::vector<const float*> addresses_;  // of blocks_
};

}  // namespace xlembed
