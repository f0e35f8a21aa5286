#include "kernels/cluster.cuh"
#include "kernels/info_nce.h"
#include "kernels/reduce.cuh"

// A row's loss and its gradient from one read of the row: between its maximum, its sum and its gradient it
// stays in registers, of a block of threads or of a cluster of blocks. What bounds this is memory: 4 bytes
// read and 2 or 4 written for each similarity.
namespace xlembed::kernels::cuda {
namespace {

constexpr int threads = 256;  // of a block; each holds 8 or 16 vectors of four similarities

constexpr int64_t columns_of_block(int vectors) { return int64_t{threads} * vectors * 4; }

// One value of each block of a cluster, all of them known to each block after the next barrier.
struct OfCluster {
  float values[largest_cluster];

  __device__ void tell(int cluster, unsigned rank, float own) {
    if (static_cast<int>(threadIdx.x) < cluster) store_in_cluster(&values[rank], threadIdx.x, own);
  }
  __device__ float max(int cluster) const {
    float result = values[0];
    for (int rank = 1; rank < cluster; ++rank) result = fmaxf(result, values[rank]);
    return result;
  }
  __device__ float sum(int cluster) const {
    float result = values[0];
    for (int rank = 1; rank < cluster; ++rank) result += values[rank];
    return result;
  }
};

template <int vectors, typename T>
__global__ void __launch_bounds__(threads, vectors == 8 ? 3 : 2)
    rows_and_gradient(SimilarityBlock block, const float* scale, const float* row_weights, RowResults results,
                      float* scale_gradient, T* gradient, int cluster) {
  __shared__ OfCluster before, after, sum, along;
  arrive_at_cluster();
  const unsigned rank = rank_in_cluster();
  const int64_t row = blockIdx.x / cluster;
  const auto i = static_cast<int>(block.first_row + row), columns = static_cast<int>(block.columns);
  const int first = (static_cast<int>(rank) * threads * vectors + static_cast<int>(threadIdx.x)) * 4;
  const float* similarities = block.values + row * block.stride;
  const float factor = *scale * log2_e, own = similarities[i], weight = row_weights ? row_weights[i] : 1.0f;

  float s[vectors][4];
  float left = -INFINITY, right = -INFINITY;  // the largest on either side of the own passage
#pragma unroll
  for (int p = 0; p < vectors; ++p) {
    const int j = first + p * threads * 4;
    Vector<float, 4> v = {masked_similarity, masked_similarity, masked_similarity, masked_similarity};
    if (j < columns) v = load_vector<float, 4>(similarities + j);
#pragma unroll
    for (int k = 0; k < 4; ++k) s[p][k] = j + k < columns ? v.values[k] : masked_similarity;
  }
#pragma unroll
  for (int p = 0; p < vectors; ++p) {
    const int j = first + p * threads * 4;
    if (j <= i && i < j + 4) {
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        if (j + k < i) left = fmaxf(left, s[p][k]);
        if (j + k > i) right = fmaxf(right, s[p][k]);
      }
    } else {
      const float largest = fmaxf(fmaxf(s[p][0], s[p][1]), fmaxf(s[p][2], s[p][3]));
      (j < i ? left : right) = fmaxf(j < i ? left : right, largest);
    }
  }
  left = block_max<threads>(left);
  right = block_max<threads>(right);
  wait_for_cluster();  // all of its blocks run
  before.tell(cluster, rank, left);
  after.tell(cluster, rank, right);
  arrive_at_cluster();
  wait_for_cluster();
  left = before.max(cluster);
  right = after.max(cluster);
  const float maximum = fmaxf(own, fmaxf(left, right));

  float total = 0, product = 0;  // of the exponentials, and of these with their similarities
#pragma unroll
  for (int p = 0; p < vectors; ++p) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const float e = exp2f((s[p][k] - maximum) * factor);
      total += e;
      product += e * s[p][k];
      s[p][k] = e;
    }
  }
  sum.tell(cluster, rank, block_sum<threads>(total));
  along.tell(cluster, rank, block_sum<threads>(product));
  arrive_at_cluster();
  wait_for_cluster();
  total = sum.sum(cluster);
  const float share = weight / total;

  T* out = gradient + row * block.stride;
#pragma unroll
  for (int p = 0; p < vectors; ++p) {
    const int j = first + p * threads * 4;
    if (j >= columns) continue;
    Vector<T, 4> result;
#pragma unroll
    for (int k = 0; k < 4; ++k) store(&result.values[k], share * s[p][k] - (j + k == i ? weight : 0.0f));
    store_vector(out + j, result);
  }
  if (rank != 0 || threadIdx.x != 0) return;
  results.maximum[i] = maximum;
  results.sum[i] = total;
  results.positive[i] = own;
  results.loss[i] = logf(total) - (own - maximum) * *scale;
  results.correct[i] = left < own && right <= own;
  scale_gradient[i] = share * along.sum(cluster) - weight * own;
}

// Runs the kernel with blocks whose threads hold so many vectors; false where no cluster of them holds a row.
template <int vectors, typename T>
bool launch_held(SimilarityBlock block, const float* scale, const float* row_weights, RowResults results,
                 float* scale_gradient, T* gradient, CudaStream stream) {
  const auto kernel = rows_and_gradient<vectors, T>;
  int cluster = 1;
  while (cluster * columns_of_block(vectors) < block.columns) cluster *= 2;
  if (cluster > 1 && (cluster > largest_cluster || !has_clusters(kernel))) return false;
  launch_clusters(kernel, cluster, blocks_for(block.rows * cluster, 1), threads, 0, stream, block, scale,
                  row_weights, results, scale_gradient, gradient, cluster);
  return true;
}

template <typename T>
void launch_fused(SimilarityBlock block, const float* scale, const NegativeRule& rule,
                  const float* row_weights, RowResults results, float* scale_gradient, T* gradient,
                  CudaStream stream) {
  if (block.rows == 0) return;
  info_nce_mask(block, rule, stream);
  if (launch_held<8>(block, scale, row_weights, results, scale_gradient, gradient, stream)) return;
  if (launch_held<16>(block, scale, row_weights, results, scale_gradient, gradient, stream)) return;
  info_nce_rows(block, scale, {}, results, stream);  // the block is masked
  const GradientInputs inputs{row_weights, results.maximum, results.sum, nullptr, nullptr};
  info_nce_gradient(block, scale, 0, inputs, scale_gradient, gradient, stream);
}

}  // namespace

void info_nce_rows_and_gradient(SimilarityBlock block, const float* scale, const NegativeRule& rule,
                                const float* row_weights, RowResults results, float* scale_gradient,
                                float* gradient, CudaStream stream) {
  launch_fused(block, scale, rule, row_weights, results, scale_gradient, gradient, stream);
}

void info_nce_rows_and_gradient(SimilarityBlock block, const float* scale, const NegativeRule& rule,
                                const float* row_weights, RowResults results, float* scale_gradient,
                                bfloat16* gradient, CudaStream stream) {
  launch_fused(block, scale, rule, row_weights, results, scale_gradient, gradient, stream);
}

}  // namespace xlembed::kernels::cuda
