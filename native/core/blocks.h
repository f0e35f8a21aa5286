// Memory that grows in blocks of as many rows each and never moves.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "kernels/top_k.h"

namespace xlembed {

// After `removed` (count, ascending) of so many rows are gone: calls move(from, to) for each row that moves
// up, in order; returns how many rows are left.
template <typename Move>
int64_t close_gaps(const int32_t* removed, int64_t count, int64_t rows, const Move& move) {
  if (count == 0) return rows;
  int64_t kept = removed[0], passed = 0;
  for (int64_t row = kept; row < rows; ++row) {
    if (passed < count && removed[passed] == row) {
      ++passed;
    } else {
      move(row, kept++);
    }
  }
  return kept;
}

// Copies a row of `words` words within panels of 48 rows.
template <typename T>
void copy_in_panels(const T* from, T* to, int64_t words) {
  for (int64_t w = 0; w < words; ++w) to[w * kernels::kPanelRows] = from[w * kernels::kPanelRows];
}

template <typename T>
class Blocks {
 public:
  // Rows of `bytes_per_row` bytes of which a block of about 64 MB holds a whole number of panels.
  static int64_t rows_per_block(int64_t bytes_per_row) {
    return static_cast<int64_t>(round_up((size_t{64} << 20) / bytes_per_row + 1, kernels::kPanelRows));
  }

  // Makes room for `rows` rows; what is new is zero. Throws OUT_OF_MEMORY.
  void reserve(int64_t rows, int64_t rows_per_block, int64_t words_per_row) {
    const size_t bytes = round_up(rows_per_block * words_per_row * sizeof(T), kHugePage);
    while (static_cast<int64_t>(owned_.size()) * rows_per_block < rows) {
      owned_.push_back(map_zeros(bytes));
      if (!owned_.back()) {
        owned_.pop_back();
        throw CodedError("OUT_OF_MEMORY", "the index cannot grow to " + std::to_string(rows) + " rows");
      }
      addresses_.push_back(owned_.back().get());
    }
  }
  T* const* addresses() const { return addresses_.data(); }

 private:
  static constexpr size_t kHugePage = size_t{2} << 20;
  static size_t round_up(size_t count, size_t step) { return (count + step - 1) / step * step; }

  struct Unmap {
    size_t bytes = 0;
    void operator()(T* memory) const { munmap(memory, bytes); }
  };
  using Block = std::unique_ptr<T, Unmap>;

  // A page is there from its first touch on: a small index takes little of its block. A scan touches every
  // page once, and large pages spare it the address translation.
  static Block map_zeros(size_t bytes) {
    void* memory =
        mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return {};
    char* const mapped = static_cast<char*>(memory);
    const size_t before =
        round_up(reinterpret_cast<uintptr_t>(mapped), kHugePage) - reinterpret_cast<uintptr_t>(mapped);
    if (before > 0) munmap(mapped, before);
    if (before < kHugePage) munmap(mapped + before + bytes, kHugePage - before);
    madvise(mapped + before, bytes, MADV_HUGEPAGE);
    return Block(reinterpret_cast<T*>(mapped + before), Unmap{bytes});
  }

  std::vector<Block> owned_;
  std::vector<T*> addresses_;
};

}  // namespace xlembed
