// Exact inner-product search.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/vector_store.h"

namespace xlembed {

struct SearchResult {
  std::vector<float> scores;  // (Q, k) descending
  std::vector<int32_t> ids;   // (Q, k) rows of the index; -1 where it holds fewer than k
};

// What is kept of a vector: its float32 values, these in fewer bits, or their signs.
enum class Storage { float32, bfloat16, int8, binary };

class FlatIndex {
 public:
  // With `narrow`, a search reads a narrow copy of the vectors first (kernels/top_k_narrow.h): the same
  // results, in less time, for a half or a quarter more memory; on a GPU bfloat16 alone. There the vectors
  // may take budget_bytes (0: 80 % of what is free when the first come); more of them stay in the host's
  // memory and are streamed. Throws DEVICE_UNAVAILABLE for a device that this build cannot search on.
  FlatIndex(int64_t dimensions, at::Device device, std::optional<kernels::Narrow> narrow = {},
            int64_t budget_bytes = 0);

  // Keeps nothing but `storage` of the vectors; the results are those over what is kept, and the same on
  // every device.
  FlatIndex(int64_t dimensions, at::Device device, Storage storage);

  // Over a store that holds `rows` vectors.
  FlatIndex(int64_t dimensions, std::unique_ptr<VectorStore> store, int64_t rows = 0)
      : dimensions_(dimensions), rows_(rows), store_(std::move(store)) {}

  int64_t size() const { return rows_; }
  // Of the vectors, wherever they lie; 0 for a store that was given. Removing gives nothing back.
  int64_t bytes() const { return most_rows_ * row_bytes_; }
  int64_t dimensions() const { return dimensions_; }

  // vectors (rows, D) are copied and appended. Throws INVALID_ARGUMENT, with the index as it was, for a
  // vector with NaN or infinity.
  void add(const float* vectors, int64_t rows);

  // Takes these rows (ascending) out; later rows move up.
  void remove(const int32_t* rows, int64_t count);

  // (count, D): the vectors from row `first` on.
  std::vector<float> vectors(int64_t first, int64_t count) const { return store_->vectors(first, count); }

  // Largest inner products first; equal scores by smaller row; only among the rows of `subset`. Throws
  // INVALID_ARGUMENT for a query with NaN or infinity.
  SearchResult search(const float* queries, int64_t count, int64_t k,
                      const kernels::Subset& subset = {}) const;

  // The 1-based rank of given rows in their query's full ranking (score descending, then row ascending),
  // without holding the score matrix. Query q's rows are ids[offsets[q] .. offsets[q + 1]).
  std::vector<int32_t> ranks(const float* queries, int64_t count, const int32_t* ids,
                             const int32_t* offsets) const;

 private:
  int64_t dimensions_;
  int64_t row_bytes_ = 0, most_rows_ = 0;
  std::atomic<int64_t> rows_ = 0;  // read while add() runs
  std::unique_ptr<VectorStore> store_;
};

}  // namespace xlembed
