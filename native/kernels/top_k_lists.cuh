// The k best rows of every query, collected while their scores are computed.
//
// A search runs over growing slabs of rows. A row that beats its query's threshold (the k-th score of the
// slabs before) is appended to the query's list inside the scoring kernel: scores are never written to
// memory. After each slab a block per query sorts the list and keeps k. The order in which threads append
// does not matter: a list's order is total. A slab that brings more than a list holds is noticed at the end,
// and the search runs again over slabs that no list can overflow.
#pragma once

#include <algorithm>

#include "kernels/launch.cuh"
#include "kernels/reduce.cuh"
#include "kernels/top_k.h"

namespace xlembed::kernels::cuda {
namespace {

using Key = unsigned long long;

constexpr int list_capacity = static_cast<int>(top_k_list);
constexpr int64_t first_slab = 4032;  // rows; a multiple of 48

// Ascending keys are descending scores, then ascending rows.
__device__ Key key_of(float score, int64_t row) {
  const unsigned bits = __float_as_uint(score + 0.0f);  // -0 and 0 are one score
  const unsigned ascending = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return static_cast<Key>(~ascending) << 32 | static_cast<unsigned>(row);
}
__device__ float score_of(Key key) {
  const unsigned ascending = ~static_cast<unsigned>(key >> 32);
  return __uint_as_float(ascending & 0x80000000u ? ascending & 0x7FFFFFFFu : ~ascending);
}

// The score of top_k.h for one pair, by a warp of a block of so many; x(d) is dimension d of the row. The
// lanes bring a chain's numbers to shared memory together, all under way before the first is needed: one
// thread alone would wait for memory again and again.
template <int warps, typename Row>
__device__ float score_pair(const Row& x, const float* query, int64_t D) {
  constexpr int loads = static_cast<int>(kChain) / warp_lanes;
  alignas(16) __shared__ float2 all_pairs[warps][kChain];
  float2* const pairs = all_pairs[threadIdx.x / warp_lanes];
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes;
  float score = 0;
  for (int64_t begin = 0; begin < D; begin += kChain) {
    const int count = static_cast<int>(min(D - begin, kChain));
    float2 own[loads] = {};
#pragma unroll
    for (int i = 0; i < loads; ++i) {
      const int d = i * warp_lanes + lane;
      if (d < count) own[i] = {x(begin + d), __ldg(query + begin + d)};
    }
#pragma unroll
    for (int i = 0; i < loads; ++i) pairs[i * warp_lanes + lane] = own[i];
    __syncwarp();
    float sum = 0;
#pragma unroll 8
    for (int d = 0; d < count; ++d) sum = fmaf(pairs[d].x, pairs[d].y, sum);
    __syncwarp();
    score = begin == 0 ? sum : score + sum;
  }
  return score;
}

// A row of float32 panels.
struct PanelRow {
  const float* x;
  __device__ float operator()(int64_t d) const { return __ldg(x + d * kPanelRows); }
};

// A slab g - 1 times as long as all before it brings (g - 1) k rows above their threshold, in a random order:
// half of what a list has left.
int64_t slab_growth(int64_t k) { return std::clamp<int64_t>(1 + (list_capacity - k) / (2 * k), 2, 8); }

constexpr int plain_threads = 256;

// Where scores go that may belong to the best.
struct Collect {
  const float* thresholds;  // (Q)
  unsigned* counts;         // (Q) may exceed the capacity: the list is then incomplete
  Key* lists;               // (Q, list_capacity)

  // A new place in a query's list; beyond list_capacity it is none. Where there may be several, all are asked
  // for before the first is needed.
  __device__ unsigned place(int64_t query) const { return atomicAdd(&counts[query], 1u); }
  __device__ void put(int64_t query, unsigned place, int64_t row, float score) const {
    if (place < list_capacity) lists[query * list_capacity + place] = key_of(score, row);
  }

  // What beats the threshold: `width` neighbouring lanes hold rows of the same query and call together.
  template <int width, int count>
  __device__ void operator()(int64_t query, const int64_t (&rows)[count], const float (&scores)[count],
                             int64_t end) const {
    const float threshold = thresholds[query];
    unsigned places[count];
#pragma unroll
    for (int i = 0; i < count; ++i) {
      places[i] = rows[i] < end && scores[i] > threshold ? place(query) : list_capacity;
    }
#pragma unroll
    for (int i = 0; i < count; ++i) put(query, places[i], rows[i], scores[i]);
  }
};

// The lists of Q queries, in memory of top_k_list_bytes(Q).
struct Lists {
  Lists(void* memory, int64_t queries)
      : keys(static_cast<Key*>(memory)),
        thresholds(reinterpret_cast<float*>(keys + queries * list_capacity)),
        counts(reinterpret_cast<unsigned*>(thresholds + queries)),
        overflowed(reinterpret_cast<int*>(counts + queries)) {}
  Collect sink() const { return {thresholds, counts, keys}; }

