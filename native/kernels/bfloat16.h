// The 16-bit brain float as the kernels see it: the upper half of a float32.
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define XLEMBED_BOTH __host__ __device__ inline
#else
#define XLEMBED_BOTH inline
#endif

namespace xlembed::kernels {

struct bfloat16 {
  uint16_t bits;
};

XLEMBED_BOTH float to_float(float value) { return value; }

XLEMBED_BOTH float to_float(bfloat16 value) {
  const uint32_t wide = static_cast<uint32_t>(value.bits) << 16;
  float result;
  memcpy(&result, &wide, sizeof result);
  return result;
}

// Rounds to nearest, ties to even; a NaN stays one.
XLEMBED_BOTH bfloat16 round_to_bfloat16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  const uint32_t quiet = (bits >> 16) | 0x40u;
  return {static_cast<uint16_t>(value != value ? quiet : rounded)};
}

XLEMBED_BOTH void store(float* target, float value) { *target = value; }
XLEMBED_BOTH void store(bfloat16* target, float value) { *target = round_to_bfloat16(value); }

}  // namespace xlembed::kernels
