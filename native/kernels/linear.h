// Linear layers of an encoder at inference, over weights that were laid out once:
//   y = activation(x W^T + b)
// in float32; linear_int16.h and linear_int8.h do it in integers. Equal rows give equal bits, whatever lies
// beside them (row_tile.h).
#pragma once

#include <cstdint>

#include "kernels/activation.h"

namespace xlembed::kernels {

struct LinearShape {
  int64_t rows, in, out;  // `in` a multiple of the values in 32 bits: 2 for int16, 4 for int8
};

// Elements of a weight (out, in) once laid out: whole registers of columns. Its memory is aligned to 64
// bytes.
int64_t packed_weight_size(int64_t out, int64_t in);

void pack_weight(const float* weight, int64_t out, int64_t in, float* packed);

// x (rows, in), bias (out), y (rows, out)
void linear(const float* x, const float* packed_weight, const float* bias, LinearShape shape,
            Activation activation, float* y);

}  // namespace xlembed::kernels
