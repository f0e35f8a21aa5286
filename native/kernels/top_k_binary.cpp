#include "kernels/top_k_binary.h"

#include <cstring>

#include "kernels/arithmetic.h"
#include "kernels/best_k.h"
#include "kernels/panels.h"
#include "kernels/rank_counts.h"

namespace xlembed::kernels {
namespace {

constexpr int64_t kQueryBlock = 1024;

// 32 bits of as many rows in a register; a sum counts the bits that differ.
struct DifferingBits : IntegerWords {
  static Sums32 multiply_add(Words32 x, Words32 query, Sums32 sums) { return sums + count_bits(x ^ query); }

 private:
  static Sums32 count_bits(Words32 x) {
#if defined(__AVX512VPOPCNTDQ__)
    return (Sums32)_mm512_popcnt_epi32((__m512i)x);
#else
    // Bits in pairs, in fours, in bytes, then of the whole word (H. Warren, Hacker's Delight, 5-1).
    x = x - (x >> 1 & 0x55555555u);
    x = (x & 0x33333333u) + (x >> 2 & 0x33333333u);
    x = (x + (x >> 4)) & 0x0F0F0F0Fu;
    return (Sums32)(x * 0x01010101u >> 24);
#endif
  }
};

// bits (count, ceil(D / 8)) -> (count, W)
std::vector<uint32_t> padded_words(const uint8_t* bits, int64_t count, int64_t dimensions) {
  const int64_t bytes = binary_bytes(dimensions), words = binary_words(dimensions);
  std::vector<uint32_t> result(count * words, 0);
  for (int64_t r = 0; r < count; ++r) std::memcpy(&result[r * words], bits + r * bytes, bytes);
  return result;
}

// Gives the corpus panel by panel; the rows that a search is confined to are gathered into a buffer of the
// thread.
class BinaryPanels {
 public:
  BinaryPanels(const BinaryCorpus& corpus, const Subset& subset, int threads)
      : corpus_(corpus), subset_(subset), rows_(subset.all() ? corpus.rows : subset.count) {
    if (!subset.all()) buffers_.resize(threads, std::vector<uint32_t>(words() * kPanelRows, 0));
  }
  int64_t words() const { return binary_words(corpus_.dimensions); }
  int64_t panels() const { return (rows_ + kPanelRows - 1) / kPanelRows; }
  int64_t valid_rows(int64_t p) const { return std::min(kPanelRows, rows_ - p * kPanelRows); }

  PanelAndNext<uint32_t> operator()(int64_t p, int thread) {
    if (subset_.all()) {
      const uint32_t* panel = address(corpus_, p * kPanelRows);
      return {panel, panel + words() * kPanelRows};
    }
    const uint32_t* rows[kPanelRows];
    for (int64_t i = 0; i < valid_rows(p); ++i) rows[i] = address(corpus_, subset_.rows[p * kPanelRows + i]);
    write_panel(rows, kPanelRows, valid_rows(p), words(), buffers_[thread].data());
    return {buffers_[thread].data(), buffers_[thread].data()};
  }

