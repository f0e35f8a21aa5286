// How many rows of a panel stand before given rows in their query's ranking: shared by the searches that
// rank.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/lanes.h"

namespace xlembed::kernels {

// What the queries' relevant rows have.
struct Relevant {
  std::vector<float> scores;
  const int32_t* rows;
  const int32_t* offsets;
};

// Adds to counts[i] how many of a panel's rows stand before relevant row i of the query.
inline void count_better(const Relevant& relevant, int64_t query, const float* scores, int64_t first_row,
                         int64_t valid, int32_t* counts) {
  for (int32_t i = relevant.offsets[query]; i < relevant.offsets[query + 1]; ++i) {
    const Floats own = broadcast(relevant.scores[i]);
    const int64_t earlier = std::clamp<int64_t>(relevant.rows[i] - first_row, 0, valid);
    for (int64_t lane = 0; lane < valid; lane += kLanes) {
      const Floats score = load(scores + lane);
      const uint32_t above = greater(score, own) & first_lanes(valid - lane);
      const uint32_t tied = equal(score, own) & first_lanes(earlier - lane);
      counts[i] += __builtin_popcount(above) + __builtin_popcount(tied);
    }
  }
}

// 1 + what all threads counted for each relevant row from the first query's on.
inline void write_ranks(const Relevant& relevant, const std::vector<std::vector<int32_t>>& counts,
                        int32_t* ranks) {
  for (int64_t i = relevant.offsets[0]; i < static_cast<int64_t>(relevant.scores.size()); ++i) {
    ranks[i] = 1;
    for (const auto& part : counts) ranks[i] += part[i];
  }
}

}  // namespace xlembed::kernels
