#include <cfloat>
#include <vector>

#include "kernels/narrow_tiles.cuh"
#include "kernels/narrow_tiles_sm90.cuh"
#include "kernels/narrow_vectors.cuh"
#include "kernels/top_k_narrow.h"

// The first pass appends to a query's list, inside the scoring kernel, what is not below its threshold: (the
// k-th best narrow score of the slabs before) - 2m. The second pass gives what is left its float32 scores.
// One query is a matter of reading the corpus; more are products on the tensor cores.
namespace xlembed::kernels::cuda {
namespace {

// ---- Queries in narrow numbers ----

struct Bounds {
  float error, length;  // over the rows: the largest |x - narrow(x)| and |narrow(x)|
};

// As on the CPU, except that tensor cores cut off where a sum rounds: twice the rounding.
__device__ float margin(double length, const Distance& query, const Bounds& bounds, int64_t D) {
  const double furthest = static_cast<double>(bounds.length) + bounds.error;
  const double approximation = length * bounds.error + query.error * bounds.length;
  const double rounding = static_cast<double>(8 * D + 128) * (FLT_EPSILON / 2) * length * furthest;
  const double flushing = static_cast<double>(D) * FLT_MIN * (length + furthest + 1);
  return static_cast<float>(2 * 1.001 * (approximation + rounding + flushing));
}

// Queries that only fill up a tile are zeros and find nothing.
__global__ void narrow_queries(const float* queries, int64_t count, int64_t D, const float* bounds,
                               bfloat16* out, float* margins, float* thresholds, unsigned* counts,
                               int* given_up) {
  const int64_t q = row_of_warp();
  const bool exists = q < count;
  const float* query = queries + (exists ? q : 0) * D;
  const int64_t width = narrow_width(D);
  const Distance distance = narrow_row(query, exists ? D : 0, width, out + q * width);
  double squares = 0;
  for (int64_t d = threadIdx.x; d < D; d += warp_lanes) squares += static_cast<double>(query[d]) * query[d];
  const double length = sqrt(warp_sum(squares));
  if (threadIdx.x != 0) return;
  margins[q] = margin(length, distance, {bounds[0], bounds[1]}, D);
  thresholds[q] = exists ? -INFINITY : INFINITY;
  counts[q] = 0;
  given_up[q] = 0;
}

// ---- First pass ----

// The products of eight pairs of bfloat16 are exact in float32.
__device__ float add_products(const uint4& x, const uint4& y, float sum) {
  const uint32_t a[4] = {x.x, x.y, x.z, x.w}, b[4] = {y.x, y.y, y.z, y.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    sum = fmaf(__uint_as_float(a[i] << 16), __uint_as_float(b[i] << 16), sum);
    sum = fmaf(__uint_as_float(a[i] & 0xFFFF0000u), __uint_as_float(b[i] & 0xFFFF0000u), sum);
  }
  return sum;
}

// The same of sixteen 8-bit integers with two times eight bfloat16.
__device__ float add_products(const uint4& x, const uint4 (&y)[2], float sum) {
  const uint32_t a[4] = {x.x, x.y, x.z, x.w};
  const uint32_t b[8] = {y[0].x, y[0].y, y[0].z, y[0].w, y[1].x, y[1].y, y[1].z, y[1].w};
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    // An unsigned byte as the last bits of 2^23, where a float's last bit is one.
    const uint32_t bits = __byte_perm(a[i / 4] ^ 0x80808080u, 0x4B000000u, 0x7650u + i % 4);
    const float value = __uint_as_float(bits) - (8388608.0f + 128.0f);
    const uint32_t pair = b[i / 2];
    sum = fmaf(value, __uint_as_float(i % 2 ? pair & 0xFFFF0000u : pair << 16), sum);
  }
  return sum;
}

// Rows as the scan of one query reads them: 16 bytes of a row at a time, against as many numbers of the
// query.
struct Bfloat16Scan {
  NarrowRows rows;
  int64_t first, end;

