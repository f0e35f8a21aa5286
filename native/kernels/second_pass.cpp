#include "kernels/second_pass.h"

#include <numeric>

#include "kernels/narrow_vectors.h"
#include "kernels/transpose.h"

namespace xlembed::kernels {
namespace {

struct Pair {
  Candidate* candidate;
  const float* query;
};
constexpr int64_t kPairs = kLanes;  // scored together, one to a lane

// The vectors of pairs out of panels, one after the other (kPairs, D). Where several are neighbours, squares
// of their panel are turned over; else every value comes from a cache line of its own.
void read_from_panels(const Pair* pairs, int64_t count, const Corpus& corpus, float* vectors) {
  const int64_t dimensions = corpus.dimensions, in_squares = dimensions / kLanes * kLanes;
  for (int64_t begin = 0, end = 0; begin < count; begin = end) {
    const int64_t first = pairs[begin].candidate->row / kLanes * kLanes;
    while (end < count && pairs[end].candidate->row / kLanes * kLanes == first) ++end;
    const float* panel = address(corpus, first);
    int64_t d = 0;
    if (end - begin >= 4) {
      alignas(64) float square[kLanes * kLanes];
      for (; d < in_squares; d += kLanes) {
        const void* lines[kLanes];
        for (int64_t i = 0; i < kLanes; ++i) lines[i] = panel + (d + i) * kPanelRows;
        transpose_square(lines, 0, reinterpret_cast<uint32_t*>(square), kLanes);
        for (int64_t i = begin; i < end; ++i) {
          const float* from = square + (pairs[i].candidate->row - first) * kLanes;
          store(vectors + i * dimensions + d, load(from));
        }
      }
    }
    for (int64_t i = begin; i < end; ++i) {
      const float* from = panel + pairs[i].candidate->row - first;
      for (int64_t rest = d; rest < dimensions; ++rest)
        vectors[i * dimensions + rest] = from[rest * kPanelRows];
    }
  }
}

// pairs[0 .. count) get the score of top_k.h; count <= kPairs
void score_pairs(const Pair* pairs, int64_t count, const Corpus& corpus) {
  thread_local std::vector<float> vectors;
  if (corpus.layout != Layout::rows) vectors.resize(kPairs * corpus.dimensions);
  if (corpus.layout == Layout::panels) read_from_panels(pairs, count, corpus, vectors.data());
  const float *x[kPairs], *queries[kPairs];
  const void *x_rows[kPairs], *query_rows[kPairs];
  for (int64_t i = 0; i < kPairs; ++i) {
    const int64_t at = std::min(i, count - 1);
    const int64_t row = pairs[at].candidate->row;
    x[i] = corpus.layout == Layout::rows ? address(corpus, row) : &vectors[at * corpus.dimensions];
    if (corpus.layout == Layout::narrow && at == i) read_row(corpus, row, &vectors[i * corpus.dimensions]);
    x_rows[i] = x[i];
    query_rows[i] = queries[i] = pairs[at].query;
  }
  alignas(64) float scores[kPairs], x_square[kLanes * kLanes], query_square[kLanes * kLanes];
  Floats all{};
  for (int64_t begin = 0; begin < corpus.dimensions; begin += kChain) {
    const int64_t end = std::min(begin + kChain, corpus.dimensions);
    Floats sums{};
    int64_t d = begin;
    for (; d + kLanes <= end; d += kLanes) {
      transpose_square(x_rows, d, reinterpret_cast<uint32_t*>(x_square), kLanes);
      transpose_square(query_rows, d, reinterpret_cast<uint32_t*>(query_square), kLanes);
      for (int64_t i = 0; i < kLanes; ++i)
        sums = fma(load(x_square + i * kLanes), load(query_square + i * kLanes), sums);
    }
    for (; d < end; ++d) {
      for (int64_t i = 0; i < kLanes; ++i) x_square[i] = x[i][d], query_square[i] = queries[i][d];
      sums = fma(load(x_square), load(query_square), sums);
    }
    all = begin == 0 ? sums : all + sums;
  }
  store(scores, all);
  for (int64_t i = 0; i < count; ++i) pairs[i].candidate->score = scores[i];
}

// The candidates of each query get their scores, in about the order of the rows: what several queries look at
// is read once.
void rescore(const float* queries, const Corpus& corpus, int threads,
             std::vector<std::vector<Candidate>>& found) {
  std::vector<int64_t> next(corpus.rows / kLanes + 2, 0);  // by kLanes rows, where their next pair goes
  for (const std::vector<Candidate>& candidates : found) {
    for (const Candidate& candidate : candidates) ++next[candidate.row / kLanes + 1];
  }
  std::partial_sum(next.begin(), next.end(), next.begin());
  const int64_t count = next.back();
  std::vector<Pair> pairs(count);
  for (size_t q = 0; q < found.size(); ++q) {
    for (Candidate& candidate : found[q])
      pairs[next[candidate.row / kLanes]++] = {&candidate, queries + q * corpus.dimensions};
  }
#pragma omp parallel for schedule(dynamic, 16) num_threads(threads)
  for (int64_t first = 0; first < count; first += kPairs) {
    score_pairs(&pairs[first], std::min(kPairs, count - first), corpus);
  }
}

// What all threads kept for one query, less what the k-th best of all rules out.
void merge(std::vector<Shortlist>& lists, int64_t query, int64_t k, float margin, const Subset& subset,
           std::vector<Candidate>& all) {
  for (Shortlist& list : lists) all.insert(all.end(), list.begin(query), list.end(query));
  if (static_cast<int64_t>(all.size()) > k) {
    std::nth_element(all.begin(), all.begin() + k - 1, all.end(), better);
    const float threshold = all[k - 1].score - margin;
    std::erase_if(all, [threshold](const Candidate& candidate) { return candidate.score < threshold; });
  }
  if (subset.all()) return;
  for (Candidate& candidate : all) candidate.row = subset.rows[candidate.row];
}

void write_sorted(std::vector<Candidate>& all, int64_t k, float* scores, int32_t* rows) {
  const int64_t found = std::min<int64_t>(k, all.size());
  std::partial_sort(all.begin(), all.begin() + found, all.end(), better);
  for (int64_t i = 0; i < k; ++i) {
    scores[i] = i < found ? all[i].score : -std::numeric_limits<float>::infinity();
    rows[i] = i < found ? all[i].row : -1;
  }
}

// The queries that were given up, from the float32 vectors.
void search_float32(const std::vector<int64_t>& which, const float* queries, const Corpus& corpus,
                    const Subset& subset, int64_t k, int threads, float* scores, int32_t* rows) {
  const int64_t count = which.size(), dimensions = corpus.dimensions;
  std::vector<float> some(count * dimensions), some_scores(count * k);
  std::vector<int32_t> some_rows(count * k);
  for (int64_t i = 0; i < count; ++i)
    std::copy_n(queries + which[i] * dimensions, dimensions, &some[i * dimensions]);
  top_k_one_pass(some.data(), count, corpus, subset, k, threads, some_scores.data(), some_rows.data());
  for (int64_t i = 0; i < count; ++i) {
    std::copy_n(&some_scores[i * k], k, scores + which[i] * k);
    std::copy_n(&some_rows[i * k], k, rows + which[i] * k);
  }
}

}  // namespace

int64_t second_pass(const float* queries, int64_t count, const Corpus& corpus, const Subset& subset,
                    int64_t k, std::vector<Shortlist>& lists, const std::vector<float>& margins, int64_t most,
                    int threads, float* scores, int32_t* rows) {
  std::vector<std::vector<Candidate>> found(count);
  std::vector<char> is_given_up(count, 0);
#pragma omp parallel for schedule(dynamic, 8) num_threads(threads)
  for (int64_t q = 0; q < count; ++q) {
    const auto gave_up = [q](const Shortlist& list) { return list.given_up(q); };
    is_given_up[q] = std::any_of(lists.begin(), lists.end(), gave_up);
    if (!is_given_up[q]) merge(lists, q, k, margins[q], subset, found[q]);
    if (static_cast<int64_t>(found[q].size()) <= most) continue;
    is_given_up[q] = 1;
    found[q] = {};
  }
  rescore(queries, corpus, threads, found);
#pragma omp parallel for schedule(dynamic, 8) num_threads(threads)
  for (int64_t q = 0; q < count; ++q) write_sorted(found[q], k, scores + q * k, rows + q * k);
  std::vector<int64_t> given_up;
  for (int64_t q = 0; q < count; ++q) {
    if (is_given_up[q]) given_up.push_back(q);
  }
  if (!given_up.empty()) search_float32(given_up, queries, corpus, subset, k, threads, scores, rows);
  return given_up.size();
}

}  // namespace xlembed::kernels
