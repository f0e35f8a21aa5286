#include "kernels/attention_tiles.cuh"
#include "kernels/attention_training.h"
#include "kernels/launch.cuh"

// As T. Dao's FlashAttention-2 (2023) goes over tiles, with two differences: whether a weight is dropped is a
// hash of its place, and the gradients of the queries and those of the keys are made by two kernels, each of
// which has its rows to itself. So nothing is added up in an order that chance decides.
namespace xlembed::kernels::cuda {
namespace {

struct Problem {
  const bfloat16* query_key_value;  // (T, 3H)
  const int32_t* cumulative;
  AttentionShape shape;
  AttentionDropout dropout;
  int tiles;  // of the longest sequence

  __device__ int width() const { return static_cast<int>(shape.width); }
  __device__ int64_t hidden() const { return shape.heads * shape.width; }
  __device__ int64_t stride() const { return 3 * hidden(); }
  __device__ float scale() const { return 1.0f / sqrtf(static_cast<float>(shape.width)); }
  // The same for exponentials of base 2.
  __device__ float factor() const { return log2_e * scale(); }
};

// What a row of one head brings to its gradient.
struct alignas(16) RowNumbers {
  float log_sum;  // log2 of the sum of its exponentials
  float along;    // sum_d y_d dL/dy_d
  uint32_t dropout_row;
  uint32_t unused;
};

enum Part { queries_part, keys_part, values_part };

// A block's tile: rows `first` .. of one head of one sequence.
struct Work {
  int64_t token;   // the sequence's first
  int64_t tokens;  // of all sequences
  int length, head, first;

  __device__ explicit Work(const Problem& problem) {
    const int64_t blocks = problem.shape.heads * problem.tiles;                  // of a sequence
    const int64_t sequence = problem.shape.sequences - 1 - blockIdx.x / blocks;  // the last are the longest
    const auto block = static_cast<int>(blockIdx.x % blocks);
    token = problem.cumulative[sequence];
    tokens = problem.cumulative[problem.shape.sequences];
    length = static_cast<int>(problem.cumulative[sequence + 1] - token);
    head = block / problem.tiles;
    first = block % problem.tiles * tile_rows;
  }
  // Of the tile that begins at a row.
  __device__ int count(int row) const { return min(length - row, tile_rows); }
  // A row's place in a matrix (T, H), and in one (heads, T).
  __device__ int64_t at(const Problem& problem, int row, int64_t stride) const {
    return (token + row) * stride + head * problem.shape.width;
  }
  __device__ int64_t in_head(int row) const { return head * tokens + token + row; }