  __device__ int64_t row_bytes() const { return rows.width * 2; }
  __device__ int64_t pieces() const { return rows.width / 8; }
  __device__ const char* at(int64_t row) const { return reinterpret_cast<const char*>(rows.at(row)); }
  __device__ uint4 query_piece(const uint4* query, int64_t c) const { return __ldg(query + c); }
  __device__ float scale(const char*) const { return 1; }
};
// Places behind the query's own are zeros: those of queries that only fill up a tile.
struct Int8Scan {
  StoredRows rows;
  int64_t first, end;

  struct Piece {
    uint4 values[2];
  };

  __device__ int64_t row_bytes() const { return rows.row_bytes; }
  __device__ int64_t pieces() const { return rows.row_bytes / 16 - 1; }
  __device__ const char* at(int64_t row) const { return rows.at(row); }
  __device__ Piece query_piece(const uint4* query, int64_t c) const {
    return {{__ldg(query + 2 * c), __ldg(query + 2 * c + 1)}};
  }
  __device__ float scale(const char* row) const {
    return *reinterpret_cast<const float*>(row + rows.row_bytes - 16);
  }
};
__device__ float add_products(const uint4& x, const Int8Scan::Piece& y, float sum) {
  return add_products(x, y.values, sum);
}

// One query: a warp to four rows, 16 bytes a lane, eight loads in flight.
constexpr int one_threads = 256;
constexpr int one_rows = 4;

template <typename Scan>
__global__ void __launch_bounds__(one_threads) score_one(Scan scan, const bfloat16* query, Collect sink) {
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes;
  const int64_t warp = (static_cast<int64_t>(blockIdx.x) * one_threads + threadIdx.x) / warp_lanes;
  const int64_t first = scan.first + warp * one_rows;
  if (first >= scan.end) return;
  const uint4* q = reinterpret_cast<const uint4*>(query);
  const char* x[one_rows];  // four rows lie in one block of memory
#pragma unroll
  for (int r = 0; r < one_rows; ++r) {
    x[r] = scan.at(first) + min(static_cast<int64_t>(r), scan.end - 1 - first) * scan.row_bytes();
  }
  float sums[one_rows] = {};
#pragma unroll 2
  for (int64_t c = lane; c < scan.pieces(); c += warp_lanes) {
    const auto own = scan.query_piece(q, c);
    uint4 values[one_rows];
#pragma unroll
    for (int r = 0; r < one_rows; ++r) values[r] = __ldg(reinterpret_cast<const uint4*>(x[r]) + c);
#pragma unroll
    for (int r = 0; r < one_rows; ++r) sums[r] = add_products(values[r], own, sums[r]);
  }
  float score = 0;
#pragma unroll
  for (int r = 0; r < one_rows; ++r) {
    const float sum = warp_sum(sums[r]);
    if (lane == r) score = scan.scale(x[r]) * sum;
  }
  if (lane < one_rows && first + lane < scan.end && score >= sink.thresholds[0])
    sink.put(0, sink.place(0), first + lane, score);
}

// ---- Between slabs: a block to a query keeps what is within 2m of the k-th best ----

__global__ void __launch_bounds__(sort_threads) keep_near(int64_t k, const float* margins, float* thresholds,
                                                          unsigned* counts, Key* lists, int* given_up) {
  Key* keys = dynamic_shared<Key>();
  __shared__ int kept;
  const int64_t query = blockIdx.x;
  Key* list = lists + query * list_capacity;
  const unsigned count = counts[query];
  const int held = sort_list(list, count, keys);
  const float threshold = held >= k ? score_of(keys[k - 1]) - margins[query] : -INFINITY;
  if (threadIdx.x == 0) kept = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < held; i += sort_threads) {
    if (score_of(keys[i]) < threshold) continue;
    list[i] = keys[i];
    if (i + 1 == held || score_of(keys[i + 1]) < threshold) kept = i + 1;  // one thread alone
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  if (count > list_capacity || kept > list_capacity * 3 / 4) given_up[query] = 1;
  thresholds[query] = given_up[query] ? INFINITY : threshold;
  counts[query] = given_up[query] ? 0 : kept;
}

// ---- Second pass: a warp to a row, its score that of top_k.h ----

constexpr int rescore_warps = 4;  // of a block

// Blocks of one query: some two rows for each of the k are within the margin.
unsigned rescore_blocks(int64_t k) {
  return static_cast<unsigned>(std::clamp<int64_t>(2 * k / rescore_warps, 1, 64));
}

// Where the second pass finds a row: in float32 panels, or in the numbers that are kept.
struct PanelVectors {
  const float* const* blocks;
  int64_t memory_rows;

