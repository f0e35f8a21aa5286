// Linear layers of an encoder at inference, over weights that were laid out once:
//   y = activation(x W^T + b)
// x and W are float32 or bfloat16; bias and sums are float32. Equal rows give equal bits, whatever lies
// beside them (row_tile.h).
#pragma once

#include <cstdint>

#include "kernels/activation.h"
#include "kernels/bfloat16.h"

namespace xlembed::kernels {

struct LinearShape {
  int64_t rows, in, out;  // `in` a multiple of the values in 32 bits: 2 for bfloat16, 4 for integers
};

// Elements of a weight (out, in) once laid out: whole registers of columns. Its memory is aligned to 64
// bytes.
int64_t packed_weight_size(int64_t out, int64_t in);

template <typename T>
void pack_weight(const T* weight, int64_t out, int64_t in, T* packed);

// How activations enter a layer of bfloat16: (rows, D).
void round_rows(const float* input, int64_t rows, int64_t dimensions, bfloat16* output);

// x (rows, in), bias (out), y (rows, out) float or bfloat16
template <typename T, typename Out>
void linear(const T* x, const T* packed_weight, const float* bias, LinearShape shape, Activation activation,
            Out* y);

}  // namespace xlembed::kernels
