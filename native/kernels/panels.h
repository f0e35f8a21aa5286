// Panels of 48 rows of 32-bit words (a float32, two bfloat16, four int8), transposed to (W, 48), and the scan
// of many of them against many queries. Shared by the searches, whose arithmetic on a word differs.
#pragma once

#include <omp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/lanes.h"
#include "kernels/top_k.h"
#include "kernels/transpose.h"

namespace xlembed::kernels {

inline constexpr int kVectors = kPanelRows / kLanes;  // registers that hold one word of a panel's rows
// Registers that hold sums: 24 of 32 with AVX-512, 12 of 16 otherwise.
inline constexpr int kSumRegisters = kLanes == 16 ? 24 : 12;
// Queries that a panel is multiplied by at a time. Without AVX-512 two registers of rows are held against six
// queries, so that a word from the second cache level serves six products.
inline constexpr int kQueryTile = kLanes == 16 ? 8 : 6;
constexpr int vectors_at_once(int queries) { return queries * kVectors <= kSumRegisters ? kVectors : 2; }
inline constexpr int64_t kWordsPerCacheLine = 16, kLinesPerWord = kPanelRows / kWordsPerCacheLine;

// Words after which a sum begins anew: where an Arithmetic names none, never.
template <typename Arithmetic>
constexpr int64_t chain_words() {
  if constexpr (requires { Arithmetic::kChainWords; }) return Arithmetic::kChainWords;
  return std::numeric_limits<int64_t>::max();
}

// Memory fetched while rows are multiplied: some cache lines of it every so many words.
struct Prefetch {
  const char* next;
  int64_t every;
  int64_t wait = 1;  // words until then
};
inline constexpr int64_t kCacheLine = kWordsPerCacheLine * 4;  // bytes

// sums (Q, 48), their first lanes, = the first lanes of rows (W, 48) times the queries (W, Q), or are added
// to. Meanwhile Lines cache lines are fetched at a time.
//   Arithmetic: Word; Sums, a register of them; load_words(const Word*), broadcast_word(Word),
//   multiply_add(words, word, sums), store_sums(Sum*, Sums); for sums in chains: kChainWords, add_sums(const
//   Sum*, Sums)
template <typename Arithmetic, int Q, int Lines>
void score_rows(const typename Arithmetic::Word* rows, int64_t words,
                const typename Arithmetic::Word* queries, bool add, Prefetch& prefetch,
                typename Arithmetic::Sum* scores) {
  constexpr int V = vectors_at_once(Q);
  Prefetch ahead = prefetch;
  typename Arithmetic::Sums sums[Q][V];
  XLEMBED_UNROLL
  for (int q = 0; q < Q; ++q) {
    XLEMBED_UNROLL
    for (int v = 0; v < V; ++v) sums[q][v] = typename Arithmetic::Sums{};
  }
  for (int64_t w = 0; w < words; ++w) {
    if (--ahead.wait == 0) {
      for (int line = 0; line < Lines; ++line) __builtin_prefetch(ahead.next + line * kCacheLine, 0, 2);
      ahead.next += Lines * kCacheLine;
      ahead.wait = ahead.every;
    }
    typename Arithmetic::Words x[V];
    for (int v = 0; v < V; ++v) x[v] = Arithmetic::load_words(rows + w * kPanelRows + v * kLanes);
    for (int q = 0; q < Q; ++q) {
      const auto value = Arithmetic::broadcast_word(queries[w * Q + q]);
      for (int v = 0; v < V; ++v) sums[q][v] = Arithmetic::multiply_add(x[v], value, sums[q][v]);
    }
  }
  XLEMBED_UNROLL
  for (int q = 0; q < Q; ++q) {
    XLEMBED_UNROLL
    for (int v = 0; v < V; ++v) {
      typename Arithmetic::Sum* out = scores + q * kPanelRows + v * kLanes;
      if constexpr (requires { Arithmetic::kChainWords; }) {
        if (add) sums[q][v] = Arithmetic::add_sums(out, sums[q][v]);
      }
      Arithmetic::store_sums(out, sums[q][v]);
    }
  }
  prefetch = ahead;
}

template <typename Arithmetic>
using ScoreRows = void (*)(const typename Arithmetic::Word*, int64_t, const typename Arithmetic::Word*, bool,
                           Prefetch&, typename Arithmetic::Sum*);

template <typename Arithmetic, int Lines, int... Q>
constexpr std::array<ScoreRows<Arithmetic>, sizeof...(Q)> by_queries(std::integer_sequence<int, Q...>) {
  return {score_rows<Arithmetic, Q + 1, Lines>...};
}

// By cache lines at a time - 1, then by queries - 1.
template <typename Arithmetic>
inline constexpr std::array<std::array<ScoreRows<Arithmetic>, kQueryTile>, kLinesPerWord> kScoreRows = {
    by_queries<Arithmetic, 1>(std::make_integer_sequence<int, kQueryTile>()),
    by_queries<Arithmetic, 2>(std::make_integer_sequence<int, kQueryTile>()),
    by_queries<Arithmetic, 3>(std::make_integer_sequence<int, kQueryTile>())};

// Scores panels with sums held in vector registers. Queries (Q, W) become tiles of nearly equal sizes (W, at
// most kQueryTile), and these groups: a few registers' width of a panel, as deep as one chain, stays in the
// first cache level while a group's tiles pass. Meanwhile the panel which comes next is fetched, evenly: in
// bursts it would have to be waited for, since memory is slower than the caches take it.
template <typename Arithmetic>
class RegisterKernel {
 public:
  using Word = typename Arithmetic::Word;
  using Sum = typename Arithmetic::Sum;
  static constexpr int64_t kGroupTiles = 16;
  static constexpr int64_t kGroupQueries = kGroupTiles * kQueryTile;

