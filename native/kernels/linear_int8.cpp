#include "kernels/linear_int8.h"

#include <cmath>
#include <type_traits>

#include "kernels/byte_pieces.h"
#include "kernels/linear_tiles.h"

namespace xlembed::kernels {
namespace {

// Weights as w + kWeightZero, |w| <= kLargestWeight: 8 bits where the processor multiplies bytes in one
// instruction, elsewhere 7, as Int7Quads takes them.
constexpr int32_t kWeightZero = kHasBytePieces ? 64 : 128;
constexpr int32_t kLargestWeight = kWeightZero - 1;
using Arithmetic = std::conditional_t<kHasBytePieces, Int7Quads, Int8Quads>;

int64_t pieces_in(int64_t dimensions) {
  return kHasBytePieces ? (dimensions + kPieceValues - 1) / kPieceValues : 0;
}

// Of a piece's integers and of their squares, by half of a word.
struct PieceSums {
  int32_t sums[2], squares[2];
};

PieceSums by_half(Sums32 sums, Sums32 squares) {
  int32_t lanes[2][kLanes];
  std::memcpy(lanes[0], &sums, sizeof sums);
  std::memcpy(lanes[1], &squares, sizeof squares);
  PieceSums result{};
  XLEMBED_UNROLL
  for (int i = 0; i < kLanes; ++i) {
    result.sums[i / 2 % 2] += lanes[0][i];
    result.squares[i / 2 % 2] += lanes[1][i];
  }
  return result;
}

// x (kPieceValues) -> q in -127 .. 127
template <typename T>
PieceSums quantize_piece(const T* x, float inverse, int8_t* q) {
  Sums32 sums{}, squares{};
  XLEMBED_UNROLL
  for (int64_t d = 0; d < kPieceValues; d += kLanes) {
    const Sums32 integers = round_to_integers(load_floats(x + d) * inverse);
    store_bytes(q + d, integers);
    sums += integers;
    squares += integers * integers;
  }
  return by_half(sums, squares);
}

// The same for a row's last values, fewer than a piece.
template <typename T>
PieceSums quantize_part(const T* x, float inverse, int64_t count, int8_t* q) {
  T values[kPieceValues] = {};
  int8_t integers[kPieceValues];
  std::copy_n(x, count, values);
  const PieceSums sums = quantize_piece(values, inverse, integers);
  std::copy_n(integers, count, q);
  return sums;
}

}  // namespace

int64_t quantized_row_size(int64_t dimensions) { return dimensions + 4 * pieces_in(dimensions); }

int64_t int8_lengths_size(int64_t out) { return panels_of(out); }

template <typename T>
void quantize_rows(const T* input, int64_t rows, int64_t dimensions, int8_t* output,
                   QuantizedRow* quantized) {
#pragma omp parallel for schedule(static) if (!omp_in_parallel() && rows * dimensions > 32768)
  for (int64_t r = 0; r < rows; ++r) {
    const T* x = input + r * dimensions;
    int8_t* q = output + r * quantized_row_size(dimensions);
    float largest = 0;
#pragma omp simd reduction(max : largest)
    for (int64_t d = 0; d < dimensions; ++d) {
      const float size = std::fabs(to_float(x[d]));
      largest = size > largest ? size : largest;
    }
    // A scale below the smallest normal number has no inverse.
    const float scale = largest > 127 * 1.1754944e-38f ? largest / 127.0f : 0.0f;
    const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
    int32_t sum = 0, most_squares = 0;
    for (int64_t begin = 0; begin < dimensions; begin += kPieceValues) {
      const int64_t rest = dimensions - begin;
      const PieceSums piece = rest < kPieceValues ? quantize_part(x + begin, inverse, rest, q + begin)
                                                  : quantize_piece(x + begin, inverse, q + begin);
      sum += piece.sums[0] + piece.sums[1];
      most_squares = std::max({most_squares, piece.squares[0], piece.squares[1]});
      if constexpr (kHasBytePieces) {
        const uint32_t terms[2] = {static_cast<uint32_t>(-kWeightZero * piece.sums[0]),
                                   static_cast<uint32_t>(-kWeightZero * piece.sums[1])};
        const uint32_t word = (terms[0] & 0xFFFFu) | terms[1] << 16;
        std::memcpy(q + dimensions + begin / kPieceWords, &word, sizeof word);
      }
    }
    quantized[r] = {scale, -kWeightZero * sum, std::sqrt(static_cast<float>(most_squares))};
  }
}

void pack_weight_int8(const float* weight, int64_t out, int64_t in, uint8_t* packed, float* scales,
                      float* lengths) {
  for (int64_t n = 0; n < out; ++n) {
    float largest = 0;
    for (int64_t k = 0; k < in; ++k) largest = std::max(largest, std::fabs(weight[n * in + k]));
    scales[n] = largest / kLargestWeight;
  }
  const auto integer = [&](int64_t n, int64_t k) {
    const float divisor = scales[n] > 0 ? scales[n] : INFINITY;
    return static_cast<int32_t>(std::nearbyint(weight[n * in + k] / divisor));
  };
  pack_panels(out, in, packed,
              [&](int64_t n, int64_t k) { return static_cast<uint8_t>(kWeightZero + integer(n, k)); });
  std::fill_n(lengths, panels_of(out), 0.0f);
  for (int64_t n = 0; n < out; ++n) {
    for (int64_t begin = 0; begin < in; begin += kPieceValues) {
      int32_t squares[2] = {};
      for (int64_t k = begin; k < std::min(begin + kPieceValues, in); ++k)
        squares[k / 2 % 2] += integer(n, k) * integer(n, k);
      const auto length = std::sqrt(static_cast<float>(std::max(squares[0], squares[1])));
      lengths[n / kLanes] = std::max(lengths[n / kLanes], length);
    }
  }
}

template <typename Out>
void linear_int8(const int8_t* x, const QuantizedRow* quantized, const Int8Weight& weight, const float* bias,
                 LinearShape shape, Activation activation, Out* y) {
  const int64_t words = shape.in / 4, stride = quantized_row_size(shape.in) / 4;
  const auto* rows = reinterpret_cast<const uint32_t*>(x);
  const auto* weights = reinterpret_cast<const uint32_t*>(weight.packed);
  // sums of q (w - z)
  const auto multiply = [&](const Tile& tile, int32_t* sums) {
    const uint32_t *from = rows + tile.row * stride, *panels = weights + tile.column * words;
#if defined(XLEMBED_BYTE_PIECES)
    {
      float row_length = 0, column_length = 0;
      for (int64_t r = 0; r < tile.height; ++r)
        row_length = std::max(row_length, quantized[tile.row + r].piece_length);
      for (int64_t p = 0; p < tile.panels; ++p)
        column_length = std::max(column_length, weight.piece_lengths[tile.column / kLanes + p]);
      if (const int64_t at_once = pieces_at_once(row_length, column_length); at_once > 0) {
        kTilesBySize<PieceTiles>[tile.panels - 1][tile.height - 1](from, stride, panels, words, at_once,
                                                                   sums);
        return;
      }
    }
#endif
    kMultiplyTile<Arithmetic>[tile.panels - 1][tile.height - 1](from, stride, panels, words, sums,
                                                                kTileColumns);
    for (int64_t r = 0; r < tile.height; ++r) {
      const int32_t correction = quantized[tile.row + r].correction;
#pragma omp simd
      for (int64_t n = 0; n < kTileColumns; ++n) sums[r * kTileColumns + n] += correction;
    }
  };
  for_each_tile<int32_t>(shape, y, multiply, [&](const Tile& tile, const int32_t* sums) {
    const TileColumnValues biases(bias, tile), factors(weight.scales, tile);
    alignas(64) float values[kTileRows * kTileColumns];
    for (int64_t r = 0; r < tile.height; ++r) {
      const float scale = quantized[tile.row + r].scale;
      const int32_t* row = sums + r * kTileColumns;
#pragma omp simd
      for (int64_t n = 0; n < kTileColumns; ++n) {
        values[r * kTileColumns + n] =
            static_cast<float>(row[n]) * (scale * factors.values[n]) + biases.values[n];
      }
    }
    write_tile(values, tile, activation, shape.out, y);
  });
}

template void quantize_rows(const float*, int64_t, int64_t, int8_t*, QuantizedRow*);
template void quantize_rows(const bfloat16*, int64_t, int64_t, int8_t*, QuantizedRow*);
template void linear_int8(const int8_t*, const QuantizedRow*, const Int8Weight&, const float*, LinearShape,
                          Activation, float*);
template void linear_int8(const int8_t*, const QuantizedRow*, const Int8Weight&, const float*, LinearShape,
                          Activation, bfloat16*);

}  // namespace xlembed::kernels
