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
        lists_(queries, std::vector<Candidate>(std::min(capacity, 2 * k + 64))) {}

  Candidate* begin(int64_t query) { return lists_[query].data(); }
  Candidate* end(int64_t query) { return begin(query) + counts_[query]; }
  bool given_up(int64_t query) const { return thresholds_[query] == std::numeric_limits<float>::infinity(); }

  // scores[0 .. count), of a panel's 48, belong to the rows from first_row on.
  void offer(int64_t query, const float* scores, int64_t first_row, int64_t count) {
    const Floats threshold = broadcast(thresholds_[query]);
    uint64_t passed = panel_mask(scores, count, [&](Floats score) { return at_least(score, threshold); });
    for (; passed != 0; passed &= passed - 1) {
      const int64_t at = __builtin_ctzll(passed);
      std::vector<Candidate>& list = lists_[query];
      list[counts_[query]++] = {scores[at], static_cast<int32_t>(first_row + at)};
      if (counts_[query] == static_cast<int64_t>(list.size())) shorten(query);
      if (given_up(query)) return;
    }
  }

 private:
  void shorten(int64_t query) {
    const float threshold = score_of_kth(query) - margins_[query];
    Candidate* first = begin(query);
    const int64_t count = counts_[query];
    int64_t kept = 0;
    for (int64_t i = 0; i < count; ++i) {  // without a branch: about every other one goes
      const Candidate candidate = first[i];
      first[kept] = candidate;
      kept += candidate.score >= threshold;
    }
    const bool full = kept > capacity_ * 3 / 4;
    thresholds_[query] = full ? std::numeric_limits<float>::infinity() : threshold;
    counts_[query] = static_cast<int32_t>(full ? 0 : kept);
    const int64_t wanted = full ? 0 : std::min(capacity_, 2 * kept + 64);
    if (wanted > count) lists_[query].resize(wanted);
  }

  // A score that k or more of the list reach, short of the k-th best by a small part of the margin: by
  // halves, which is faster than to order the list.
  float score_of_kth(int64_t query) {
    const Candidate *first = begin(query), *last = end(query);
    const auto [worst, best] = std::minmax_element(
        first, last, [](const Candidate& a, const Candidate& b) { return a.score < b.score; });
    float reached = worst->score, above = best->score;
    const float enough = margins_[query] / 32;
    for (int step = 0; step < 16 && above - reached > enough; ++step) {
      const float middle = reached + (above - reached) / 2;
      int64_t count = 0;
      for (const Candidate* candidate = first; candidate != last; ++candidate)
        count += candidate->score >= middle;
      (count >= k_ ? reached : above) = middle;
    }
    return reached;
  }

  int64_t k_;
  int64_t capacity_;
  const std::vector<float>& margins_;
  std::vector<float> thresholds_;
  std::vector<int32_t> counts_;
  std::vector<std::vector<Candidate>> lists_;  // shortened when they are full
};

}  // namespace xlembed::kernels
