#include "kernels/top_k.h"

#include <omp.h>

#include <array>
#include <atomic>
#include <cmath>
#include <utility>

#include "kernels/best_k.h"

namespace xlembed::kernels {
namespace {

constexpr int kVectors = kPanelRows / kLanes;  // registers that hold one dimension of a panel
// Queries whose sums for a whole panel fit in the registers: 24 of 32 with AVX-512, 12 of 16 otherwise.
constexpr int kQueryTile = kLanes == 16 ? 8 : kLanes == 8 ? 2 : 1;
// Queries that are held against a panel while it is in the cache.
constexpr int64_t kQueryBlock = 1024;

// ---- One panel against up to kQueryTile queries ----

// panel (D, 48), queries (D, Q) -> scores (Q, 48). Meanwhile Lines cache lines of `next` are fetched per
// dimension, so that the panel which follows is near when its turn comes.
template <int Q, int Lines>
void score_panel(const float* panel, int64_t dimensions, const float* queries, const float* next,
                 float* scores) {
  Floats sums[Q][kVectors] = {};
  for (int64_t d = 0; d < dimensions; ++d) {
    for (int line = 0; line < Lines; ++line) __builtin_prefetch(next + (d * Lines + line) * 16, 0, 2);
    Floats x[kVectors];
    for (int v = 0; v < kVectors; ++v) x[v] = load(panel + d * kPanelRows + v * kLanes);
    for (int q = 0; q < Q; ++q) {
      const Floats value = broadcast(queries[d * Q + q]);
      for (int v = 0; v < kVectors; ++v) sums[q][v] = fma(x[v], value, sums[q][v]);
    }
  }
  for (int q = 0; q < Q; ++q) {
    for (int v = 0; v < kVectors; ++v) store(scores + q * kPanelRows + v * kLanes, sums[q][v]);
  }
}

using ScorePanel = void (*)(const float*, int64_t, const float*, const float*, float*);

template <int Lines, int... Q>
constexpr std::array<ScorePanel, sizeof...(Q)> score_panels(std::integer_sequence<int, Q...>) {
  return {score_panel<Q + 1, Lines>...};
}

// By lines per dimension - 1, then by queries - 1.
constexpr std::array<std::array<ScorePanel, kQueryTile>, 3> kScorePanel = {
    score_panels<1>(std::make_integer_sequence<int, kQueryTile>()),
    score_panels<2>(std::make_integer_sequence<int, kQueryTile>()),
    score_panels<3>(std::make_integer_sequence<int, kQueryTile>())};

// The same sum for one pair: row `lane` of a panel.
float score_pair(const float* panel, int64_t dimensions, int64_t lane, const float* query) {
  float sum = 0;
  for (int64_t d = 0; d < dimensions; ++d) sum = fma(panel[d * kPanelRows + lane], query[d], sum);
  return sum;
}

// ---- All panels against all queries ----

// Queries (Q, D) as tiles: each (D, kQueryTile), the last one (D, what is left).
class QueryTiles {
 public:
  QueryTiles(const float* queries, int64_t count, int64_t dimensions)
      : count_(count), dimensions_(dimensions), values_(count * dimensions) {
    for (int64_t tile = 0; tile < tiles(); ++tile) {
      float* out = &values_[tile * kQueryTile * dimensions];
      for (int64_t d = 0; d < dimensions; ++d) {
        for (int64_t q = 0; q < size(tile); ++q) {
          out[d * size(tile) + q] = queries[(tile * kQueryTile + q) * dimensions + d];
        }
      }
    }
  }
  int64_t tiles() const { return (count_ + kQueryTile - 1) / kQueryTile; }
  int64_t size(int64_t tile) const { return std::min<int64_t>(kQueryTile, count_ - tile * kQueryTile); }
  const float* tile(int64_t tile) const { return &values_[tile * kQueryTile * dimensions_]; }

