// Linear layers (linear.h) over integers of 16 bits (fixed16.h): weights with a step for each output,
// activations with one for each token. What layers of bfloat16 are computed with: nearer to float32 than
// bfloat16 itself, and on the processors that cannot multiply it as fast as float32, or faster.
#pragma once

#include "kernels/linear.h"

namespace xlembed::kernels {

// input (rows, D) float or bfloat16, D even -> output (rows, D), 4-byte aligned, steps (rows)
template <typename T>
void fix_rows(const T* input, int64_t rows, int64_t dimensions, int16_t* output, float* steps);

struct Int16Weight {
  const int16_t* packed;  // (packed_weight_size), 64-byte aligned
  const float* steps;     // (out)
};

// Fills in what Int16Weight points to, from a weight (out, in), `in` even.
void pack_weight_int16(const float* weight, int64_t out, int64_t in, int16_t* packed, float* steps);

// x (rows, in), steps (rows), bias (out), y (rows, out) float or bfloat16
template <typename Out>
void linear_int16(const int16_t* x, const float* steps, const Int16Weight& weight, const float* bias,
                  LinearShape shape, Activation activation, Out* y);

}  // namespace xlembed::kernels
