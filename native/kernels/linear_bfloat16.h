// Linear layers (linear.h) over bfloat16, rounded to nearest, with sums in float32: for processors with a
// matrix unit (amx.h), which does sixteen times as many products a cycle as float32 has. Subnormal bfloat16
// count as zero there. Elsewhere linear_int16.h is faster and nearer to float32; this computes the same by
// the vector unit.
#pragma once

#include "kernels/bfloat16.h"
#include "kernels/linear.h"

namespace xlembed::kernels {

// Values from one row of D to the next, zeros behind the first D.
int64_t bfloat16_row_size(int64_t dimensions);

// input (rows, D) float or bfloat16 -> output (rows, bfloat16_row_size(D)), 4-byte aligned
template <typename T>
void round_rows(const T* input, int64_t rows, int64_t dimensions, bfloat16* output);

// Elements of a weight (out, in) once laid out, 64-byte aligned.
int64_t bfloat16_weight_size(int64_t out, int64_t in);

void pack_weight_bfloat16(const float* weight, int64_t out, int64_t in, bfloat16* packed);

// x (rows, bfloat16_row_size(in)), bias (out), y (rows, out) float or bfloat16
template <typename Out>
void linear_bfloat16(const bfloat16* x, const bfloat16* packed_weight, const float* bias, LinearShape shape,
                     Activation activation, Out* y);

}  // namespace xlembed::kernels