 private:
  int64_t count_;
  int64_t dimensions_;
  std::vector<float> values_;
};

// Calls visit(thread, query, scores, first_row, valid_rows) for every query and panel; a thread sees rows in
// ascending order.
template <typename Visit>
void scan(const QueryTiles& queries, const Panels& corpus, int threads, Visit visit) {
  const int64_t panels = corpus.count();
  const int64_t chunk = std::clamp<int64_t>(panels / (threads * 8), 1, 64);
  const int64_t tiles = queries.tiles();
  // A panel has 3 cache lines per dimension: fetched by the first one, two or three tiles of queries.
  const int64_t lines = std::max<int64_t>(1, (3 + tiles - 1) / tiles);
  const int64_t fetches = (3 + lines - 1) / lines;
  std::atomic<int64_t> next_chunk = 0;
#pragma omp parallel num_threads(threads)
  {
    alignas(64) float scores[kQueryTile * kPanelRows];
    const int thread = omp_get_thread_num();
    for (int64_t begin; (begin = next_chunk.fetch_add(chunk)) < panels;) {
      const int64_t end = std::min(begin + chunk, panels);
      for (int64_t p = begin; p < end; ++p) {
        const float* panel = corpus.panel(p);
        const float* following = p + 1 < panels ? corpus.panel(p + 1) : panel;
        const int64_t valid = std::min(kPanelRows, corpus.rows - p * kPanelRows);
        for (int64_t tile = 0; tile < tiles; ++tile) {
          const float* ahead = following + tile % fetches * lines * corpus.dimensions * 16;
          const int64_t size = queries.size(tile);
          kScorePanel[lines - 1][size - 1](panel, corpus.dimensions, queries.tile(tile), ahead, scores);
          for (int64_t q = 0; q < size; ++q) {
            visit(thread, tile * kQueryTile + q, scores + q * kPanelRows, p * kPanelRows, valid);
          }
        }
      }
    }
  }
}

// What a query's relevant rows have, and what was counted for them.
struct Relevant {
  std::vector<float> scores;
  const int32_t* rows;
  const int32_t* offsets;
};

// Adds to counts[i] how many of a panel's rows stand before relevant row i of the query.
void count_better(const Relevant& relevant, int64_t query, const float* scores, int64_t first_row,
                  int64_t valid, int32_t* counts) {
  for (int32_t i = relevant.offsets[query]; i < relevant.offsets[query + 1]; ++i) {
    const Floats own = broadcast(relevant.scores[i]);
    const int64_t earlier = std::clamp<int64_t>(relevant.rows[i] - first_row, 0, valid);
    for (int64_t lane = 0; lane < valid; lane += kLanes) {
      const Floats score = load(scores + lane);
      const uint32_t above = greater(score, own) & first_lanes(valid - lane);
      const uint32_t tied = equal(score, own) & first_lanes(earlier - lane);
      counts[i] += __builtin_popcount(above) + __builtin_popcount(tied);
    }
  }
}

void top_k_block(const float* queries, int64_t query_count, const Panels& corpus, int64_t k, int threads,
                 float* scores, int32_t* rows) {
  const QueryTiles tiles(queries, query_count, corpus.dimensions);
  std::vector<BestK> best;
  for (int thread = 0; thread < threads; ++thread) best.emplace_back(query_count, k);
  scan(tiles, corpus, threads,
       [&](int thread, int64_t query, const float* panel_scores, int64_t first_row, int64_t valid) {
         best[thread].offer(query, panel_scores, first_row, valid);
       });
  std::vector<Candidate> all;
  for (int64_t q = 0; q < query_count; ++q) write_best(best, q, k, all, scores + q * k, rows + q * k);
}

void ranks_block(const float* queries, int64_t query_count, const Panels& corpus,
                 const int32_t* relevant_rows, const int32_t* offsets, int threads, int32_t* ranks) {
  const int64_t total = offsets[query_count];
  Relevant relevant{std::vector<float>(total), relevant_rows, offsets};
#pragma omp parallel for num_threads(threads)
  for (int64_t q = 0; q < query_count; ++q) {
    for (int32_t i = offsets[q]; i < offsets[q + 1]; ++i) {
      relevant.scores[i] = score_pair(corpus.panel(relevant_rows[i] / kPanelRows), corpus.dimensions,
                                      relevant_rows[i] % kPanelRows, queries + q * corpus.dimensions);
    }
  }
  std::vector<std::vector<int32_t>> counts(threads, std::vector<int32_t>(total, 0));
  const QueryTiles tiles(queries, query_count, corpus.dimensions);
  scan(tiles, corpus, threads,
       [&](int thread, int64_t query, const float* panel_scores, int64_t first_row, int64_t valid) {
         count_better(relevant, query, panel_scores, first_row, valid, counts[thread].data());
       });
  for (int64_t i = offsets[0]; i < total; ++i) {
    ranks[i] = 1;
    for (const auto& part : counts) ranks[i] += part[i];
  }
}

}  // namespace

void write_panel_rows(const float* vectors, int64_t count, int64_t dimensions, int64_t first_lane,
                      float* panel) {
  constexpr int64_t kStep = 16;  // dimensions whose 16 x 48 values stay in the first cache level
  for (int64_t begin = 0; begin < dimensions; begin += kStep) {
    const int64_t end = std::min(begin + kStep, dimensions);
    for (int64_t row = 0; row < count; ++row) {
      for (int64_t d = begin; d < end; ++d) {
        panel[d * kPanelRows + first_lane + row] = vectors[row * dimensions + d];
      }
    }
  }
}

void read_panel_row(const float* panel, int64_t dimensions, int64_t lane, float* vector) {
  for (int64_t d = 0; d < dimensions; ++d) vector[d] = panel[d * kPanelRows + lane];
}

int64_t first_unusable_row(const float* vectors, int64_t count, int64_t dimensions) {
  for (int64_t row = 0; row < count; ++row) {
    float partial[16] = {};
    for (int64_t d = 0; d < dimensions; ++d) {
      const float value = vectors[row * dimensions + d];
      partial[d % 16] += value * value;
    }
    float squared_length = 0;
    for (const float part : partial) squared_length += part;
    if (!std::isfinite(squared_length)) return row;
  }
  return count;
}

void top_k(const float* queries, int64_t query_count, const Panels& corpus, int64_t k, int threads,
           float* scores, int32_t* rows) {
  for (int64_t begin = 0; begin < query_count; begin += kQueryBlock) {
    const int64_t count = std::min(kQueryBlock, query_count - begin);
    top_k_block(queries + begin * corpus.dimensions, count, corpus, k, threads, scores + begin * k,
                rows + begin * k);
  }
}

void ranks(const float* queries, int64_t query_count, const Panels& corpus, const int32_t* relevant,
           const int32_t* offsets, int threads, int32_t* ranks) {
  for (int64_t begin = 0; begin < query_count; begin += kQueryBlock) {
    const int64_t count = std::min(kQueryBlock, query_count - begin);
    ranks_block(queries + begin * corpus.dimensions, count, corpus, relevant, offsets + begin, threads,
                ranks);
  }
}

}  // namespace xlembed::kernels
