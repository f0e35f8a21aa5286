// The warp's arithmetic, and 16-byte access to rows. Every reduction adds in one fixed order: equal inputs
// give equal bits.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/bfloat16.h"

namespace xlembed::kernels::cuda {

inline constexpr int warp_lanes = 32;
inline constexpr unsigned whole_warp = 0xFFFFFFFFu;
inline constexpr float log2_e = 1.44269504088896341f;  // exp(x) = exp2f(x * log2_e)

// Every lane receives the sum.
template <typename T>
__device__ T warp_sum(T value) {
#pragma unroll
  for (int distance = warp_lanes / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(whole_warp, value, distance);
  }
  return value;
}

__device__ inline float warp_max(float value) {
#pragma unroll
  for (int distance = warp_lanes / 2; distance > 0; distance /= 2) {
    value = fmaxf(value, __shfl_xor_sync(whole_warp, value, distance));
  }
  return value;
}

// Every thread of a one-dimensional block of `threads` receives the result; all of them must call.
template <int threads, typename T>
__device__ T block_sum(T value) {
  __shared__ T parts[threads / warp_lanes];
  value = warp_sum(value);
  __syncthreads();
  if (threadIdx.x % warp_lanes == 0) parts[threadIdx.x / warp_lanes] = value;
  __syncthreads();
  T total = 0;
#pragma unroll
  for (int warp = 0; warp < threads / warp_lanes; ++warp) total += parts[warp];
  return total;
}

template <int threads>
__device__ float block_max(float value) {
  __shared__ float parts[threads / warp_lanes];
  value = warp_max(value);
  __syncthreads();
  if (threadIdx.x % warp_lanes == 0) parts[threadIdx.x / warp_lanes] = value;
  __syncthreads();
  float largest = parts[0];
#pragma unroll
  for (int warp = 1; warp < threads / warp_lanes; ++warp) largest = fmaxf(largest, parts[warp]);
  return largest;
}

// `width` neighbouring elements, accessed together 16 bytes at a time; those are one access when width is
// vector_width<T>.
template <typename T, int width>
struct alignas(sizeof(T) * width) Vector {
  T values[width];
};

template <typename T>
inline constexpr int vector_width = 16 / static_cast<int>(sizeof(T));

template <typename T, int width>
__device__ Vector<T, width> load_vector(const T* source) {
  return *reinterpret_cast<const Vector<T, width>*>(source);
}

// A plain assignment of 16 bytes nvcc may split into as many stores as there are elements, also through
// uint4; not this one.
template <typename T, int width>
__device__ void store_vector(T* target, const Vector<T, width>& vector) {
  if constexpr (sizeof vector % sizeof(uint4) == 0) {
    constexpr size_t pieces = sizeof vector / sizeof(uint4);
    uint4 bits[pieces];
    memcpy(bits, &vector, sizeof bits);
#pragma unroll
    for (size_t p = 0; p < pieces; ++p) __stwb(reinterpret_cast<uint4*>(target) + p, bits[p]);
  } else {
    *reinterpret_cast<Vector<T, width>*>(target) = vector;
  }
}

// Where each warp has a row, a block is (warp_lanes, rows_per_block) threads.
inline constexpr int rows_per_block = 8;

inline __device__ int64_t row_of_warp() {
  return static_cast<int64_t>(blockIdx.x) * rows_per_block + threadIdx.y;
}

// A row in the registers of a warp: lane l holds the vectors l, l + 32, ..; beyond the row are zeros. Every
// load of it is under way before the first is needed.
template <typename T, int width>
struct WarpRow {
  static constexpr int longest = 1024;
  static constexpr int vectors = longest / (warp_lanes * width);

  Vector<T, width> values[vectors];

  __device__ static int64_t first(int vector) { return (vector * warp_lanes + threadIdx.x) * width; }

  __device__ void load(const T* row, int64_t D) {
#pragma unroll
    for (int p = 0; p < vectors; ++p) {
      values[p] = {};
      if (first(p) < D) values[p] = load_vector<T, width>(row + first(p));
    }
  }
  __device__ void store(T* row, int64_t D) const {
#pragma unroll
    for (int p = 0; p < vectors; ++p) {
      if (first(p) < D) store_vector(row + first(p), values[p]);
    }
  }

  // Calls body(vector, k) for every element that a lane holds.
  template <typename Body>
  __device__ static void each(Body body) {
#pragma unroll
    for (int p = 0; p < vectors; ++p) {
#pragma unroll
      for (int k = 0; k < width; ++k) body(p, k);
    }
  }
};

// Whether rows of `dimensions` elements from here can all be read 16 bytes at a time.
template <typename T>
bool rows_are_vectors(const T* data, int64_t dimensions) {
  return dimensions % vector_width<T> == 0 && reinterpret_cast<uintptr_t>(data) % 16 == 0;
}

}  // namespace xlembed::kernels::cuda