  // queries (Q, W); of what comes next, `panels_ahead` times a panel's words are fetched.
  RegisterKernel(const Word* queries, int64_t count, int64_t words, int64_t panels_ahead = 1)
      : count_(count), words_(words), fetched_(words * kLinesPerWord * panels_ahead), values_(count * words) {
    for (int64_t tile = 0; tile < tiles(); ++tile) {
      if (tile % kGroupTiles == 0) steps_before_.push_back(steps_);
      const int64_t begin = tile_begin(tile), size = tile_begin(tile + 1) - begin;
      steps_ += words * parts(size);
      Word* out = &values_[begin * words];
      for (int64_t w = 0; w < words; ++w) {
        for (int64_t q = 0; q < size; ++q) out[w * size + q] = queries[(begin + q) * words + w];
      }
    }
  }
  int64_t groups() const { return (tiles() + kGroupTiles - 1) / kGroupTiles; }
  int64_t first(int64_t group) const { return tile_begin(std::min(group * kGroupTiles, tiles())); }
  int64_t size(int64_t group) const { return first(group + 1) - first(group); }
  void begin_thread() const {}
  void end_thread() const {}

  // sums (size(group), 48); `next` is fetched by all groups together
  void score(const Word* panel, const Word* next, int64_t group, Sum* sums) const {
    const int64_t lines = std::min(kLinesPerWord, (fetched_ + steps_ - 1) / steps_);
    const int64_t every = std::max<int64_t>(1, steps_ / fetched_);
    const int64_t skipped = steps_before_[group] / every * lines * kCacheLine;
    Prefetch prefetch{reinterpret_cast<const char*>(next) + skipped, every};
    const int64_t begin = group * kGroupTiles, end = std::min(begin + kGroupTiles, tiles());
    const auto& score_tile = kScoreRows<Arithmetic>[lines - 1];
    // Where there are several tiles, all are of sizes that take as many parts.
    const int64_t count = parts(tile_begin(begin + 1) - tile_begin(begin)), width = kPanelRows / count;
    for (int64_t lane = 0; lane < kPanelRows; lane += width) {
      for (int64_t word = 0; word < words_; word += chain_words<Arithmetic>()) {
        const Word* rows = panel + word * kPanelRows + lane;
        const int64_t some = std::min(words_ - word, chain_words<Arithmetic>());
        for (int64_t tile = begin; tile < end; ++tile) {
          const int64_t query = tile_begin(tile), queries = tile_begin(tile + 1) - query;
          score_tile[queries - 1](rows, some, &values_[query * words_ + word * queries], word > 0, prefetch,
                                  sums + (query - tile_begin(begin)) * kPanelRows + lane);
        }
      }
    }
  }

