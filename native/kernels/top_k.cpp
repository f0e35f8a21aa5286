#include "kernels/top_k.h"

#include <cmath>
#include <limits>

#include "kernels/arithmetic.h"
#include "kernels/best_k.h"
#include "kernels/panel_reader.h"
#include "kernels/rank_counts.h"
#include "kernels/top_k_two_pass.h"

namespace xlembed::kernels {
namespace {

// Queries that are held against a panel while it is in the cache.
constexpr int64_t kQueryBlock = 1024;

struct Float32 : Float32Words {
  static constexpr int64_t kChainWords = kChain;
  static Floats add_sums(const float* before, Floats sums) { return load(before) + sums; }
};

// The same sum for one pair.
float score_pair(const Corpus& corpus, int64_t row, const float* query) {
  const bool is_narrow = corpus.layout == Layout::narrow;
  std::vector<float> vector(is_narrow ? corpus.dimensions : 0);
  if (is_narrow) read_row(corpus, row, vector.data());
  const float* x = is_narrow ? vector.data() : address(corpus, row);
  const int64_t step = is_narrow ? 1 : stride(corpus);
  float score = 0;
  for (int64_t begin = 0; begin < corpus.dimensions; begin += kChain) {
    float sum = 0;
    for (int64_t d = begin; d < std::min(begin + kChain, corpus.dimensions); ++d) {
      sum = fma(x[d * step], query[d], sum);
    }
    score = begin == 0 ? sum : score + sum;
  }
  return score;
}

void top_k_block(const float* queries, int64_t query_count, const Corpus& corpus, const Subset& subset,
                 int64_t k, int threads, float* scores, int32_t* rows) {
  PanelReader reader(corpus, subset, threads);
  std::vector<BestK> best;
  best.reserve(threads);
  for (int thread = 0; thread < threads; ++thread) best.emplace_back(query_count, k);
  scan(RegisterKernel<Float32>(queries, query_count, corpus.dimensions), reader.panels(), threads, reader,
       [&](int thread, int64_t query, const float* sums, const float*, int64_t p) {
         best[thread].offer(query, sums, p * kPanelRows, reader.valid_rows(p));
       });
  std::vector<Candidate> all;
  for (int64_t q = 0; q < query_count; ++q) write_best(best, q, k, all, scores + q * k, rows + q * k);
  if (subset.all()) return;
  for (int64_t i = 0; i < query_count * k; ++i) rows[i] = rows[i] < 0 ? -1 : subset.rows[rows[i]];
}

void ranks_block(const float* queries, int64_t query_count, const Corpus& corpus,
                 const int32_t* relevant_rows, const int32_t* offsets, int threads, int32_t* ranks) {
  const int64_t total = offsets[query_count];
  Relevant relevant{std::vector<float>(total), relevant_rows, offsets};
#pragma omp parallel for num_threads(threads)
  for (int64_t q = 0; q < query_count; ++q) {
    for (int32_t i = offsets[q]; i < offsets[q + 1]; ++i) {
      const float score = score_pair(corpus, relevant_rows[i], queries + q * corpus.dimensions);
      relevant.scores[i] = std::isnan(score) ? -std::numeric_limits<float>::infinity() : score;
    }
  }
  std::vector<std::vector<int32_t>> counts(threads, std::vector<int32_t>(total, 0));
  PanelReader reader(corpus, {}, threads);
  scan(RegisterKernel<Float32>(queries, query_count, corpus.dimensions), reader.panels(), threads, reader,
       [&](int thread, int64_t query, const float* sums, const float*, int64_t p) {
         count_better(relevant, query, sums, p * kPanelRows, reader.valid_rows(p), counts[thread].data());
       });
  write_ranks(relevant, counts, ranks);
}

}  // namespace

void top_k(const float* queries, int64_t query_count, const Corpus& corpus, const Subset& subset, int64_t k,
           int threads, float* scores, int32_t* rows) {
  const int64_t searched = subset.all() ? corpus.rows : subset.count;
  bool helps = true;  // rows that give one block's first pass too much to keep will give it to the next
  for (int64_t begin = 0; begin < query_count; begin += kQueryBlock) {
    const int64_t count = std::min(kQueryBlock, query_count - begin);
    const float* block = queries + begin * corpus.dimensions;
    float* block_scores = scores + begin * k;
    int32_t* block_rows = rows + begin * k;
    if (helps && takes_two_passes(count, searched, corpus.dimensions, k)) {
      const int64_t given_up =
          top_k_two_pass(block, count, corpus, subset, k, threads, block_scores, block_rows);
      helps = 2 * given_up <= count;
    } else {
      top_k_block(block, count, corpus, subset, k, threads, block_scores, block_rows);
    }
  }
}

void top_k_one_pass(const float* queries, int64_t query_count, const Corpus& corpus, const Subset& subset,
                    int64_t k, int threads, float* scores, int32_t* rows) {
  for (int64_t begin = 0; begin < query_count; begin += kQueryBlock) {
    const int64_t count = std::min(kQueryBlock, query_count - begin);
    top_k_block(queries + begin * corpus.dimensions, count, corpus, subset, k, threads, scores + begin * k,
                rows + begin * k);
  }
}

void ranks(const float* queries, int64_t query_count, const Corpus& corpus, const int32_t* relevant,
           const int32_t* offsets, int threads, int32_t* ranks) {
  for (int64_t begin = 0; begin < query_count; begin += kQueryBlock) {
    const int64_t count = std::min(kQueryBlock, query_count - begin);
    ranks_block(queries + begin * corpus.dimensions, count, corpus, relevant, offsets + begin, threads,
                ranks);
  }
}

void write_vectors(const float* vectors, int64_t first, int64_t count, const Corpus& corpus, int threads) {
  const int64_t dimensions = corpus.dimensions, end = first + count;
#pragma omp parallel for num_threads(threads)
  for (int64_t p = first / kPanelRows; p < (end + kPanelRows - 1) / kPanelRows; ++p) {
    const int64_t begin = std::max(first, p * kPanelRows), stop = std::min(end, (p + 1) * kPanelRows);
    const float* from = vectors + (begin - first) * dimensions;
    float* to = const_cast<float*>(address(corpus, begin));
    if (corpus.layout == Layout::rows) {
      std::copy_n(from, (stop - begin) * dimensions, to);
      continue;
    }
    const float* rows[kPanelRows];
    for (int64_t i = 0; i < stop - begin; ++i) rows[i] = from + i * dimensions;
    write_panel(rows, 1, stop - begin, dimensions, to);
  }
}

int64_t first_unusable_row(const float* vectors, int64_t count, int64_t dimensions) {
  constexpr int64_t kParts = 32;  // independent sums, so that the loop fills the registers
  for (int64_t row = 0; row < count; ++row) {
    const float* x = vectors + row * dimensions;
    float parts[kParts] = {};
    int64_t d = 0;
    for (; d + kParts <= dimensions; d += kParts) {
      for (int64_t i = 0; i < kParts; ++i) parts[i] += x[d + i] * x[d + i];
    }
    for (int64_t i = 0; d + i < dimensions; ++i) parts[i] += x[d + i] * x[d + i];
    float squared_length = 0;
    for (const float part : parts) squared_length += part;
    if (!std::isfinite(squared_length)) return row;
  }
  return count;
}

}  // namespace xlembed::kernels
