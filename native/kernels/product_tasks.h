// How products share their work and their memory among threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/aligned_vector.h"

namespace xlembed::kernels::product {

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Room for `words`, kept from one product to the next.
template <typename Word>
Word* reserve(AlignedVector<std::byte>& memory, int64_t words) {
  const std::size_t bytes = words * sizeof(Word);
  if (memory.size() < bytes) memory.resize(bytes);
  return reinterpret_cast<Word*>(memory.data());
}

// As many equal tasks for each thread: blocks of rows, and groups of panels where rows are too few.
class Tasks {
 public:
  // Blocks have block_rows at most, and whole tiles of tile_rows.
  Tasks(int64_t rows, int64_t tile_rows, int64_t block_rows, int64_t threads)
      : rows_(rows), tile_rows_(tile_rows), blocks_(std::max<int64_t>(divide_up(rows, block_rows), 1)) {
    if (blocks_ >= threads) {
      blocks_ = divide_up(blocks_, threads) * threads;
    } else {
      while (threads % blocks_ != 0) ++blocks_;
      groups_ = threads / blocks_;
    }
  }

  // Within a parallel region: calls visit(first row, how many, first panel, end) for each. Threads leave when
  // nothing is left to take; others may still be at it.
  template <typename Visit>
  void share_out(int64_t panels, const Visit& visit) const {
    const int64_t tiles = divide_up(rows_, tile_rows_);
#pragma omp for schedule(dynamic) nowait
    for (int64_t task = 0; task < blocks_ * groups_; ++task) {
      const int64_t block = task / groups_, group = task % groups_;
      const int64_t first = block * tiles / blocks_ * tile_rows_,
                    last = std::min((block + 1) * tiles / blocks_ * tile_rows_, rows_);
      const int64_t first_panel = group * panels / groups_, end = (group + 1) * panels / groups_;
      if (first < last && first_panel < end) visit(first, last - first, first_panel, end);
    }
  }

 private:
  int64_t rows_, tile_rows_, blocks_, groups_ = 1;
};

}  // namespace xlembed::kernels::product
