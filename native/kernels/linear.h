// Linear layers of an encoder at inference, over weights that were laid out once:
//   y = activation(x W^T + b)
// x and W are float32, bfloat16 or 8-bit integers; bias and sums are float32 (int32 for integers). Equal rows
// give equal bits, whatever lies beside them (row_tile.h).
//
// Integers: W_nk is about scale_n (w_nk - z), w unsigned; x_tk about scale_t q_tk, q signed; so
//   x W^T is about scale_t scale_n (sum_k w_nk q_tk - z sum_k q_tk)
// z = 128, and weights have 8 bits; on x86 processors without AVX512-VNNI z = 64, and weights have 7.
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

// One scale for each output; scales (out).
void pack_weight_int8(const float* weight, int64_t out, int64_t in, uint8_t* packed, float* scales);

struct QuantizedRow {
  float scale;
  int32_t correction;  // -z sum_k q_k
};

// How activations enter a layer of bfloat16 or integers: (rows, D).
void round_rows(const float* input, int64_t rows, int64_t dimensions, bfloat16* output);

// input (rows, D) float or bfloat16 -> output (rows, D) in -127 .. 127, ties to even
template <typename T>
void quantize_rows(const T* input, int64_t rows, int64_t dimensions, int8_t* output, QuantizedRow* quantized);

// x (rows, in), bias (out), y (rows, out) float or bfloat16
template <typename T, typename Out>
void linear(const T* x, const T* packed_weight, const float* bias, LinearShape shape, Activation activation,
            Out* y);

template <typename Out>
void linear_int8(const int8_t* x, const QuantizedRow* quantized, const uint8_t* packed_weight,
                 const float* scales, const float* bias, LinearShape shape, Activation activation, Out* y);

}  // namespace xlembed::kernels
