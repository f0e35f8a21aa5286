#include "kernels/linear.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "kernels/row_tile.h"
#include "kernels/store_rows.h"

namespace xlembed::kernels {
namespace {

// Rows that one thread takes where a single product is shared among threads.
constexpr int64_t kRowBlock = 16 * kTileRows;

// Weights as w + kWeightZero, |w| <= kLargestWeight: 8 bits where the processor multiplies bytes in one
// instruction, elsewhere 7, as Int7Quads takes them.
#if defined(__AVX512VNNI__) || !defined(XLEMBED_BYTE_PAIRS)
constexpr int32_t kWeightZero = 128;
#else
constexpr int32_t kWeightZero = 64;
#endif
constexpr int32_t kLargestWeight = kWeightZero - 1;

template <typename T>
struct LinearArithmetic : ArithmeticOf<T> {};
template <>
struct LinearArithmetic<int8_t> {
  using type = std::conditional_t<kWeightZero == 64, Int7Quads, Int8Quads>;
};

// Values (out, in) become panels: the values of one 32-bit word stay together.
template <typename T, typename Value>
void pack_panels(int64_t out, int64_t in, T* packed, const Value& value) {
  constexpr int64_t kValues = 4 / sizeof(T);
#pragma omp parallel for schedule(static)
  for (int64_t panel = 0; panel < panels_of(out); ++panel) {
    T* target = packed + panel * kLanes * in;
    for (int64_t k = 0; k < in; ++k) {
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        const int64_t n = panel * kLanes + lane;
        target[(k / kValues * kLanes + lane) * kValues + k % kValues] = n < out ? value(n, k) : T{};
      }
    }
  }
}

void activate(float* values, int64_t count, Activation activation) {
  const auto apply = [&](auto function) {
#pragma omp simd
    for (int64_t n = 0; n < count; ++n) values[n] = function(values[n]);
  };
  switch (activation) {
    case Activation::none:
      return;
    case Activation::gelu:
      return apply([](float x) { return vector_gelu(x); });
    case Activation::gelu_tanh:
      return apply([](float x) { return vector_gelu_tanh(x); });
    case Activation::relu:
      return apply([](float x) { return vector_relu(x); });
  }
}

// A tile of the output: rows (height) and columns (width) from these on.
struct Tile {
  int64_t row, height, column, width;
};

// Calls finish(tile, sums) for every tile; `sums` (height, kTileColumns).
template <typename T, typename Packed, typename Out, typename Finish>
void multiply(const T* x, const Packed* packed, LinearShape shape, Out* y, const Finish& finish) {
  using Arithmetic = typename LinearArithmetic<T>::type;
  using Word = typename Arithmetic::Word;
  constexpr auto kValuesInWord = static_cast<int64_t>(sizeof(Word)) / static_cast<int64_t>(sizeof(T));
  const int64_t words = shape.in / kValuesInWord, panels = panels_of(shape.out);
  const int64_t groups = (panels + kTileVectors - 1) / kTileVectors;
  const int64_t blocks = (shape.rows + kRowBlock - 1) / kRowBlock;
  const auto* rows = reinterpret_cast<const Word*>(x);
  const auto* weights = reinterpret_cast<const Word*>(packed);
#pragma omp parallel for collapse(2) schedule(static) if (!omp_in_parallel())
  for (int64_t block = 0; block < blocks; ++block) {
    for (int64_t group = 0; group < groups; ++group) {
      alignas(64)
          typename Arithmetic::Sum sums[kTileRows * kTileColumns] = {};  // zeros beyond the last panel
      const int64_t first = group * kTileVectors, vectors = std::min<int64_t>(kTileVectors, panels - first);
      Tile tile{.column = first * kLanes, .width = std::min(kTileColumns, shape.out - first * kLanes)};
      const int64_t end = std::min(shape.rows, (block + 1) * kRowBlock);
      for (tile.row = block * kRowBlock; tile.row < end; tile.row += kTileRows) {
        tile.height = std::min<int64_t>(kTileRows, end - tile.row);
        for (int64_t r = 0; r < tile.height; ++r) {
          __builtin_prefetch(y + (tile.row + r) * shape.out + tile.column, 1, 3);
        }
        kMultiplyTile<Arithmetic>[vectors - 1][tile.height - 1](
            rows + tile.row* words, words, weights + first* kLanes* words, words, sums, kTileColumns);
        finish(tile, sums);
      }
    }
  }
}

// values (height, kTileColumns), activated, become the tile of y (rows, out).
template <typename Out>
void write_tile(float* values, const Tile& tile, Activation activation, int64_t out, Out* y) {
  activate(values, tile.height * kTileColumns, activation);
  for (int64_t r = 0; r < tile.height; ++r) {
    Out* to = y + (tile.row + r) * out + tile.column;
    if (tile.width == kTileColumns) {
      store_row(values + r * kTileColumns, kTileColumns, to);
    } else {
      store_row(values + r * kTileColumns, tile.width, to);
    }
  }
}

// The tile's share of one value for each column; zeros beyond.
struct TileColumnValues {
  TileColumnValues(const float* x, const Tile& tile) { std::copy_n(x + tile.column, tile.width, values); }
  alignas(64) float values[kTileColumns] = {};
};

}  // namespace

