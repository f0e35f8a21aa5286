#include "kernels/top_k_narrow.h"

#include <cmath>
#include <cstring>

#include "kernels/aligned_vector.h"
#include "kernels/amx_kernel.h"
#include "kernels/fixed16.h"
#include "kernels/narrow_queries.h"
#include "kernels/panels.h"
#include "kernels/second_pass.h"

namespace xlembed::kernels {
namespace {

constexpr size_t kListBytes = size_t{256} << 20;  // what the lists of one block of queries may take
constexpr int64_t kQueryBlock = 1024;

// One step for the rows of a corpus of bfloat16: no value is above the largest length.
Step step_of(const NarrowCorpus& narrow) {
  const float step = narrow.largest_length / Int16Pairs::kLargest;
  return {1 / step, step};
}

// How far the rows are from their float32 values, as the first pass reads them.
Distance bounds_of(const NarrowCorpus& narrow, FirstPass pass, int64_t dimensions) {
  Distance bounds{narrow.largest_error, narrow.largest_length};
  if (pass != FirstPass::fixed16) return bounds;
  // A row is off by half a step for each dimension, and by the rounding of what is rounded.
  const float error = 0.51f * std::sqrt(static_cast<float>(dimensions)) * step_of(narrow).step;
  return {bounds.error + error, bounds.length + error};
}

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

FirstPass first_pass(const NarrowCorpus& narrow, int64_t queries) {
  if (narrow.type == Narrow::int8) return FirstPass::int8;
  if (takes_amx(queries)) return FirstPass::bfloat16;
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

int64_t top_k_block(const float* queries, int64_t count, const Corpus& corpus, const NarrowCorpus& narrow,
                    int64_t k, int64_t capacity, int threads, float* scores, int32_t* rows) {
  const FirstPass pass = first_pass(narrow, count);
  const NarrowQueries encoded = encode_queries(queries, count, corpus.dimensions, pass);
  const double row_unit = pass == FirstPass::fixed16 ? step_of(narrow).step : 1;
  const std::vector<float> margin =
      margins(encoded, bounds_of(narrow, pass, corpus.dimensions), row_unit, corpus.dimensions);
  std::vector<Shortlist> lists;
  lists.reserve(threads);
  for (int thread = 0; thread < threads; ++thread) lists.emplace_back(count, k, capacity, margin);
  shortlist(encoded, count, corpus, narrow, pass, lists);
  return second_pass(queries, count, corpus, {}, k, lists, margin, threads * capacity, threads, scores, rows);
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