  __device__ float score(int64_t row, const float* query, int64_t D) const {
    const int64_t at = row % memory_rows;
    const float* x = blocks[row / memory_rows] + at / kPanelRows * kPanelRows * D + at % kPanelRows;
    return score_pair<rescore_warps>(PanelRow{x}, query, D);
  }
};
struct StoredRow {
  const StoredRows& rows;
  const char* x;
  __device__ float operator()(int64_t d) const { return rows.value(x, d); }
};
struct StoredVectors {
  StoredRows rows;

  __device__ float score(int64_t row, const float* query, int64_t D) const {
    return score_pair<rescore_warps>(StoredRow{rows, rows.at(row)}, query, D);
  }
};

template <typename Vectors>
__global__ void __launch_bounds__(rescore_warps* warp_lanes)
    rescore(const float* queries, int64_t D, Vectors vectors, const unsigned* counts, Key* lists) {
  const int64_t query = blockIdx.y;
  const float* q = queries + query * D;
  Key* list = lists + query * list_capacity;
  const unsigned warp = blockIdx.x * rescore_warps + threadIdx.x / warp_lanes;
  for (unsigned i = warp; i < counts[query]; i += gridDim.x * rescore_warps) {
    const auto row = static_cast<int64_t>(list[i] & 0xFFFFFFFFu);
    const float score = vectors.score(row, q, D);
    if (threadIdx.x % warp_lanes == 0) list[i] = key_of(score, row);
  }
}

// ---- Around the kernels ----

constexpr int sort_bytes = list_capacity * sizeof(Key);

// The pieces of the caller's workspace.
struct Pieces {
  Pieces(void* workspace, int64_t padded, int64_t D)
      : lists(workspace, padded),
        queries(reinterpret_cast<bfloat16*>(static_cast<char*>(workspace) + top_k_list_bytes(padded))),
        tiled_queries(queries + padded * narrow_width(D)),
        margins(reinterpret_cast<float*>(reinterpret_cast<char*>(tiled_queries) +
                                         tiled_query_bytes(padded, narrow_width(D)))),
        given_up(reinterpret_cast<int*>(margins + padded)) {}
  static int64_t bytes(int64_t padded, int64_t D) {
    const int64_t width = narrow_width(D);
    return top_k_list_bytes(padded) + padded * (width * 2 + 8) + tiled_query_bytes(padded, width);
  }
  Lists lists;
  bfloat16* queries;
  bfloat16* tiled_queries;  // those that the warpgroups take
  float* margins;
  int* given_up;
};

// As slab_growth, with room for the rows within the margin: some two for each of the k.
int64_t narrow_growth(int64_t k) { return std::clamp<int64_t>(1 + (list_capacity - 3 * k) / (6 * k), 2, 8); }

template <typename Scan>
void scan_slab(const Scan& scan, const Pieces& pieces, CudaStream stream) {
  const unsigned blocks = blocks_for(scan.end - scan.first, one_threads / warp_lanes * one_rows);
  launch(score_one<Scan>, blocks, one_threads, 0, stream, scan, pieces.queries, pieces.lists.sink());
}

void score_slab(const NarrowRows& rows, const Pieces& pieces, int64_t query_count, CudaStream stream) {
  const Collect sink = pieces.lists.sink();
  if (query_count == 1) return scan_slab(Bfloat16Scan{rows, rows.first, rows.end}, pieces, stream);
  const int64_t padded = top_k_padded_queries(query_count), by_groups = queries_by_warpgroups(padded);
  if (by_groups > 0) score_by_warpgroups(rows, pieces.tiled_queries, by_groups, sink, stream);
  if (padded > by_groups) {
    score_by_warps(rows, pieces.queries, by_groups / tile, (padded - by_groups) / tile, sink, stream);
  }
}

// Calls search(first query, how many) for each run of queries that were given up; returns how many they are.
template <typename Search>
int64_t search_given_up(const std::vector<int>& given_up, const Search& search) {
  const auto count = static_cast<int64_t>(given_up.size());
  int64_t total = 0;
  for (int64_t q = 0; q < count;) {
    int64_t end = q;
    while (end < count && given_up[end]) ++end;
    if (end > q) search(q, end - q);
    total += end - q;
    q = end + 1;
  }
  return total;
}

// Both passes; waits for the stream and returns which queries were given up. score_slab(first, end) is the
// first pass over some rows, `vectors` what the second one reads.
template <typename ScoreSlab, typename Vectors>
std::vector<int> search_near(const float* queries, int64_t query_count, CorpusShape corpus,
                             const float* bounds, int64_t k, const Pieces& pieces,
                             const ScoreSlab& score_slab, const Vectors& vectors, float* scores,
                             int32_t* rows, CudaStream stream) {
  const int64_t padded = top_k_padded_queries(query_count), D = corpus.dimensions;
  const Lists& lists = pieces.lists;
  const auto count = static_cast<unsigned>(query_count);
  launch(narrow_queries, blocks_for(padded, rows_per_block), dim3(warp_lanes, rows_per_block), 0, stream,
         queries, query_count, D, bounds, pieces.queries, pieces.margins, lists.thresholds, lists.counts,
         pieces.given_up);
  if (const int64_t by_groups = queries_by_warpgroups(padded); by_groups > 0) {
    tile_for_warpgroups(pieces.queries, by_groups, narrow_width(D), pieces.tiled_queries, stream);
  }
  allow_shared_bytes(keep_near, sort_bytes);
  allow_shared_bytes(keep_best, sort_bytes);
  // Every row of the first slab enters the lists: no more of them than give a threshold. Whole tiles, as all
  // slabs that follow.
  constexpr int64_t most_tiles = list_capacity / 2 / narrow_tile_rows;
  int64_t slab = std::clamp<int64_t>(8 * k / narrow_tile_rows + 1, 3, most_tiles) * narrow_tile_rows;
  for (int64_t first = 0, end; first < corpus.rows; first = end) {
    end = std::min(corpus.rows, first + slab);
    score_slab(first, end);
    launch(keep_near, count, sort_threads, sort_bytes, stream, k, pieces.margins, lists.thresholds,
           lists.counts, lists.keys, pieces.given_up);
    slab = end * (narrow_growth(k) - 1);
  }
  launch(rescore<Vectors>, dim3(rescore_blocks(k), count), rescore_warps * warp_lanes, 0, stream, queries, D,
         vectors, lists.counts, lists.keys);
  launch(keep_best, count, sort_threads, sort_bytes, stream, k, lists.thresholds, lists.counts, lists.keys,
         lists.overflowed);
  launch(write_lists, blocks_for(query_count * k, plain_threads), plain_threads, 0, stream, query_count, k,
         lists.counts, lists.keys, scores, rows);
  std::vector<int> given_up(query_count);
  check(cudaMemcpyAsync(given_up.data(), pieces.given_up, query_count * sizeof(int), cudaMemcpyDeviceToHost,
                        stream));
  check(cudaStreamSynchronize(stream));
  return given_up;
}

// In the caller's workspace, behind what top_k_narrow() takes: a piece that was widened.
void* widened_piece(void* workspace, int64_t queries, int64_t D) {
  return static_cast<char*>(workspace) + top_k_narrow_workspace_bytes(queries, D);
}

}  // namespace