int64_t packed_weight_size(int64_t out, int64_t in) { return panels_of(out) * kLanes * in; }

template <typename T>
void pack_weight(const T* weight, int64_t out, int64_t in, T* packed) {
  pack_panels(out, in, packed, [&](int64_t n, int64_t k) { return weight[n * in + k]; });
}

void pack_weight_int8(const float* weight, int64_t out, int64_t in, uint8_t* packed, float* scales) {
  for (int64_t n = 0; n < out; ++n) {
    float largest = 0;
    for (int64_t k = 0; k < in; ++k) largest = std::max(largest, std::fabs(weight[n * in + k]));
    scales[n] = largest / kLargestWeight;
  }
  pack_panels(out, in, packed, [&](int64_t n, int64_t k) {
    const float divisor = scales[n] > 0 ? scales[n] : INFINITY;
    return static_cast<uint8_t>(kWeightZero +
                                static_cast<int32_t>(std::nearbyint(weight[n * in + k] / divisor)));
  });
}

template <typename T>
void quantize_rows(const T* input, int64_t rows, int64_t dimensions, int8_t* output,
                   QuantizedRow* quantized) {
#pragma omp parallel for schedule(static) if (!omp_in_parallel() && rows * dimensions > 32768)
  for (int64_t r = 0; r < rows; ++r) {
    const T* x = input + r * dimensions;
    int8_t* q = output + r * dimensions;
    float largest = 0;
#pragma omp simd reduction(max : largest)
    for (int64_t d = 0; d < dimensions; ++d) {
      const float size = std::fabs(to_float(x[d]));
      largest = size > largest ? size : largest;
    }
    // A scale below the smallest normal number has no inverse.
    const float scale = largest > 127 * 1.1754944e-38f ? largest / 127.0f : 0.0f;
    const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
    int32_t sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < dimensions; ++d) {
      const auto value = static_cast<int32_t>(std::nearbyint(to_float(x[d]) * inverse));
      q[d] = static_cast<int8_t>(value);
      sum += value;
    }
    quantized[r] = {scale, -kWeightZero * sum};
  }
}

void round_rows(const float* input, int64_t rows, int64_t dimensions, bfloat16* output) {
#pragma omp parallel for schedule(static) if (!omp_in_parallel() && rows * dimensions > 32768)
  for (int64_t r = 0; r < rows; ++r) {
    store_row(input + r * dimensions, dimensions, output + r * dimensions);
  }
}

template <typename T, typename Out>
void linear(const T* x, const T* packed_weight, const float* bias, LinearShape shape, Activation activation,
            Out* y) {
  multiply(x, packed_weight, shape, y, [&](const Tile& tile, float* sums) {
    const TileColumnValues biases(bias, tile);
    for (int64_t r = 0; r < tile.height; ++r) {
#pragma omp simd
      for (int64_t n = 0; n < kTileColumns; ++n) sums[r * kTileColumns + n] += biases.values[n];
    }
    write_tile(sums, tile, activation, shape.out, y);
  });
}

template <typename Out>
void linear_int8(const int8_t* x, const QuantizedRow* quantized, const uint8_t* packed_weight,
                 const float* scales, const float* bias, LinearShape shape, Activation activation, Out* y) {
  multiply(x, packed_weight, shape, y, [&](const Tile& tile, const int32_t* sums) {
    const TileColumnValues biases(bias, tile), factors(scales, tile);
    alignas(64) float values[kTileRows * kTileColumns];
    for (int64_t r = 0; r < tile.height; ++r) {
      const auto [scale, correction] = quantized[tile.row + r];
      const int32_t* row = sums + r * kTileColumns;
#pragma omp simd
      for (int64_t n = 0; n < kTileColumns; ++n) {
        values[r * kTileColumns + n] =
            static_cast<float>(row[n] + correction) * (scale * factors.values[n]) + biases.values[n];
      }
    }
    write_tile(values, tile, activation, shape.out, y);
  });
}

template void pack_weight(const float*, int64_t, int64_t, float*);
template void pack_weight(const bfloat16*, int64_t, int64_t, bfloat16*);
template void quantize_rows(const float*, int64_t, int64_t, int8_t*, QuantizedRow*);
template void quantize_rows(const bfloat16*, int64_t, int64_t, int8_t*, QuantizedRow*);
template void linear(const float*, const float*, const float*, LinearShape, Activation, float*);
template void linear(const bfloat16*, const bfloat16*, const float*, LinearShape, Activation, float*);
template void linear(const bfloat16*, const bfloat16*, const float*, LinearShape, Activation, bfloat16*);
template void linear_int8(const int8_t*, const QuantizedRow*, const uint8_t*, const float*, const float*,
                          LinearShape, Activation, float*);
template void linear_int8(const int8_t*, const QuantizedRow*, const uint8_t*, const float*, const float*,
                          LinearShape, Activation, bfloat16*);

}  // namespace xlembed::kernels
