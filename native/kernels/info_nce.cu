#include <cmath>

#include "kernels/info_nce.h"
#include "kernels/launch.cuh"
#include "kernels/reduce.cuh"

namespace xlembed::kernels::cuda {
namespace {

constexpr int threads = 256;  // a block to a row

// A maximum and the sum of 2^((s - maximum) * factor) below it, extended value by value.
struct RunningSum {
  float maximum = -INFINITY;
  float sum = 0;

  // Values of -inf stand for places outside the row.
  template <int count>
  __device__ void add(const float (&s)[count], float factor) {
    float larger = maximum;
#pragma unroll
    for (int k = 0; k < count; ++k) larger = fmaxf(larger, s[k]);
    if (larger == -INFINITY) {  // nothing, or a NaN that must not vanish
#pragma unroll
      for (int k = 0; k < count; ++k) sum += s[k] == s[k] ? 0.0f : s[k];
      return;
    }
    sum *= exp2f((maximum - larger) * factor);
#pragma unroll
    for (int k = 0; k < count; ++k) sum += exp2f((s[k] - larger) * factor);
    maximum = larger;
  }

  __device__ void merge(const RunningSum& other, float factor) {
    const float larger = fmaxf(maximum, other.maximum);
    if (larger == -INFINITY) {
      sum += other.sum;
      return;
    }
    sum = sum * exp2f((maximum - larger) * factor) + other.sum * exp2f((other.maximum - larger) * factor);
    maximum = larger;
  }
};

bool asks_nothing(const NegativeRule& rule) {
  return !rule.groups && (rule.languages == NegativeLanguages::any || !rule.passage_languages);
}

// One query's side of the rule.
struct RowRule {
  NegativeRule rule;
  int64_t i;
  int32_t group, language;

  __device__ RowRule(const NegativeRule& rule, int64_t i) : rule(rule), i(i), group(-1), language(0) {
    if (rule.groups) group = rule.groups[i];
    if (rule.languages != NegativeLanguages::any) language = rule.query_languages[i];
  }

  __device__ bool masks(int64_t j) const {
    if (j == i) return false;
    if (group >= 0 && rule.groups[j] == group) return true;
    if (rule.languages == NegativeLanguages::any) return false;
    return (rule.passage_languages[j] == language) == (rule.languages == NegativeLanguages::other);
  }
};

__global__ void mask_kernel(SimilarityBlock block, NegativeRule rule) {
  float* s = block.values + blockIdx.x * block.stride;
  const RowRule row(rule, block.first_row + blockIdx.x);
  for (int64_t j = threadIdx.x; j < block.columns; j += threads) {
    if (row.masks(j)) s[j] = masked_similarity;
  }
}

// One read of the row: largest values left and right of the own passage, and the running sum.
__global__ void rows_kernel(SimilarityBlock block, const float* scale, RowResults results) {
  const float* s = block.values + blockIdx.x * block.stride;
  const int64_t i = block.first_row + blockIdx.x;
  const float factor = *scale * log2_e;
  float before = -INFINITY, after = -INFINITY;
  RunningSum running;
#pragma unroll 2
  for (int64_t j = threadIdx.x * 4; j < block.columns; j += threads * 4) {
    Vector<float, 4> v = load_vector<float, 4>(s + j);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if (j + k >= block.columns) v.values[k] = -INFINITY;
      if (j + k < i) before = fmaxf(before, v.values[k]);
      if (j + k > i) after = fmaxf(after, v.values[k]);
    }
    running.add(v.values, factor);
  }
  before = block_max<threads>(before);
  after = block_max<threads>(after);
  const float own = s[i], maximum = fmaxf(own, fmaxf(before, after));
  const float share = running.sum == 0 ? 0.0f : running.sum * exp2f((running.maximum - maximum) * factor);
  const float sum = block_sum<threads>(share);
  if (threadIdx.x != 0) return;
  results.maximum[i] = maximum;
  results.sum[i] = sum;
  results.positive[i] = own;
  results.loss[i] = logf(sum) - (own - maximum) * *scale;
  results.correct[i] = before < own && after <= own;
}

// A block is 32 x 4 neighbouring columns x 16 rows; each thread reads every sixteenth row, four at a time.
constexpr int row_lanes = 16;

__global__ void columns_kernel(SimilarityBlock block, const float* scale, int64_t queries,
                               ColumnState state) {
  __shared__ float maxima[row_lanes][4 * warp_lanes], sums[row_lanes][4 * warp_lanes];
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * warp_lanes + threadIdx.x) * 4;
  const float factor = *scale * log2_e;
  RunningSum running[4];
  for (int64_t r = threadIdx.y; first < queries && r < block.rows; r += 4 * row_lanes) {
    float s[4][4];  // [column][row]
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      const int64_t row = r + step * row_lanes;
      Vector<float, 4> v = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
      if (row < block.rows) v = load_vector<float, 4>(block.values + row * block.stride + first);
#pragma unroll
      for (int k = 0; k < 4; ++k) s[k][step] = v.values[k];
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) running[k].add(s[k], factor);
  }
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    maxima[threadIdx.y][k * warp_lanes + threadIdx.x] = running[k].maximum;
    sums[threadIdx.y][k * warp_lanes + threadIdx.x] = running[k].sum;
  }
  __syncthreads();
  // 128 threads take one column each and merge the row lanes in order, after what earlier blocks left.
  const int place = static_cast<int>(threadIdx.y) * warp_lanes + static_cast<int>(threadIdx.x);
  const int64_t column = static_cast<int64_t>(blockIdx.x) * warp_lanes * 4 + place;
  if (place >= 4 * warp_lanes || column >= queries) return;
  const int slot = place % 4 * warp_lanes + place / 4;
  RunningSum total{state.maximum[column], state.sum[column]};
