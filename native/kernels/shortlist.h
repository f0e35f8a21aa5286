// The rows whose score is within a margin of the k-th best, of a stream of scored rows, for many queries at
// once.
#pragma once

#include <cmath>
#include <utility>

#include "kernels/best_k.h"

namespace xlembed::kernels {

// Keeps all rows whose score is not below (k-th best so far) - margin, where a score is off by half a margin
// at most. A query with more such rows than `capacity`, and `share` of the rows that have gone by, is given
// up: its list is then incomplete and says so.
class Shortlist {
 public:
  Shortlist(int64_t queries, int64_t k, int64_t capacity, std::vector<float> margins, double share = 0)
      : k_(k),
        capacity_(capacity),
        share_(share),
        margins_(std::move(margins)),
        reached_(queries, -std::numeric_limits<float>::infinity()),
        thresholds_(queries, -std::numeric_limits<float>::infinity()),
        counts_(queries, 0),
        lists_(queries, std::vector<Candidate>(std::min(capacity, 2 * k + 64))) {}

  Candidate* begin(int64_t query) { return lists_[query].data(); }
  Candidate* end(int64_t query) { return begin(query) + counts_[query]; }
  const std::vector<float>& margins() const { return margins_; }
  bool given_up(int64_t query) const { return std::isnan(thresholds_[query]); }
  int64_t given_up() const { return given_up_; }
  void give_up(int64_t query) {
    if (given_up(query)) return;
    thresholds_[query] = std::numeric_limits<float>::quiet_NaN();
    counts_[query] = 0;
    ++given_up_;
  }

  // The scores that come now are off by up to half of these margins, which are no smaller than those before.
  void widen(std::vector<float> margins) {
    margins_ = std::move(margins);
    for (size_t q = 0; q < margins_.size(); ++q) {
      if (!given_up(q)) thresholds_[q] = reached_[q] - margins_[q] / 2;
    }
  }

  // scores[0 .. count), of a panel's 48, belong to the rows from first_row on.
  void offer(int64_t query, const float* scores, int64_t first_row, int64_t count) {
    const Floats threshold = broadcast(thresholds_[query]);
    uint64_t passed = panel_mask(scores, count, [&](Floats score) { return at_least(score, threshold); });
    for (; passed != 0; passed &= passed - 1) {
      const int64_t at = __builtin_ctzll(passed);
      std::vector<Candidate>& list = lists_[query];
      list[counts_[query]++] = {scores[at], static_cast<int32_t>(first_row + at)};
      if (counts_[query] == static_cast<int64_t>(list.size())) shorten(query, first_row);
      if (given_up(query)) return;
    }
  }

 private:
  void shorten(int64_t query, int64_t rows_before) {
    // k rows of the list reach it whatever their scores are off by. Earlier margins may have been smaller.
    reached_[query] = std::max(reached_[query], score_of_kth(query) - margins_[query] / 2);
    const float threshold = reached_[query] - margins_[query] / 2;
    Candidate* first = begin(query);
    const int64_t count = counts_[query];
    int64_t kept = 0;
    for (int64_t i = 0; i < count; ++i) {  // without a branch: about every other one goes
      const Candidate candidate = first[i];
      first[kept] = candidate;
      kept += candidate.score >= threshold;
    }
    const int64_t most = capacity_ + static_cast<int64_t>(share_ * static_cast<double>(rows_before));
    if (kept > most * 3 / 4) return give_up(query);
    thresholds_[query] = threshold;
    counts_[query] = static_cast<int32_t>(kept);
    const int64_t wanted = std::min(most, 2 * kept + 64);
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
  double share_;
  std::vector<float> margins_;
  std::vector<float> reached_;     // a score that k rows or more have in float32
  std::vector<float> thresholds_;  // what narrow scores must have; NaN, which none has: given up
  std::vector<int32_t> counts_;
  std::vector<std::vector<Candidate>> lists_;  // shortened when they are full
  int64_t given_up_ = 0;
};

}  // namespace xlembed::kernels