  // Rows of one part of query_key_value, or of its gradient.
  template <typename T>
  __device__ T* part(const Problem& problem, T* query_key_value, Part part, int row) const {
    return query_key_value + at(problem, row, problem.stride()) + part * problem.hidden();
  }
  // The tile that begins at a row: of a part, or of a matrix (T, H).
  template <int W>
  __device__ void load(const Problem& problem, Part which, int row, Tile<W>& tile) const {
    load_tile(tile, part(problem, problem.query_key_value, which, row), problem.stride(), count(row),
              problem.width());
  }
  template <int W>
  __device__ void load(const Problem& problem, const bfloat16* matrix, int row, Tile<W>& tile) const {
    load_tile(tile, matrix + at(problem, row, problem.hidden()), problem.hidden(), count(row),
              problem.width());
  }
  __device__ uint32_t dropout_key(const Problem& problem, int row) const {
    if (problem.dropout.keys == nullptr || row >= length) return 0;
    const auto key = static_cast<uint32_t>(problem.dropout.keys[token + row]);
    return dropout_row(static_cast<int32_t>(key ^ mix_bits(static_cast<uint32_t>(head + 1))),
                       problem.dropout.rule.site);
  }
};

__device__ inline bool keeps(const AttentionDropout& dropout, uint32_t row, int column) {
  return dropout.keys == nullptr || dropout_keeps(row, static_cast<uint32_t>(column), dropout.rule.threshold);
}
__device__ inline float scale_of(const AttentionDropout& dropout) {
  return dropout.keys == nullptr ? 1.0f : dropout.rule.scale;
}

// Two tiles that are multiplied in the same step; two steps are in shared memory.
template <int W>
struct Stage {
  Tile<W> left, right;
};

// Fetches a step of keys and values.
template <int W>
__device__ auto keys_and_values(const Problem& problem, const Work& work) {
  return [&](Stage<W>& stage, int row) {
    work.load(problem, keys_part, row, stage.left);
    work.load(problem, values_part, row, stage.right);
  };
}

__device__ inline int row_of_warp_in_tile() { return static_cast<int>(threadIdx.x) / warp_lanes * 16; }

// Calls body(stage, first row, count) for tile after tile of a sequence while the next one is fetched by
// load(stage, first row); that of the first is under way.
template <typename StageOf, typename Load, typename Body>
__device__ void for_each_tile(StageOf* stages, const Work& work, const Load& load, const Body& body) {
  for (int row = 0; row < work.length; row += tile_rows) {
    StageOf& stage = stages[row / tile_rows % 2];
    __pipeline_wait_prior(0);
    __syncthreads();  // the tile is here, and nobody reads the place of the next
    if (row + tile_rows < work.length) load(stages[(row / tile_rows + 1) % 2], row + tile_rows);
    __pipeline_commit();
    body(stage, row, work.count(row));
  }
}

// The backward pass takes half a tile at a time: two matrices of weights, and what is added up, fit the
// registers of three blocks. Calls body(stage, first row, piece, count), the piece a row of the tile.
constexpr int piece_columns = 32;
template <typename StageOf, typename Load, typename Body>
__device__ void for_each_piece(StageOf* stages, const Work& work, const Load& load, const Body& body) {
  for_each_tile(stages, work, load, [&](StageOf& stage, int row, int count) {
#pragma unroll 1
    for (int piece = 0; piece < count; piece += piece_columns) body(stage, row, piece, count);
  });
}

template <int W>
__global__ void __launch_bounds__(tile_threads, 3)
    attend(Problem problem, bfloat16* output, float* log_sums) {
  Stage<W>* stages = dynamic_shared<Stage<W>>();
  const Work work(problem);
  if (work.first >= work.length) return;
  const int width = problem.width(), own = row_of_warp_in_tile(), held = work.count(work.first) - own;
  const float factor = problem.factor();
  const auto load = keys_and_values<W>(problem, work);
  work.load(problem, queries_part, work.first, stages[1].left);
  __pipeline_commit();
  load(stages[0], 0);
  __pipeline_commit();
  __pipeline_wait_prior(1);
  __syncthreads();
  Operand<W> queries;
  load_rows(queries, stages[1].left, own);

  uint32_t keys[2];
#pragma unroll
  for (int half = 0; half < 2; ++half)
    keys[half] = work.dropout_key(problem, work.first + own + lane() / 4 + half * 8);
  Sums<W> out = {};
  float largest[2] = {-INFINITY, -INFINITY}, sum[2] = {};
  for_each_tile(stages, work, load, [&](Stage<W>& stage, int row, int count) {
    if (held <= 0) return;
    Sums<tile_rows> weights = {};
    multiply_by_rows<tile_rows>(queries, stage.left, 0, count, weights);
    const float before[2] = {largest[0], largest[1]};
    each_sum<tile_rows>([&](int j, int i, int half, int column) {
      if (column >= count) weights[j][i] = -INFINITY;
      largest[half] = fmaxf(largest[half], weights[j][i]);
    });
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      largest[half] = row_max(largest[half]);
      const float smaller = power_of_two((before[half] - largest[half]) * factor);
      sum[half] *= smaller;
#pragma unroll
      for (int n = 0; n < W / 8; ++n) {
        out[n][half * 2] *= smaller;
        out[n][half * 2 + 1] *= smaller;
      }
    }
    each_sum<tile_rows>([&](int j, int i, int half, int column) {
      const float weight = power_of_two((weights[j][i] - largest[half]) * factor);
      sum[half] += weight;
      weights[j][i] = keeps(problem.dropout, keys[half], row + column) ? weight : 0.0f;
    });
    Operand<tile_rows> rounded;
    round_to_operand<tile_rows>(weights, rounded);
    multiply_by_columns<tile_rows>(rounded, stage.right, 0, count, out);
  });

