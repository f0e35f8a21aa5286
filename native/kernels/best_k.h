// The k best of a stream of scored rows, for many queries at once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/lanes.h"
#include "kernels/top_k.h"

namespace xlembed::kernels {

struct Candidate {
  float score;
  int32_t row;
};

// The order of every search: score descending, then row ascending.
inline bool better(const Candidate& a, const Candidate& b) {
  return a.score > b.score || (a.score == b.score && a.row < b.row);
}

// Bit i of the first `count` is set where holds(scores[i]), scores (48): holds(Floats) gives a mask of lanes.
template <typename Holds>
uint64_t panel_mask(const float* scores, int64_t count, const Holds& holds) {
  uint64_t mask = 0;
  for (int64_t i = 0; i < kPanelRows; i += kLanes) mask |= uint64_t{holds(load(scores + i))} << i;
  return mask & ((uint64_t{1} << count) - 1);
}

// Appends what beats the threshold and, when the buffer is full, keeps the k best and raises the threshold to
// the k-th score. Rows must come in ascending order: then an equal score that comes later never belongs. With
// a million random scores and k = 10 about 130 rows pass the threshold.
class BestK {
 public:
  BestK(int64_t queries, int64_t k)
      : k_(k),
        capacity_(2 * k + 64),
        thresholds_(queries, -std::numeric_limits<float>::infinity()),
        counts_(queries, 0),
        candidates_(new Candidate[queries * capacity_]) {}

  int64_t k() const { return k_; }
  Candidate* begin(int64_t query) { return &candidates_[query * capacity_]; }
  Candidate* end(int64_t query) { return begin(query) + counts_[query]; }

  // scores[0 .. count), of a panel's 48, belong to the rows from first_row on.
  void offer(int64_t query, const float* scores, int64_t first_row, int64_t count) {
    const Floats threshold = broadcast(thresholds_[query]);
    uint64_t passed = panel_mask(scores, count, [&](Floats score) { return greater(score, threshold); });
    for (; passed != 0; passed &= passed - 1) {
      const int64_t at = __builtin_ctzll(passed);
      append(query, {scores[at], static_cast<int32_t>(first_row + at)});
    }
  }

  void append(int64_t query, Candidate candidate) {
    Candidate* first = begin(query);
    first[counts_[query]++] = candidate;
    if (counts_[query] < capacity_) return;
    std::nth_element(first, first + k_ - 1, first + capacity_, better);
    thresholds_[query] = first[k_ - 1].score;
    counts_[query] = static_cast<int32_t>(k_);
  }

 private:
  int64_t k_;
  int64_t capacity_;
  std::vector<float> thresholds_;
  std::vector<int32_t> counts_;
  std::unique_ptr<Candidate[]> candidates_;
};

// The k best of what several threads kept for one query, in order; where there are fewer, row -1 and score
// -infinity fill the rest. `all` is scratch.
inline void write_best(std::vector<BestK>& parts, int64_t query, int64_t k, std::vector<Candidate>& all,
                       float* scores, int32_t* rows) {
  all.clear();
  for (BestK& part : parts) all.insert(all.end(), part.begin(query), part.end(query));
  const int64_t found = std::min<int64_t>(k, all.size());
  std::partial_sort(all.begin(), all.begin() + found, all.end(), better);
  for (int64_t i = 0; i < k; ++i) {
    scores[i] = i < found ? all[i].score : -std::numeric_limits<float>::infinity();
    rows[i] = i < found ? all[i].row : -1;
  }
}

}  // namespace xlembed::kernels