int64_t top_k_narrow_workspace_bytes(int64_t queries, int64_t dimensions) {
  const int64_t padded = top_k_padded_queries(queries);
  const int64_t own = Pieces::bytes(padded, dimensions);
  return (std::max(own, top_k_workspace_bytes(queries, dimensions)) + 15) / 16 * 16;
}

int64_t top_k_stored_workspace_bytes(int64_t queries, int64_t dimensions) {
  return top_k_narrow_workspace_bytes(queries, dimensions) +
         stored_piece_rows(dimensions) * narrow_width(dimensions) * static_cast<int64_t>(sizeof(float));
}

int64_t top_k_narrow(const float* queries, int64_t query_count, const Corpus& corpus,
                     const NarrowCorpus& narrow, int64_t k, void* workspace, float* scores, int32_t* rows,
                     CudaStream stream) {
  if (query_count == 0 || k == 0) return 0;
  const int64_t D = corpus.dimensions;
  const Pieces pieces(workspace, top_k_padded_queries(query_count), D);
  const auto first_pass = [&](int64_t first, int64_t end) {
    score_slab({narrow.blocks, corpus.rows_per_block, narrow_width(D), first, end}, pieces, query_count,
               stream);
  };
  const std::vector<int> given_up =
      search_near(queries, query_count, {corpus.rows, D}, narrow.bounds, k, pieces, first_pass,
                  PanelVectors{narrow.float_blocks, corpus.rows_per_block}, scores, rows, stream);
  return search_given_up(given_up, [&](int64_t q, int64_t count) {
    top_k(queries + q * D, count, corpus, k, workspace, scores + q * k, rows + q * k, stream);
  });
}