  float factors[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float total = row_sum(sum[half]);
    factors[half] = scale_of(problem.dropout) / total;
    const int row = lane() / 4 + half * 8;
    if (lane() % 4 == 0 && row < held)
      log_sums[work.in_head(work.first + own + row)] = largest[half] * factor + log2f(total);
  }
  write_rows<W>(out, factors, held, width, output + work.at(problem, work.first + own, problem.hidden()),
                problem.hidden());
}

// Of the queries; and what the other kernel wants to know of each row.
template <int W>
__global__ void __launch_bounds__(tile_threads, 3)
    query_gradient(Problem problem, const bfloat16* output, const float* log_sums,
                   const bfloat16* output_gradient, RowNumbers* numbers, bfloat16* gradient) {
  Stage<W>* stages = dynamic_shared<Stage<W>>();
  const Work work(problem);
  if (work.first >= work.length) return;
  const int width = problem.width(), own = row_of_warp_in_tile(), held = work.count(work.first) - own;
  const float factor = problem.factor(), kept = scale_of(problem.dropout);
  const auto load = keys_and_values<W>(problem, work);
  work.load(problem, queries_part, work.first, stages[0].left);
  work.load(problem, output, work.first, stages[1].left);
  work.load(problem, output_gradient, work.first, stages[1].right);
  __pipeline_commit();
  __pipeline_wait_prior(0);
  __syncthreads();
  Operand<W> queries, gradients;
  load_rows(queries, stages[0].left, own);
  load_rows(gradients, stages[1].right, own);
  RowNumbers row_numbers[2] = {};
  {
    Operand<W> outputs;
    load_rows(outputs, stages[1].left, own);
#pragma unroll
    for (int k = 0; k < W / 16; ++k) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const uint32_t y = outputs[k][i], g = gradients[k][i];
        row_numbers[i % 2].along += __uint_as_float(y << 16) * __uint_as_float(g << 16) +
                                    __uint_as_float(y & 0xFFFF0000u) * __uint_as_float(g & 0xFFFF0000u);
      }
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    RowNumbers& row = row_numbers[half];
    const int index = lane() / 4 + half * 8;
    row.along = row_sum(row.along);
    if (index >= held) continue;
    row.log_sum = log_sums[work.in_head(work.first + own + index)];
    row.dropout_row = work.dropout_key(problem, work.first + own + index);
    if (lane() % 4 == 0) numbers[work.in_head(work.first + own + index)] = row;
  }
  __syncthreads();  // all have read the tiles whose places are filled next
  load(stages[0], 0);
  __pipeline_commit();

  Sums<W> sums = {};
  for_each_piece(stages, work, load, [&](Stage<W>& stage, int row, int some, int count) {
    if (held <= 0) return;
    Sums<piece_columns> scores = {}, slopes = {};
    multiply_by_rows<piece_columns>(queries, stage.left, some, count, scores);
    multiply_by_rows<piece_columns>(gradients, stage.right, some, count, slopes);
    each_sum<piece_columns>([&](int j, int i, int half, int column) {
      const RowNumbers& of_row = row_numbers[half];
      const float weight = power_of_two(scores[j][i] * factor - of_row.log_sum);
      const bool stays = keeps(problem.dropout, of_row.dropout_row, row + some + column);
      const float slope = stays ? slopes[j][i] * kept : 0.0f;
      scores[j][i] = some + column < count ? weight * (slope - of_row.along) : 0.0f;
    });
    Operand<piece_columns> rounded;
    round_to_operand<piece_columns>(scores, rounded);
    multiply_by_columns<piece_columns>(rounded, stage.left, some, count, sums);
  });
  const float scale = problem.scale(), factors[2] = {scale, scale};
  write_rows<W>(sums, factors, held, width, work.part(problem, gradient, queries_part, work.first + own),
                problem.stride());
}

template <int W>
struct StageOfRows {
  Tile<W> queries, gradients;
  RowNumbers numbers[tile_rows];
};

