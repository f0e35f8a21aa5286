// Linear layers (linear.h) over 8-bit integers: W_nk is about scale_n (w_nk - z), w unsigned; x_tk about
// scale_t q_tk, q signed; so
//   x W^T is about scale_t scale_n (sum_k w_nk q_tk - z sum_k q_tk)
// z = 128, and weights have 8 bits; on x86 processors without AVX512-VNNI z = 64, and weights have 7. The sum
// in brackets is exact, by whichever unit: a processor with a matrix unit (amx.h) multiplies tiles there. A
// row or an output's weights that are not finite make all that they meet NaN.
#pragma once

#include "kernels/linear.h"

namespace xlembed::kernels {

// What goes with a row of integers.
struct QuantizedRow {
  float scale;
  int32_t correction;  // -z sum_k q_k
  float longest;       // byte_pieces.h: the length of the longest piece
};

// Bytes of a row of D integers, with zeros to whole words of the matrix unit and what byte_pieces.h wants
// behind.
int64_t quantized_row_size(int64_t dimensions);

// input (rows, D) float or bfloat16 -> output (rows, quantized_row_size(D)), 4-byte aligned: D integers in
// -127 .. 127, ties to even, and what goes with them.
template <typename T>
void quantize_rows(const T* input, int64_t rows, int64_t dimensions, int8_t* output, QuantizedRow* quantized);

struct Int8Weight {
  const uint8_t* packed;       // (int8_weight_size), 64-byte aligned
  const float* scales;         // (out)
  const float* piece_lengths;  // (int8_lengths_size): byte_pieces.h, over as many columns as a tile has
};

// `in` a multiple of 4
int64_t int8_weight_size(int64_t out, int64_t in);
int64_t int8_lengths_size(int64_t out, int64_t in);

// Fills in what Int8Weight points to; one scale for each output.
void pack_weight_int8(const float* weight, int64_t out, int64_t in, uint8_t* packed, float* scales,
                      float* piece_lengths);

// x (rows, quantized_row_size(in)), bias (out), y (rows, out) float or bfloat16
template <typename Out>
void linear_int8(const int8_t* x, const QuantizedRow* quantized, const Int8Weight& weight, const float* bias,
                 LinearShape shape, Activation activation, Out* y);

}  // namespace xlembed::kernels