  Key* keys;
  float* thresholds;
  unsigned* counts;
  int* overflowed;
};

// A block of threads brings a list of `count` entries (or what of them it holds) to shared memory, in order;
// returns how many.
constexpr int sort_threads = 512;

__device__ int sort_list(const Key* list, unsigned count, Key* keys) {
  const int held = static_cast<int>(min(count, static_cast<unsigned>(list_capacity)));
  int size = 1;
  while (size < held) size *= 2;
  for (int i = threadIdx.x; i < size; i += sort_threads) keys[i] = i < held ? list[i] : ~Key{0};
  for (int width = 2; width <= size; width *= 2) {
    for (int distance = width / 2; distance > 0; distance /= 2) {
      __syncthreads();
      for (int i = threadIdx.x; i < size / 2; i += sort_threads) {
        const int low = i / distance * distance * 2 + i % distance, high = low + distance;
        const Key a = keys[low], b = keys[high];
        if ((a > b) == ((low & width) == 0)) {
          keys[low] = b;
          keys[high] = a;
        }
      }
    }
  }
  __syncthreads();
  return held;
}

// A block to a query: keeps the k best. `overflowed` is raised for an incomplete list.
__global__ void __launch_bounds__(sort_threads)
    keep_best(int64_t k, float* thresholds, unsigned* counts, Key* lists, int* overflowed) {
  Key* keys = dynamic_shared<Key>();
  const int64_t query = blockIdx.x;
  Key* list = lists + query * list_capacity;
  const unsigned count = counts[query];
  const int held = sort_list(list, count, keys);
  const int kept = static_cast<int>(min(static_cast<int64_t>(held), k));
  for (int i = threadIdx.x; i < kept; i += sort_threads) list[i] = keys[i];
  if (threadIdx.x != 0) return;
  if (count > list_capacity) atomicMax(overflowed, 1);  // other blocks may, too
  counts[query] = kept;
  if (kept == k) thresholds[query] = score_of(keys[k - 1]);
}

__global__ void start_lists(int64_t queries, float* thresholds, unsigned* counts, int* overflowed) {
  const int64_t q = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (q == 0) *overflowed = 0;
  if (q >= queries) return;
  thresholds[q] = -INFINITY;
  counts[q] = 0;
}

__global__ void write_lists(int64_t queries, int64_t k, const unsigned* counts, const Key* lists,
                            float* scores, int32_t* rows) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= queries * k) return;
  const int64_t query = at / k, i = at % k;
  const bool found = i < counts[query];
  const Key key = found ? lists[query * list_capacity + i] : 0;
  scores[at] = found ? score_of(key) : -INFINITY;
  rows[at] = found ? static_cast<int32_t>(key & 0xFFFFFFFFu) : -1;
}

// One search over slabs that begin with `slab` rows and grow; returns whether a list overflowed.
// score(first, end, sink) hands the scores of all queries with the rows [first, end) to the sink.
template <typename Score>
bool search_slabs(const Lists& lists, int64_t queries, int64_t rows, int64_t k, int64_t slab, int64_t growth,
                  const Score& score, CudaStream stream) {
  constexpr int sort_bytes = list_capacity * sizeof(Key);
  allow_shared_bytes(keep_best, sort_bytes);
  launch(start_lists, blocks_for(queries, plain_threads), plain_threads, 0, stream, queries, lists.thresholds,
         lists.counts, lists.overflowed);
  for (int64_t first = 0; first < rows;) {
    const int64_t end = std::min(rows, first + slab);
    score(first, end, lists.sink());
    launch(keep_best, static_cast<unsigned>(queries), sort_threads, sort_bytes, stream, k, lists.thresholds,
           lists.counts, lists.keys, lists.overflowed);
    first = end;
    slab = growth == 1 ? slab : end * (growth - 1);
  }
  int overflowed = 0;
  check(cudaMemcpyAsync(&overflowed, lists.overflowed, sizeof overflowed, cudaMemcpyDeviceToHost, stream));
  check(cudaStreamSynchronize(stream));
  return overflowed != 0;
}

// scores (Q, k), found (Q, k)
template <typename Score>
void search_lists(const Lists& lists, int64_t queries, int64_t rows, int64_t k, const Score& score,
                  float* scores, int32_t* found, CudaStream stream) {
  if (search_slabs(lists, queries, rows, k, first_slab, slab_growth(k), score, stream)) {
    const int64_t safe_slab = (list_capacity - k) / kPanelRows * kPanelRows;
    search_slabs(lists, queries, rows, k, safe_slab, 1, score, stream);
  }
  launch(write_lists, blocks_for(queries * k, plain_threads), plain_threads, 0, stream, queries, k,
         lists.counts, lists.keys, scores, found);
}

}  // namespace
}  // namespace xlembed::kernels::cuda