// Of keys and values: everything transposed, a lane's rows are keys and its columns queries.
template <int W>
__global__ void __launch_bounds__(tile_threads, 3)
    key_value_gradient(Problem problem, const bfloat16* output_gradient, const RowNumbers* numbers,
                       bfloat16* gradient) {
  StageOfRows<W>* stages = dynamic_shared<StageOfRows<W>>();
  const Work work(problem);
  if (work.first >= work.length) return;
  const int width = problem.width(), own = row_of_warp_in_tile(), held = work.count(work.first) - own;
  const float factor = problem.factor(), kept = scale_of(problem.dropout);
  const auto load = [&](StageOfRows<W>& stage, int row) {
    const int count = work.count(row), thread = static_cast<int>(threadIdx.x);
    work.load(problem, queries_part, row, stage.queries);
    work.load(problem, output_gradient, row, stage.gradients);
    if (thread < tile_rows) {
      const RowNumbers* from = numbers + work.in_head(row) + (thread < count ? thread : 0);
      __pipeline_memcpy_async(&stage.numbers[thread], from, 16, thread < count ? 0 : 16);
    }
  };
  work.load(problem, keys_part, work.first, stages[1].queries);
  work.load(problem, values_part, work.first, stages[1].gradients);
  __pipeline_commit();
  load(stages[0], 0);
  __pipeline_commit();
  __pipeline_wait_prior(1);
  __syncthreads();
  Operand<W> keys, values;
  load_rows(keys, stages[1].queries, own);
  load_rows(values, stages[1].gradients, own);

  Sums<W> key_sums = {}, value_sums = {};
  for_each_piece(stages, work, load, [&](StageOfRows<W>& stage, int, int some, int count) {
    if (held <= 0) return;
    Sums<piece_columns> scores = {}, slopes = {};
    multiply_by_rows<piece_columns>(keys, stage.queries, some, count, scores);
    multiply_by_rows<piece_columns>(values, stage.gradients, some, count, slopes);
    each_sum<piece_columns>([&](int j, int i, int half, int column) {
      const RowNumbers& of_query = stage.numbers[some + column];
      const int key = work.first + own + lane() / 4 + half * 8;
      const float weight = power_of_two(scores[j][i] * factor - of_query.log_sum);
      const bool stays = keeps(problem.dropout, of_query.dropout_row, key);
      slopes[j][i] = weight * ((stays ? slopes[j][i] * kept : 0.0f) - of_query.along);
      scores[j][i] = stays ? weight : 0.0f;
    });
    Operand<piece_columns> rounded;
    round_to_operand<piece_columns>(scores, rounded);
    multiply_by_columns<piece_columns>(rounded, stage.gradients, some, count, value_sums);
    round_to_operand<piece_columns>(slopes, rounded);
    multiply_by_columns<piece_columns>(rounded, stage.queries, some, count, key_sums);
  });
  const float scale = problem.scale();
  const float key_factors[2] = {scale, scale}, value_factors[2] = {kept, kept};
  write_rows<W>(key_sums, key_factors, held, width, work.part(problem, gradient, keys_part, work.first + own),
                problem.stride());
  write_rows<W>(value_sums, value_factors, held, width,
                work.part(problem, gradient, values_part, work.first + own), problem.stride());
}

Problem problem_of(const bfloat16* query_key_value, const int32_t* cumulative, AttentionShape shape,
                   AttentionDropout dropout, int64_t longest) {
  return {query_key_value, cumulative, shape, dropout,
          static_cast<int>((longest + tile_rows - 1) / tile_rows)};
}

// A block for each tile of each head of each sequence, as if all were as long as the longest.
template <typename Stage, typename... Parameters, typename... Arguments>
void launch_blocks(void (*kernel)(Problem, Parameters...), const Problem& problem, CudaStream stream,
                   Arguments... arguments) {
  constexpr size_t bytes = 2 * sizeof(Stage);
  allow_shared_bytes(kernel, bytes);
  const unsigned blocks = blocks_for(problem.shape.sequences * problem.shape.heads * problem.tiles, 1);
  launch(kernel, blocks, tile_threads, bytes, stream, problem, arguments...);
}

template <int W>
void launch_backward(const Problem& problem, const bfloat16* output, const float* log_sums,
                     const bfloat16* output_gradient, RowNumbers* numbers, bfloat16* gradient,
                     CudaStream stream) {
  launch_blocks<Stage<W>>(query_gradient<W>, problem, stream, output, log_sums, output_gradient, numbers,
                          gradient);
  launch_blocks<StageOfRows<W>>(key_value_gradient<W>, problem, stream, output_gradient, numbers, gradient);
}

}  // namespace

static_assert(sizeof(RowNumbers) == attention_scratch_floats * sizeof(float));

void attention_forward(const bfloat16* query_key_value, const int32_t* cumulative, AttentionShape shape,
                       AttentionDropout dropout, int64_t longest, bfloat16* output, float* log_sums,
                       CudaStream stream) {
  const Problem problem = problem_of(query_key_value, cumulative, shape, dropout, longest);
  if (shape.width <= 32) {
    launch_blocks<Stage<32>>(attend<32>, problem, stream, output, log_sums);
  } else {
    launch_blocks<Stage<64>>(attend<64>, problem, stream, output, log_sums);
  }
}

void attention_backward(const bfloat16* query_key_value, const int32_t* cumulative, AttentionShape shape,
                        AttentionDropout dropout, int64_t longest, const bfloat16* output,
                        const float* log_sums, const bfloat16* output_gradient, float* scratch,
                        bfloat16* query_key_value_gradient, CudaStream stream) {
  const Problem problem = problem_of(query_key_value, cumulative, shape, dropout, longest);
  const auto launch_as = shape.width <= 32 ? launch_backward<32> : launch_backward<64>;
  launch_as(problem, output, log_sums, output_gradient, reinterpret_cast<RowNumbers*>(scratch),
            query_key_value_gradient, stream);
}

}  // namespace xlembed::kernels::cuda
