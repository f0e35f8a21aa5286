#include "kernels/top_k_narrow.h"

#include <cfloat>
#include <cmath>
#include <cstring>
#include <numeric>

#include "kernels/aligned_vector.h"
#include "kernels/amx_kernel.h"
#include "kernels/fixed16.h"
#include "kernels/panels.h"
#include "kernels/row_tile.h"
#include "kernels/shortlist.h"

namespace xlembed::kernels {
namespace {

constexpr size_t kListBytes = size_t{256} << 20;  // what the lists of one block of queries may take
constexpr int64_t kQueryBlock = 1024;

// ---- Queries in narrow numbers ----

// What the first pass multiplies.
enum class FirstPass {
  bfloat16,  // as stored
  fixed16,   // integers of 16 bits, which a panel of bfloat16 becomes once for many queries
  int8
};

// Queries in narrow form, with the margin 2m of each in the unit of its narrow scores.
struct NarrowQueries {
  std::vector<uint32_t> words;       // (Q, value_words)
  std::vector<int32_t> corrections;  // int8: what the corpus's offset adds to every sum
  std::vector<float> margins;
};

// 2m, with the rounding of both sums: each adds D products, rounding once or twice for each, and may flush
// what is below the smallest normal number to zero.
double margin(double length, const Distance& query, const NarrowCorpus& narrow, int64_t dimensions) {
  const double furthest = static_cast<double>(narrow.largest_length) + narrow.largest_error;
  const double approximation = length * narrow.largest_error + query.error * narrow.largest_length;
  const double rounding = (4 * dimensions + 64) * (FLT_EPSILON / 2) * length * furthest;
  const double flushing = dimensions * static_cast<double>(FLT_MIN) * (length + furthest + 1);
  return 2 * 1.001 * (approximation + rounding + flushing);
}

// One step for the rows of a corpus of bfloat16: no value is above the largest length.
Step step_of(const NarrowCorpus& narrow) {
  const float step = narrow.largest_length / Int16Pairs::kLargest;
  return {1 / step, step};
}

// The bounds of a corpus whose rows, as they are stored, become integers. A row is off by half a step for
// each dimension, and by the rounding of what is rounded.
NarrowCorpus as_fixed16(NarrowCorpus narrow, int64_t dimensions) {
  const float error = 0.51f * std::sqrt(static_cast<float>(dimensions)) * step_of(narrow).step;
  narrow.largest_error += error;
  narrow.largest_length += error;
  return narrow;
}

// x (D) -> words of integers
Distance encode_fixed16(const float* x, int64_t dimensions, uint32_t* words, int64_t count, double* step) {
  double squares = 0;
  float largest = 0;
  for (int64_t d = 0; d < dimensions; ++d) {
    squares += static_cast<double>(x[d]) * x[d];
    largest = std::max(largest, std::fabs(x[d]));
  }
  const double length = std::sqrt(squares);
  *step = std::max({length / Int16Pairs::kLongest, static_cast<double>(largest) / Int16Pairs::kLargest,
                    static_cast<double>(FLT_MIN)});
  std::fill_n(words, count, 0u);
  double error = 0;
  for (int64_t d = 0; d < dimensions; ++d) {
    const auto integer = static_cast<int>(std::nearbyint(x[d] / *step));
    words[d / 2] |= static_cast<uint32_t>(integer & 0xFFFF) << (d % 2 * 16);
    error += std::pow(x[d] - integer * *step, 2);
  }
  return {static_cast<float>(std::sqrt(error)), static_cast<float>(length)};
}

NarrowQueries encode_queries(const float* queries, int64_t count, int64_t dimensions,
                             const NarrowCorpus& narrow, FirstPass pass) {
  const int64_t words = value_words(narrow.type, dimensions);
  NarrowQueries result{std::vector<uint32_t>(count * words), std::vector<int32_t>(count, 0),
                       std::vector<float>(count)};
  const NarrowCorpus read = pass == FirstPass::fixed16 ? as_fixed16(narrow, dimensions) : narrow;
  for (int64_t q = 0; q < count; ++q) {
    const float* query = queries + q * dimensions;
    uint32_t* out = &result.words[q * words];
    double unit = 1;
    Distance distance;
    switch (pass) {
      case FirstPass::bfloat16:
        distance = encode_bfloat16(query, dimensions, out, words);
        break;
      case FirstPass::fixed16:
        distance = encode_fixed16(query, dimensions, out, words, &unit);
        unit *= step_of(narrow).step;
        break;
      case FirstPass::int8: {
        float scale = 1;
        distance = encode_int8(query, dimensions, Int8Search::kLargestQuery, 0, out, words, &scale);
        for (int64_t d = 0; d < dimensions; ++d) {
          result.corrections[q] += 128 * static_cast<int8_t>(out[d / 4] >> (d % 4 * 8) & 255);
        }
        unit = std::max(scale, FLT_MIN);
        break;
      }
    }
    double squared_length = 0;
    for (int64_t d = 0; d < dimensions; ++d) squared_length += static_cast<double>(query[d]) * query[d];
    result.margins[q] =
        static_cast<float>(margin(std::sqrt(squared_length), distance, read, dimensions) / unit);
  }
  return result;
}

// ---- First pass: which rows could be among the k best ----

int64_t panel_count(const Corpus& corpus) { return (corpus.rows + kPanelRows - 1) / kPanelRows; }
int64_t valid_rows(const Corpus& corpus, int64_t p) {
  return std::min(kPanelRows, corpus.rows - p * kPanelRows);
}

template <typename Kernel>
void shortlist_with(const Kernel& kernel, const NarrowQueries& queries, const Corpus& corpus,
                    const NarrowCorpus& narrow, std::vector<Shortlist>& lists) {
  const int64_t words = value_words(narrow.type, corpus.dimensions);
  const int64_t stride = narrow_words(narrow.type, corpus.dimensions) * kPanelRows;
  const auto panel = [&](int64_t p, int) -> PanelAndNext<uint32_t> {
    const uint32_t* words = address(corpus, narrow, p * kPanelRows);
    return {words, words + stride};
  };
  const int threads = static_cast<int>(lists.size());
  scan(kernel, panel_count(corpus), threads, panel,
       [&](int thread, int64_t query, const typename Kernel::Sum* sums, const uint32_t* current, int64_t p) {
         const int64_t valid = valid_rows(corpus, p);
         if constexpr (std::is_same_v<typename Kernel::Sum, float>) {
           lists[thread].offer(query, sums, p * kPanelRows, valid);
         } else {
           alignas(64) float scores[kPanelRows];
           float scales[kPanelRows];
           std::memcpy(scales, current + words * kPanelRows, sizeof scales);
           const int32_t correction = queries.corrections[query];
           for (int i = 0; i < kPanelRows; ++i)
             scores[i] = static_cast<float>(sums[i] - correction) * scales[i];
           lists[thread].offer(query, scores, p * kPanelRows, valid);
         }
       });
}

// Sums as scores, in the unit of both sides' steps.
struct Fixed16Scores : Int16Pairs {
  using Sum = float;
  static void store_sums(float* out, Sums32 sums) { store(out, floats(sums)); }
};

// A panel of bfloat16 becomes integers once, not for each tile of queries.
void shortlist_fixed16(const NarrowQueries& queries, int64_t count, const Corpus& corpus,
                       const NarrowCorpus& narrow, std::vector<Shortlist>& lists) {
  const int64_t words = value_words(narrow.type, corpus.dimensions);
  const int threads = static_cast<int>(lists.size());
  const float factor = step_of(narrow).factor;
  std::vector<AlignedVector<uint32_t>> integers(threads, AlignedVector<uint32_t>(words * kPanelRows));
  const auto panel = [&](int64_t p, int thread) -> PanelAndNext<uint32_t> {
    const uint32_t* from = address(corpus, narrow, p * kPanelRows);
    uint32_t* to = integers[thread].data();
#pragma omp simd
    for (int64_t i = 0; i < words * kPanelRows; ++i) {
      const bfloat16 first{static_cast<uint16_t>(from[i])}, second{static_cast<uint16_t>(from[i] >> 16)};
      to[i] = fixed16_pair(to_float(first), to_float(second), factor);
    }
    return {to, from + words * kPanelRows};
  };
  scan(RegisterKernel<Fixed16Scores>(queries.words.data(), count, words), panel_count(corpus), threads, panel,
       [&](int thread, int64_t query, const float* sums, const uint32_t*, int64_t p) {
         lists[thread].offer(query, sums, p * kPanelRows, valid_rows(corpus, p));
       });
}

#if defined(XLEMBED_AMX)
bool takes_amx(int64_t queries) { return queries > kQueryTile && amx_granted(); }
#endif

FirstPass first_pass(const NarrowCorpus& narrow, int64_t queries) {
  if (narrow.type == Narrow::int8) return FirstPass::int8;
#if defined(XLEMBED_AMX)
  if (takes_amx(queries)) return FirstPass::bfloat16;
#endif
  // A step and its inverse must be numbers.
  const bool fits = narrow.largest_length > 1e-25f && narrow.largest_length < 1e25f;
  return queries > kQueryTile && fits ? FirstPass::fixed16 : FirstPass::bfloat16;
}

void shortlist(const NarrowQueries& queries, int64_t count, const Corpus& corpus, const NarrowCorpus& narrow,
               FirstPass pass, std::vector<Shortlist>& lists) {
  const int64_t words = value_words(narrow.type, corpus.dimensions);
  const uint32_t* values = queries.words.data();
#if defined(XLEMBED_AMX)
  if (takes_amx(count)) {
    if (pass == FirstPass::bfloat16) {
      shortlist_with(AmxKernel<Bfloat16Tiles>(values, count, words), queries, corpus, narrow, lists);
    } else {
      shortlist_with(AmxKernel<Int8Tiles>(values, count, words), queries, corpus, narrow, lists);
    }
    return;
  }
#endif
  switch (pass) {
    case FirstPass::bfloat16:
      return shortlist_with(RegisterKernel<Bfloat16Pairs>(values, count, words), queries, corpus, narrow,
                            lists);
    case FirstPass::fixed16:
      return shortlist_fixed16(queries, count, corpus, narrow, lists);
    case FirstPass::int8:
      return shortlist_with(RegisterKernel<Int8Search>(values, count, words), queries, corpus, narrow, lists);
  }
}

// ---- Second pass: their scores in float32 ----

struct Pair {
  Candidate* candidate;
  const float* query;
};
constexpr int64_t kPairs = kLanes;  // scored together, one to a lane

// pairs[0 .. count) get the score of top_k.h; count <= kPairs
void score_pairs(const Pair* pairs, int64_t count, const Corpus& corpus) {
  const bool is_narrow = corpus.layout == Layout::narrow;
  thread_local std::vector<float> vectors;
  if (is_narrow) vectors.resize(kPairs * corpus.dimensions);
  const float *x[kPairs], *queries[kPairs];
  const void *x_rows[kPairs], *query_rows[kPairs];
  for (int64_t i = 0; i < kPairs; ++i) {
    const Pair& pair = pairs[std::min(i, count - 1)];
    if (is_narrow) read_row(corpus, pair.candidate->row, &vectors[i * corpus.dimensions]);
    x_rows[i] = x[i] = is_narrow ? &vectors[i * corpus.dimensions] : address(corpus, pair.candidate->row);
    query_rows[i] = queries[i] = pair.query;
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
  std::vector<int64_t> next(panel_count(corpus) + 1, 0);  // by panel, where its next pair goes
  for (const std::vector<Candidate>& candidates : found) {
    for (const Candidate& candidate : candidates) ++next[candidate.row / kPanelRows + 1];
  }
  std::partial_sum(next.begin(), next.end(), next.begin());
  const int64_t count = next.back();
  std::vector<Pair> pairs(count);
  for (size_t q = 0; q < found.size(); ++q) {
    for (Candidate& candidate : found[q])
      pairs[next[candidate.row / kPanelRows]++] = {&candidate, queries + q * corpus.dimensions};
  }
#pragma omp parallel for schedule(dynamic, 16) num_threads(threads)
  for (int64_t first = 0; first < count; first += kPairs) {
    score_pairs(&pairs[first], std::min(kPairs, count - first), corpus);
  }
}

// What all threads kept for one query, less what the k-th best of all rules out.
void merge(std::vector<Shortlist>& lists, int64_t query, int64_t k, float margin,
           std::vector<Candidate>& all) {
  all.clear();
  for (Shortlist& list : lists) all.insert(all.end(), list.begin(query), list.end(query));
  if (static_cast<int64_t>(all.size()) <= k) return;
  std::nth_element(all.begin(), all.begin() + k - 1, all.end(), better);
  const float threshold = all[k - 1].score - margin;
  std::erase_if(all, [threshold](const Candidate& candidate) { return candidate.score < threshold; });
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
void search_float32(const std::vector<int64_t>& which, const float* queries, const Corpus& corpus, int64_t k,
                    int threads, float* scores, int32_t* rows) {
  const int64_t count = which.size(), dimensions = corpus.dimensions;
  std::vector<float> some(count * dimensions), some_scores(count * k);
  std::vector<int32_t> some_rows(count * k);
  for (int64_t i = 0; i < count; ++i)
    std::copy_n(queries + which[i] * dimensions, dimensions, &some[i * dimensions]);
  top_k(some.data(), count, corpus, {}, k, threads, some_scores.data(), some_rows.data());
  for (int64_t i = 0; i < count; ++i) {
    std::copy_n(&some_scores[i * k], k, scores + which[i] * k);
    std::copy_n(&some_rows[i * k], k, rows + which[i] * k);
  }
}

int64_t top_k_block(const float* queries, int64_t count, const Corpus& corpus, const NarrowCorpus& narrow,
                    int64_t k, int64_t capacity, int threads, float* scores, int32_t* rows) {
  const FirstPass pass = first_pass(narrow, count);
  const NarrowQueries encoded = encode_queries(queries, count, corpus.dimensions, narrow, pass);
  std::vector<Shortlist> lists;
  lists.reserve(threads);
  for (int thread = 0; thread < threads; ++thread) lists.emplace_back(count, k, capacity, encoded.margins);
  shortlist(encoded, count, corpus, narrow, pass, lists);
  std::vector<int64_t> given_up;
  for (int64_t q = 0; q < count; ++q) {
    if (std::any_of(lists.begin(), lists.end(), [q](const Shortlist& list) { return list.given_up(q); })) {
      given_up.push_back(q);
    }
  }
  std::vector<std::vector<Candidate>> found(count);
#pragma omp parallel for schedule(dynamic, 8) num_threads(threads)
  for (int64_t q = 0; q < count; ++q) {
    if (!std::binary_search(given_up.begin(), given_up.end(), q))
      merge(lists, q, k, encoded.margins[q], found[q]);
  }
  rescore(queries, corpus, threads, found);
#pragma omp parallel for schedule(dynamic, 8) num_threads(threads)
  for (int64_t q = 0; q < count; ++q) write_sorted(found[q], k, scores + q * k, rows + q * k);
  if (!given_up.empty()) search_float32(given_up, queries, corpus, k, threads, scores, rows);
  return given_up.size();
}

}  // namespace

int64_t top_k_narrow(const float* queries, int64_t query_count, const Corpus& corpus,
                     const NarrowCorpus& narrow, int64_t k, int threads, float* scores, int32_t* rows) {
  // A row costs the second pass about as much as thirty in a scan of float32: lists may be long before they
  // cost more than they save.
  const int64_t capacity = std::min(2 * (corpus.rows + k) + 64, 32 * k + 1024 + corpus.rows / 128);
  const int64_t list_bytes = threads * capacity * sizeof(Candidate);
  const int64_t block = std::clamp<int64_t>(kListBytes / list_bytes, 1, kQueryBlock);
  int64_t given_up = 0;
  for (int64_t begin = 0; begin < query_count; begin += block) {
    const int64_t count = std::min(block, query_count - begin);
    given_up += top_k_block(queries + begin * corpus.dimensions, count, corpus, narrow, k, capacity, threads,
                            scores + begin * k, rows + begin * k);
  }
  return given_up;
}

}  // namespace xlembed::kernels
