// As much of CUDA's own header as the kernels and their tests use, on the CPU.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "kernels/stream.h"
#include "threads.h"

// ---- The language ----

#define __global__
#define __device__
#define __host__
#define __shared__ static thread_local  // block.h
#define __launch_bounds__(...)

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};

using std::max;
using std::min;

// ---- What a kernel calls ----

inline void __syncthreads() { emulation::wait_for_block(); }
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu) { emulation::wait_for_lanes(mask); }

template <typename T>
T __shfl_sync(unsigned mask, T value, int source) {
  return emulation::of_lane<T>(emulation::exchange(mask, &value, sizeof value), source);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int distance) {
  const int source = emulation::lane() ^ distance;
  if ((mask >> source & 1) == 0) std::abort();
  return __shfl_sync(mask, value, source);
}
inline unsigned __ballot_sync(unsigned mask, bool value) {
  const unsigned char* slots = emulation::exchange(mask, &value, sizeof value);
  unsigned result = 0;
  for (int lane = 0; lane < 32; ++lane) {
    if (mask >> lane & 1) result |= static_cast<unsigned>(emulation::of_lane<bool>(slots, lane)) << lane;
  }
  return result;
}

template <typename T>
T atomicAdd(T* target, T value) {
  return __atomic_fetch_add(target, value, __ATOMIC_RELAXED);
}
template <typename T>
T atomicMax(T* target, T value) {
  T before = __atomic_load_n(target, __ATOMIC_RELAXED);
  while (before < value &&
         !__atomic_compare_exchange_n(target, &before, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return before;
}
template <typename T>
T __ldg(const T* source) {
  return *source;
}

inline void __stwb(uint4* target, uint4 value) { *target = value; }

inline uint32_t __float_as_uint(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline float __uint_as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline int __float2int_rn(float value) { return static_cast<int>(std::nearbyint(value)); }
inline unsigned __brev(unsigned value) {
  unsigned result = 0;
  for (int bit = 0; bit < 32; ++bit) result |= (value >> bit & 1) << (31 - bit);
  return result;
}
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
  const uint64_t bytes = static_cast<uint64_t>(high) << 32 | low;
  unsigned result = 0;
  for (int k = 0; k < 4; ++k) result |= (bytes >> ((selector >> (4 * k) & 7) * 8) & 255) << (8 * k);
  return result;
}
inline int __popc(unsigned value) { return __builtin_popcount(value); }
inline int __ffs(int value) { return __builtin_ffs(value); }

// ---- What the host calls ----

using cudaError_t = int;
constexpr cudaError_t cudaSuccess = 0;
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };

inline const char* cudaGetErrorString(cudaError_t) { return "emulated"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
template <typename T>
cudaError_t cudaMalloc(T** memory, size_t bytes) {
  return *memory = static_cast<T*>(std::aligned_alloc(256, (bytes + 255) / 256 * 256)), cudaSuccess;
}
inline cudaError_t cudaFree(void* memory) { return std::free(memory), cudaSuccess; }
inline cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                                   xlembed::kernels::CudaStream) {
  return cudaMemcpy(to, from, bytes, kind);
}
inline cudaError_t cudaStreamSynchronize(xlembed::kernels::CudaStream) { return cudaSuccess; }