int64_t top_k_stored(const float* queries, int64_t query_count, const StoredCorpus& corpus, int64_t k,
                     void* workspace, float* scores, int32_t* rows, CudaStream stream) {
  if (query_count == 0 || k == 0) return 0;
  const int64_t D = corpus.dimensions, width = narrow_width(D);
  const Pieces pieces(workspace, top_k_padded_queries(query_count), D);
  void* const widened = widened_piece(workspace, query_count, D);
  const auto first_pass = [&](int64_t first, int64_t end) {
    if (corpus.type == Narrow::bfloat16) {
      const auto* blocks = reinterpret_cast<const bfloat16* const*>(corpus.blocks);
      score_slab({blocks, corpus.rows_per_block, width, first, end}, pieces, query_count, stream);
      return;
    }
    // One query is not worth the widening of every row.
    if (query_count == 1) return scan_slab(Int8Scan{StoredRows(corpus), first, end}, pieces, stream);
    auto* const piece = static_cast<bfloat16*>(widened);
    for (int64_t next; first < end; first = next) {
      next = std::min(end, first + stored_piece_rows(D));
      widen_to_bfloat16(corpus, first, next - first, piece, stream);
      score_slab({nullptr, 0, width, first, next, piece}, pieces, query_count, stream);
    }
  };
  const std::vector<int> given_up =
      search_near(queries, query_count, {corpus.rows, D}, corpus.bounds, k, pieces, first_pass,
                  StoredVectors{StoredRows(corpus)}, scores, rows, stream);
  const PanelSource panels = widened_panels(corpus, static_cast<float*>(widened), stream);
  return search_given_up(given_up, [&](int64_t q, int64_t count) {
    top_k(queries + q * D, count, panels, {corpus.rows, D}, k, workspace, scores + q * k, rows + q * k,
          stream);
  });
}

void ranks_stored(const float* queries, int64_t query_count, const StoredCorpus& corpus,
                  const int32_t* relevant, const int32_t* offsets, void* workspace, float* relevant_scores,
                  int32_t* found, CudaStream stream) {
  void* const widened = widened_piece(workspace, query_count, corpus.dimensions);
  ranks(queries, query_count, widened_panels(corpus, static_cast<float*>(widened), stream),
        {corpus.rows, corpus.dimensions}, relevant, offsets, workspace, relevant_scores, found, stream);
}

}  // namespace xlembed::kernels::cuda