#pragma unroll
  for (int lane = 0; lane < row_lanes; ++lane) total.merge({maxima[lane][slot], sums[lane][slot]}, factor);
  state.maximum[column] = total.maximum;
  state.sum[column] = total.sum;
}

// Four neighbours of a vector over the queries; places beyond its end are zero.
__device__ Vector<float, 4> load_columns(const float* values, int64_t j, int64_t queries) {
  if (j + 4 <= queries) return load_vector<float, 4>(values + j);
  Vector<float, 4> v = {};
  for (int k = 0; k < 4; ++k) {
    if (j + k < queries) v.values[k] = values[j + k];
  }
  return v;
}

template <bool two_way, typename T>
__global__ void gradient_kernel(SimilarityBlock block, const float* scale, int64_t queries,
                                GradientInputs inputs, float* scale_gradient, T* gradient) {
  const float* s = block.values + blockIdx.x * block.stride;
  T* out = gradient + blockIdx.x * block.stride;
  const int64_t i = block.first_row + blockIdx.x;
  const float factor = *scale * log2_e, maximum = inputs.row_maximum[i];
  const float weight = inputs.row_weights ? inputs.row_weights[i] : 1.0f;
  const float share = weight / inputs.row_sum[i], own_weight = two_way ? 2 * weight : weight;
  float along = 0;
#pragma unroll 2
  for (int64_t j = threadIdx.x * 4; j < block.columns; j += threads * 4) {
    const Vector<float, 4> v = load_vector<float, 4>(s + j);
    Vector<float, 4> column_maximum = {}, column_share = {};
    if (two_way) {
      column_maximum = load_columns(inputs.column_maximum, j, queries);
      column_share = load_columns(inputs.column_share, j, queries);
    }
    Vector<T, 4> result;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      float g = share * exp2f((v.values[k] - maximum) * factor);
      if (two_way && j + k < queries) {
        g += column_share.values[k] * exp2f((v.values[k] - column_maximum.values[k]) * factor);
      }
      if (j + k == i) g -= own_weight;
      if (j + k < block.columns) along += g * v.values[k];
      store(&result.values[k], g);
    }
    store_vector(out + j, result);
  }
  along = block_sum<threads>(along);
  if (threadIdx.x == 0) scale_gradient[i] = along;
}

template <typename T>
void launch_gradient(SimilarityBlock block, const float* scale, int64_t queries, GradientInputs inputs,
                     float* scale_gradient, T* gradient, CudaStream stream) {
  if (block.rows == 0) return;
  const auto blocks = static_cast<unsigned>(block.rows);
  if (inputs.column_maximum) {
    launch(gradient_kernel<true, T>, blocks, threads, 0, stream, block, scale, queries, inputs,
           scale_gradient, gradient);
  } else {
    launch(gradient_kernel<false, T>, blocks, threads, 0, stream, block, scale, queries, inputs,
           scale_gradient, gradient);
  }
}

}  // namespace

void info_nce_mask(SimilarityBlock block, const NegativeRule& rule, CudaStream stream) {
  if (asks_nothing(rule) || block.rows == 0) return;
  launch(mask_kernel, static_cast<unsigned>(block.rows), threads, 0, stream, block, rule);
}

void info_nce_rows(SimilarityBlock block, const float* scale, const NegativeRule& rule, RowResults results,
                   CudaStream stream) {
  if (block.rows == 0) return;
  info_nce_mask(block, rule, stream);
  launch(rows_kernel, static_cast<unsigned>(block.rows), threads, 0, stream, block, scale, results);
}

void info_nce_columns(SimilarityBlock block, const float* scale, int64_t queries, ColumnState state,
                      CudaStream stream) {
  constexpr int64_t columns = warp_lanes * 4;
  const auto blocks = static_cast<unsigned>((queries + columns - 1) / columns);
  if (blocks == 0 || block.rows == 0) return;
  launch(columns_kernel, blocks, dim3(warp_lanes, row_lanes), 0, stream, block, scale, queries, state);
}

void info_nce_gradient(SimilarityBlock block, const float* scale, int64_t queries, GradientInputs inputs,
                       float* scale_gradient, float* gradient, CudaStream stream) {
  launch_gradient(block, scale, queries, inputs, scale_gradient, gradient, stream);
}

void info_nce_gradient(SimilarityBlock block, const float* scale, int64_t queries, GradientInputs inputs,
                       float* scale_gradient, bfloat16* gradient, CudaStream stream) {
  launch_gradient(block, scale, queries, inputs, scale_gradient, gradient, stream);
}

}  // namespace xlembed::kernels::cuda
