// The rows whose score is within a margin of the k-th best, of a stream of scored rows, for many queries at
// once.
#pragma once

#include "kernels/best_k.h"

namespace xlembed::kernels {

// Keeps all rows whose score is not below (k-th best so far) - margin. A query with more such rows than
// `capacity` is given up: its list is then incomplete and says so.
class Shortlist {
 public:
  Shortlist(int64_t queries, int64_t k, int64_t capacity, const std::vector<float>& margins)
      : k_(k),
        capacity_(capacity),
        margins_(margins),
        thresholds_(queries, -std::numeric_limits<float>::infinity()),
        counts_(queries, 0),
        limits_(queries, static_cast<int32_t>(std::min(capacity, 2 * k + 64))),
        candidates_(new Candidate[queries * capacity]) {}

  Candidate* begin(int64_t query) { return &candidates_[query * capacity_]; }
  Candidate* end(int64_t query) { return begin(query) + counts_[query]; }
  bool given_up(int64_t query) const { return thresholds_[query] == std::numeric_limits<float>::infinity(); }

  // scores[0 .. count), of a panel's 48, belong to the rows from first_row on.
  void offer(int64_t query, const float* scores, int64_t first_row, int64_t count) {
    const Floats threshold = broadcast(thresholds_[query]);
    uint64_t passed = panel_mask(scores, count, [&](Floats score) { return at_least(score, threshold); });
    for (; passed != 0; passed &= passed - 1) {
      const int64_t at = __builtin_ctzll(passed);
      begin(query)[counts_[query]++] = {scores[at], static_cast<int32_t>(first_row + at)};
      if (counts_[query] == limits_[query]) shorten(query);
      if (given_up(query)) return;
    }
  }

 private:
  void shorten(int64_t query) {
    Candidate* first = begin(query);
    std::nth_element(first, first + k_ - 1, end(query), better);
    const float threshold = first[k_ - 1].score - margins_[query];
    const auto within = [threshold](const Candidate& candidate) { return candidate.score >= threshold; };
    const int64_t kept = std::partition(first + k_, end(query), within) - first;
    const bool full = kept > capacity_ * 3 / 4;
    thresholds_[query] = full ? std::numeric_limits<float>::infinity() : threshold;
    counts_[query] = static_cast<int32_t>(full ? 0 : kept);
    limits_[query] = static_cast<int32_t>(std::min(capacity_, 2 * kept + 64));
  }

  int64_t k_;
  int64_t capacity_;
  const std::vector<float>& margins_;
  std::vector<float> thresholds_;
  std::vector<int32_t> counts_;
  std::vector<int32_t> limits_;  // at which a list is shortened
  std::unique_ptr<Candidate[]> candidates_;
};

}  // namespace xlembed::kernels
