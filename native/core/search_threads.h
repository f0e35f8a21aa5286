// How many threads work on a flat index on the CPU.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/torch.h"

namespace xlembed {

inline int all_threads() { return std::max(1, at::get_num_threads()); }

// As many as a search is worth that reads so many words of 4 bytes for every eight queries: to wake a thread
// takes as long as one needs for a quarter of a million.
inline int search_threads(int64_t words, int64_t queries) {
  constexpr int64_t kWordsToWake = int64_t{1} << 18;
  return words * ((queries + 7) / 8) < kWordsToWake ? 1 : all_threads();
}

}  // namespace xlembed
