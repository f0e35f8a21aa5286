// How many rows stand before given rows in their query's ranking, counted while scores are computed.
#pragma once

#include "kernels/reduce.cuh"

namespace xlembed::kernels::cuda {
namespace {

struct CountBetter {
  const int32_t* relevant;
  const int32_t* offsets;
  const float* relevant_scores;
  int32_t* ranks;

  template <int width, int count>
  __device__ void operator()(int64_t query, const int64_t (&rows)[count], const float (&scores)[count],
                             int64_t end) const {
    const unsigned together =
        width == warp_lanes ? whole_warp : 0xFFFFu << (threadIdx.x % warp_lanes / 16 * 16);
    for (int32_t i = offsets[query]; i < offsets[query + 1]; ++i) {
      const float own = relevant_scores[i];
      int better = 0;
#pragma unroll
      for (int j = 0; j < count; ++j) {
        const bool tied_before = scores[j] == own && rows[j] < relevant[i];
        better += rows[j] < end && (scores[j] > own || tied_before);
      }
#pragma unroll
      for (int distance = width / 2; distance > 0; distance /= 2) {
        better += __shfl_xor_sync(together, better, distance);
      }
      if (threadIdx.x % width == 0 && better > 0) atomicAdd(&ranks[i], better);
    }
  }
};

}  // namespace
}  // namespace xlembed::kernels::cuda