 private:
  BinaryCorpus corpus_;
  Subset subset_;
  int64_t rows_;
  std::vector<std::vector<uint32_t>> buffers_;
};

// Calls visit(thread, query, scores of 48 rows, p) for every query and panel.
template <typename Visit>
void scan_scores(const uint8_t* queries, int64_t count, int64_t dimensions, int threads, BinaryPanels& panels,
                 const Visit& visit) {
  const std::vector<uint32_t> words = padded_words(queries, count, dimensions);
  const RegisterKernel<DifferingBits> kernel(words.data(), count, panels.words());
  scan(kernel, panels.panels(), threads, panels,
       [&](int thread, int64_t query, const int32_t* distances, const uint32_t*, int64_t p) {
         alignas(64) float scores[kPanelRows];
         const auto bits = static_cast<int32_t>(dimensions);
         for (int i = 0; i < kPanelRows; ++i) scores[i] = static_cast<float>(bits - 2 * distances[i]);
         visit(thread, query, scores, p);
       });
}

float score_pair(const BinaryCorpus& corpus, int64_t row, const uint32_t* query) {
  const uint32_t* x = address(corpus, row);
  int64_t distance = 0;
  for (int64_t w = 0; w < binary_words(corpus.dimensions); ++w)
    distance += __builtin_popcount(x[w * kPanelRows] ^ query[w]);
  return static_cast<float>(corpus.dimensions - 2 * distance);
}

void top_k_block(const uint8_t* queries, int64_t count, const BinaryCorpus& corpus, const Subset& subset,
                 int64_t k, int threads, float* scores, int32_t* rows) {
  BinaryPanels panels(corpus, subset, threads);
  std::vector<BestK> best;
  best.reserve(threads);
  for (int thread = 0; thread < threads; ++thread) best.emplace_back(count, k);
  scan_scores(queries, count, corpus.dimensions, threads, panels,
              [&](int thread, int64_t query, const float* found, int64_t p) {
                best[thread].offer(query, found, p * kPanelRows, panels.valid_rows(p));
              });
  std::vector<Candidate> all;
  for (int64_t q = 0; q < count; ++q) write_best(best, q, k, all, scores + q * k, rows + q * k);
  if (subset.all()) return;
  for (int64_t i = 0; i < count * k; ++i) rows[i] = rows[i] < 0 ? -1 : subset.rows[rows[i]];
}

void ranks_block(const uint8_t* queries, int64_t count, const BinaryCorpus& corpus, const int32_t* rows,
                 const int32_t* offsets, int threads, int32_t* ranks) {
  Relevant relevant{std::vector<float>(offsets[count]), rows, offsets};
  const std::vector<uint32_t> words = padded_words(queries, count, corpus.dimensions);
  for (int64_t q = 0; q < count; ++q) {
    for (int32_t i = offsets[q]; i < offsets[q + 1]; ++i)
      relevant.scores[i] = score_pair(corpus, rows[i], &words[q * binary_words(corpus.dimensions)]);
  }
  std::vector<std::vector<int32_t>> counts(threads, std::vector<int32_t>(offsets[count], 0));
  BinaryPanels panels(corpus, {}, threads);
  scan_scores(queries, count, corpus.dimensions, threads, panels,
              [&](int thread, int64_t query, const float* found, int64_t p) {
                count_better(relevant, query, found, p * kPanelRows, panels.valid_rows(p),
                             counts[thread].data());
              });
  write_ranks(relevant, counts, ranks);
}

}  // namespace

void top_k_binary(const uint8_t* queries, int64_t query_count, const BinaryCorpus& corpus,
                  const Subset& subset, int64_t k, int threads, float* scores, int32_t* rows) {
  const int64_t bytes = binary_bytes(corpus.dimensions);
  for (int64_t begin = 0; begin < query_count; begin += kQueryBlock) {
    const int64_t count = std::min(kQueryBlock, query_count - begin);
    top_k_block(queries + begin * bytes, count, corpus, subset, k, threads, scores + begin * k,
                rows + begin * k);
  }
}

void ranks_binary(const uint8_t* queries, int64_t query_count, const BinaryCorpus& corpus,
                  const int32_t* relevant, const int32_t* offsets, int threads, int32_t* ranks) {
  const int64_t bytes = binary_bytes(corpus.dimensions);
  for (int64_t begin = 0; begin < query_count; begin += kQueryBlock) {
    const int64_t count = std::min(kQueryBlock, query_count - begin);
    ranks_block(queries + begin * bytes, count, corpus, relevant, offsets + begin, threads, ranks);
  }
}

void write_binary(const uint8_t* bits, int64_t first, int64_t count, const BinaryCorpus& corpus,
                  int threads) {
  const int64_t bytes = binary_bytes(corpus.dimensions), words = binary_words(corpus.dimensions);
  const int64_t end = first + count;
#pragma omp parallel for num_threads(threads)
  for (int64_t p = first / kPanelRows; p < (end + kPanelRows - 1) / kPanelRows; ++p) {
    const int64_t begin = std::max(first, p * kPanelRows), stop = std::min(end, (p + 1) * kPanelRows);
    const std::vector<uint32_t> padded =
        padded_words(bits + (begin - first) * bytes, stop - begin, corpus.dimensions);
    const uint32_t* rows[kPanelRows];
    for (int64_t i = 0; i < stop - begin; ++i) rows[i] = &padded[i * words];
    write_panel(rows, 1, stop - begin, words, address(corpus, begin));
  }
}

}  // namespace xlembed::kernels
