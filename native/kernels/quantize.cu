#include "kernels/launch.cuh"
#include "kernels/quantize.h"
#include "kernels/reduce.cuh"

namespace xlembed::kernels::cuda {
namespace {

using Row = WarpRow<float, 4>;

// The step between neighbouring integers.
__device__ float int8_step(float largest) {
  const float step = warp_max(largest) / 127.0f;
  return step < 1.1754944e-38f ? 0.0f : step;  // as in the CPU version
}

__global__ void to_int8_held(const float* input, int64_t rows, int64_t D, int8_t* output, float* scales) {
  const int64_t r = row_of_warp();
  if (r >= rows) return;
  Row x;
  x.load(input + r * D, D);
  float largest = 0;
  x.each([&](int p, int k) { largest = fmaxf(largest, fabsf(x.values[p].values[k])); });
  const float scale = int8_step(largest);
  if (threadIdx.x == 0) scales[r] = scale;
  const float divisor = scale > 0 ? scale : INFINITY;
  WarpRow<int8_t, 4> q;
  x.each([&](int p, int k) {
    q.values[p].values[k] = static_cast<int8_t>(__float2int_rn(x.values[p].values[k] / divisor));
  });
  q.store(output + r * D, D);
}

template <int width>
__global__ void to_int8(const float* input, int64_t rows, int64_t D, int8_t* output, float* scales) {
  const int64_t r = row_of_warp();
  if (r >= rows) return;
  const float* x = input + r * D;
  float largest = 0;
#pragma unroll 4
  for (int64_t d = threadIdx.x * width; d < D; d += warp_lanes * width) {
    const Vector<float, width> v = load_vector<float, width>(x + d);
#pragma unroll
    for (int k = 0; k < width; ++k) largest = fmaxf(largest, fabsf(v.values[k]));
  }
  const float scale = int8_step(largest);
  if (threadIdx.x == 0) scales[r] = scale;
  const float divisor = scale > 0 ? scale : INFINITY;
#pragma unroll 4
  for (int64_t d = threadIdx.x * width; d < D; d += warp_lanes * width) {
    const Vector<float, width> v = load_vector<float, width>(x + d);
    Vector<int8_t, width> q;
#pragma unroll
    for (int k = 0; k < width; ++k) q.values[k] = static_cast<int8_t>(__float2int_rn(v.values[k] / divisor));
    store_vector(output + r * D + d, q);
  }
}

// The warp's 32 signs as four bytes, first column in the highest bit of the lowest byte.
__device__ uint32_t packed_signs(bool positive) {
  return __byte_perm(__brev(__ballot_sync(whole_warp, positive)), 0, 0x0123);
}

// A warp reads 4 x 32 columns at a time; its first sixteen lanes then write one byte each.
__global__ void to_binary(const float* input, int64_t rows, int64_t D, int64_t bytes, uint8_t* output) {
  const int64_t r = row_of_warp();
  if (r >= rows) return;
  const float* x = input + r * D;
  const int lane = static_cast<int>(threadIdx.x);
  for (int64_t first = 0; first < D; first += 4 * warp_lanes) {
    float v[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const int64_t d = first + k * warp_lanes + lane;
      v[k] = d < D ? x[d] : 0.0f;
    }
    uint32_t word = 0;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const uint32_t signs = packed_signs(v[k] > 0);
      if (lane / 4 == k) word = signs;
    }
    const int64_t byte = first / 8 + lane;
    if (lane < 16 && byte < bytes) output[r * bytes + byte] = static_cast<uint8_t>(word >> (lane % 4 * 8));
  }
}

}  // namespace

void quantize_int8(const float* input, int64_t rows, int64_t dimensions, int8_t* output, float* scales,
                   CudaStream stream) {
  const dim3 block(warp_lanes, rows_per_block);
  const bool has_vectors =
      rows_are_vectors(input, dimensions) && reinterpret_cast<uintptr_t>(output) % 4 == 0;
  const auto kernel = !has_vectors ? to_int8<1> : dimensions <= Row::longest ? to_int8_held : to_int8<4>;
  launch(kernel, blocks_for(rows, rows_per_block), block, 0, stream, input, rows, dimensions, output, scales);
}

void quantize_binary(const float* input, int64_t rows, int64_t dimensions, uint8_t* output,
                     CudaStream stream) {
  launch(to_binary, blocks_for(rows, rows_per_block), dim3(warp_lanes, rows_per_block), 0, stream, input,
         rows, dimensions, (dimensions + 7) / 8, output);
}

}  // namespace xlembed::kernels::cuda