 private:
  // Passes over a panel.
  static int64_t parts(int64_t queries) { return kVectors / vectors_at_once(static_cast<int>(queries)); }
  int64_t tiles() const { return (count_ + kQueryTile - 1) / kQueryTile; }
  int64_t tile_begin(int64_t tile) const { return tile * count_ / tiles(); }

  int64_t count_;
  int64_t words_;
  int64_t fetched_;  // cache lines
  std::vector<Word> values_;
  int64_t steps_ = 0;                  // words of all tiles, once for each time that a tile reads the panel
  std::vector<int64_t> steps_before_;  // by group
};

// A panel, and memory that is wanted next: it is fetched meanwhile, and never needs to be there. A panel
// without words ends the scan, after those that other threads have begun.
template <typename Word>
struct PanelAndNext {
  const Word* words;
  const Word* next;
};

// Calls visit(thread, query, sums, panel, p) for every query of the kernel and each of the panels p = 0 ..
// panels - 1, which panel(p, thread) gives; a thread sees panels in ascending order.
template <typename Kernel, typename Panel, typename Visit>
void scan(const Kernel& kernel, int64_t panels, int threads, Panel& panel, const Visit& visit) {
  const int64_t chunk = std::clamp<int64_t>(panels / (threads * 8), 1, 64);
  std::atomic<int64_t> next_chunk = 0;
#pragma omp parallel num_threads(threads)
  {
    alignas(64) typename Kernel::Sum sums[Kernel::kGroupQueries * kPanelRows];
    const int thread = omp_get_thread_num();
    kernel.begin_thread();
    for (int64_t begin; (begin = next_chunk.fetch_add(chunk)) < panels;) {
      for (int64_t p = begin; p < std::min(begin + chunk, panels); ++p) {
        const PanelAndNext<typename Kernel::Word> current = panel(p, thread);
        if (current.words == nullptr) {
          next_chunk = panels;
          break;
        }
        for (int64_t group = 0; group < kernel.groups(); ++group) {
          kernel.score(current.words, current.next, group, sums);
          const int64_t first = kernel.first(group), size = kernel.size(group);
          for (int64_t q = 0; q < size; ++q)
            visit(thread, first + q, sums + q * kPanelRows, current.words, p);
        }
      }
    }
    kernel.end_thread();
  }
}

// Copies `count` vectors of `words` words, `stride` words apart from one element to the next, to as many
// lanes of a panel (W, 48), the first of them at `panel`.
template <typename Word>
void write_panel(const Word* const* vectors, int64_t stride, int64_t count, int64_t words, Word* panel) {
  static_assert(sizeof(Word) == sizeof(uint32_t));
  int64_t row = 0, squares = stride == 1 ? words / kLanes * kLanes : 0;
  for (; row + kLanes <= count && squares > 0; row += kLanes) {
    const void* rows[kLanes];
    std::copy_n(vectors + row, kLanes, rows);
    for (int64_t w = 0; w < squares; w += kLanes) {
      transpose_square(rows, w, reinterpret_cast<uint32_t*>(panel + w * kPanelRows + row), kPanelRows);
    }
    for (int64_t lane = row; lane < row + kLanes; ++lane) {
      for (int64_t w = squares; w < words; ++w) panel[w * kPanelRows + lane] = vectors[lane][w];
    }
  }
  constexpr int64_t kStep = 16;  // words whose 16 x 48 values stay in the first cache level
  for (int64_t begin = 0; begin < words; begin += kStep) {
    const int64_t end = std::min(begin + kStep, words);
    for (int64_t lane = row; lane < count; ++lane) {
      for (int64_t w = begin; w < end; ++w) panel[w * kPanelRows + lane] = vectors[lane][w * stride];
    }
  }
}

}  // namespace xlembed::kernels
