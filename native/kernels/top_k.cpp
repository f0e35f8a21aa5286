#include "kernels/top_k.h"

#include <cmath>
#include <limits>

#include "kernels/aligned_vector.h"
#include "kernels/arithmetic.h"
#include "kernels/best_k.h"
#include "kernels/panels.h"
#include "kernels/rank_counts.h"
#include "kernels/top_k_narrow.h"

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

// Gives the corpus, or the rows of it that a search is confined to, panel by panel: from where they lie if
// they lie as panels, else gathered or widened into a buffer of the thread.
class PanelReader {
 public:
  PanelReader(const Corpus& corpus, const Subset& subset, int threads)
      : corpus_(corpus), subset_(subset), rows_(subset.all() ? corpus.rows : subset.count) {
    if (!direct()) buffers_.resize(threads, AlignedVector<float>(corpus.dimensions * kPanelRows, 0.f));
    if (is_narrow() && !subset.all()) {
      widened_.resize(threads, std::vector<float>(corpus.dimensions * kPanelRows));
    }
  }
  int64_t panels() const { return (rows_ + kPanelRows - 1) / kPanelRows; }
  int64_t valid_rows(int64_t p) const { return std::min(kPanelRows, rows_ - p * kPanelRows); }

  PanelAndNext<float> operator()(int64_t p, int thread) {
    if (direct()) {
      const float* panel = address(corpus_, p * kPanelRows);
      return {panel, panel + corpus_.dimensions * kPanelRows};
    }
    float* panel = buffers_[thread].data();
    if (is_narrow() && subset_.all()) {
      read_panel(corpus_, p, panel);
      return {panel, panel};
    }
    const float* vectors[kPanelRows];
    const int64_t count = valid_rows(p);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at = p * kPanelRows + i;
      vectors[i] = vector_of(subset_.all() ? at : subset_.rows[at], i, thread);
    }
    write_panel(vectors, is_narrow() ? 1 : stride(corpus_), count, corpus_.dimensions, panel);
    // What follows the last row is the next panel's first one, unless the rows are some here and there.
    return {panel, subset_.all() ? vectors[count - 1] + corpus_.dimensions : panel};
  }

 private:
  bool direct() const { return subset_.all() && corpus_.layout == Layout::panels; }
  bool is_narrow() const { return corpus_.layout == Layout::narrow; }

  const float* vector_of(int64_t row, int64_t lane, int thread) {
    if (!is_narrow()) return address(corpus_, row);
    float* vector = &widened_[thread][lane * corpus_.dimensions];
    read_row(corpus_, row, vector);
    return vector;
  }

  Corpus corpus_;
  Subset subset_;
  int64_t rows_;
  std::vector<AlignedVector<float>> buffers_;
  std::vector<std::vector<float>> widened_;  // by thread: (48, D), of narrow rows here and there
};

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
