#include "kernels/linear_int8.h"

#include <bit>
#include <cfloat>
#include <cmath>
#include <limits>
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

// Words of a row or of an output's weights.
int64_t words_of(int64_t dimensions) { return whole_steps(dimensions / 4); }
// Where there are pieces, rows are not padded.
static_assert(!kHasBytePieces || kWordStep == 1);

// Places for the terms of a row's pieces, and as many for their lengths: whole registers.
int64_t piece_places(int64_t dimensions) {
  return kHasBytePieces ? panels_of(pieces_of(dimensions / 4)) * kLanes : 0;
}

// The largest |x_d|, or NaN where one is NaN: above infinity's, the bits of a NaN win.
template <typename T>
float largest_size(const T* x, int64_t count) {
  int32_t largest = 0;
#pragma omp simd reduction(max : largest)
  for (int64_t d = 0; d < count; ++d) {
    const int32_t size = std::bit_cast<int32_t>(to_float(x[d])) & 0x7FFFFFFF;
    largest = size > largest ? size : largest;
  }
  return std::bit_cast<float>(largest);
}

bool is_finite(float size) { return size <= FLT_MAX; }

Floats load_floats(const float* x) { return load(x); }
Floats load_floats(const bfloat16* x) {
  alignas(64) float values[kLanes];
  for (int i = 0; i < kLanes; ++i) values[i] = to_float(x[i]);
  return load(values);
}

// To nearest, ties to even.
Sums32 round_to_integers(Floats x) {
#if defined(__AVX512F__)
  return (Sums32)_mm512_cvtps_epi32(x);
#elif defined(XLEMBED_AVX2)
  return (Sums32)_mm256_cvtps_epi32(x);
#else
  Sums32 result{};
  for (int i = 0; i < kLanes; ++i) result[i] = static_cast<int32_t>(std::nearbyint(x[i]));
  return result;
#endif
}

// Integers of -128 .. 127.
void store_bytes(int8_t* out, Sums32 x) {
#if defined(__AVX512F__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm512_cvtepi32_epi8((__m512i)x));
#elif defined(XLEMBED_AVX2)
  const __m256i all = (__m256i)x;
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(out), _mm_packs_epi16(words, words));
#else
  for (int i = 0; i < kLanes; ++i) out[i] = static_cast<int8_t>(x[i]);
#endif
}

// Of a piece's integers and of their squares, by half of a word.
struct PieceSums {
  int32_t sums[2], squares[2];
  float length() const { return std::sqrt(static_cast<float>(std::max(squares[0], squares[1]))); }
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

// x (count), at most `most`, -> q in -127 .. 127 by quantize(x, q), which takes as many as `most`.
template <int64_t most, typename T, typename Quantize>
auto quantize_last(const T* x, int64_t count, int8_t* q, const Quantize& quantize) {
  T values[most] = {};
  int8_t integers[most];
  std::copy_n(x, count, values);
  const auto result = quantize(values, integers);
  std::copy_n(integers, count, q);
  return result;
}

template <typename T>
Sums32 quantize_lanes(const T* x, float inverse, int8_t* q) {
  const Sums32 integers = round_to_integers(load_floats(x) * inverse);
  store_bytes(q, integers);
  return integers;
}

struct RowSums {
  int32_t sum;
  float longest;
};

// A row's integers; their sum.
template <typename T>
RowSums quantize_plain(const T* x, float inverse, int64_t dimensions, int8_t* q) {
  Sums32 sums{};
  int64_t d = 0;
  for (; d + kLanes <= dimensions; d += kLanes) sums += quantize_lanes(x + d, inverse, q + d);
  if (d < dimensions) {
    sums += quantize_last<kLanes>(x + d, dimensions - d, q + d, [&](const T* values, int8_t* integers) {
      return quantize_lanes(values, inverse, integers);
    });
  }
  int32_t sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += sums[i];
  return {sum, 0};
}

template <typename T>
PieceSums quantize_piece(const T* x, float inverse, int8_t* q) {
  Sums32 sums{}, squares{};
  XLEMBED_UNROLL
  for (int64_t d = 0; d < kPieceValues; d += kLanes) {
    const Sums32 integers = quantize_lanes(x + d, inverse, q + d);
    sums += integers;
    squares += integers * integers;
  }
  return by_half(sums, squares);
}

// The same, with the terms and the lengths of its pieces behind the integers.
template <typename T>
RowSums quantize_pieces(const T* x, float inverse, int64_t dimensions, int8_t* q) {
  RowSums row{};
  const int64_t places = piece_places(dimensions);
  std::fill_n(q + dimensions, 8 * places, int8_t{0});
  for (int64_t piece = 0, begin = 0; begin < dimensions; ++piece, begin += kPieceValues) {
    const int64_t rest = dimensions - begin;
    const auto quantize = [&](const T* values, int8_t* integers) {
      return quantize_piece(values, inverse, integers);
    };
    const PieceSums some = rest < kPieceValues
                               ? quantize_last<kPieceValues>(x + begin, rest, q + begin, quantize)
                               : quantize(x + begin, q + begin);
    row.sum += some.sums[0] + some.sums[1];
    const PieceTerms terms = {static_cast<int16_t>(-kWeightZero * some.sums[0]),
                              static_cast<int16_t>(-kWeightZero * some.sums[1])};
    const float length = some.length();
    std::memcpy(q + dimensions + 4 * piece, &terms, sizeof terms);
    std::memcpy(q + dimensions + 4 * (places + piece), &length, sizeof length);
    row.longest = std::max(row.longest, length);
  }
  return row;
}

}  // namespace

int64_t quantized_row_size(int64_t dimensions) {
  return 4 * words_of(dimensions) + 8 * piece_places(dimensions);
}

int64_t int8_weight_size(int64_t out, int64_t in) { return packed_weight_size(out, 4 * words_of(in)); }

int64_t int8_lengths_size(int64_t out, int64_t in) {
  return tile_groups<RegisterTile>(out) * piece_places(in);
}

template <typename T>
void quantize_rows(const T* input, int64_t rows, int64_t dimensions, int8_t* output,
                   QuantizedRow* quantized) {
#pragma omp parallel for schedule(static) if (!omp_in_parallel() && rows * dimensions > 32768)
  for (int64_t r = 0; r < rows; ++r) {
    const T* x = input + r * dimensions;
    int8_t* q = output + r * quantized_row_size(dimensions);
    const float largest = largest_size(x, dimensions);
    if (!is_finite(largest)) {
      std::fill_n(q, quantized_row_size(dimensions), int8_t{0});
      quantized[r] = {std::numeric_limits<float>::quiet_NaN(), 0, 0};
      continue;
    }
    // A scale below the smallest normal number has no inverse.
    const float scale = largest > 127 * 1.1754944e-38f ? largest / 127.0f : 0.0f;
    const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
    const RowSums sums = kHasBytePieces ? quantize_pieces(x, inverse, dimensions, q)
                                        : quantize_plain(x, inverse, dimensions, q);
    if (kWordStep > 1) std::fill(q + dimensions, q + quantized_row_size(dimensions), int8_t{0});
    quantized[r] = {scale, -kWeightZero * sums.sum, sums.longest};
  }
}

void pack_weight_int8(const float* weight, int64_t out, int64_t in, uint8_t* packed, float* scales,
                      float* lengths) {
  for (int64_t n = 0; n < out; ++n) {
    const float largest = largest_size(weight + n * in, in);
    scales[n] = is_finite(largest) ? largest / kLargestWeight : std::numeric_limits<float>::quiet_NaN();
  }
  const auto integer = [&](int64_t n, int64_t k) {
    return scales[n] > 0 ? static_cast<int32_t>(std::nearbyint(weight[n * in + k] / scales[n])) : 0;
  };
  pack_panels(out, in, 4 * words_of(in), packed,
              [&](int64_t n, int64_t k) { return static_cast<uint8_t>(kWeightZero + integer(n, k)); });
  std::fill_n(lengths, int8_lengths_size(out, in), 0.0f);
  if (!kHasBytePieces) return;
  for (int64_t n = 0; n < out; ++n) {
    float* group = lengths + n / kTileColumns * piece_places(in);
    for (int64_t piece = 0; piece < pieces_of(in / 4); ++piece) {
      PieceSums some{};
      for (int64_t k = piece * kPieceValues; k < std::min((piece + 1) * kPieceValues, in); ++k)
        some.squares[k / 2 % 2] += integer(n, k) * integer(n, k);
      group[piece] = std::max(group[piece], some.length());
    }
  }
}

namespace {

// From sums of q w to those of q (w - z).
template <typename Size>
void correct(const QuantizedRow* quantized, const Tile& tile, int32_t* sums) {
  for (int64_t r = 0; r < tile.height; ++r) {
    const int32_t correction = quantized[tile.row + r].correction;
#pragma omp simd
    for (int64_t n = 0; n < Size::kColumns; ++n) sums[r * Size::kColumns + n] += correction;
  }
}

// The layer in tiles of one size; Multiplier(layer, tile) serves the tiles above one another, and its
// operator()(rows, panels, tile, sums) computes sums of q (w - z).
template <typename Size, typename Multiplier, typename Out>
void linear_in_tiles(const int8_t* x, const QuantizedRow* quantized, const Int8Weight& weight,
                     const float* bias, LinearShape shape, Activation activation, Out* y) {
  const int64_t words = words_of(shape.in), stride = quantized_row_size(shape.in) / 4;
  struct Columns {
    TileColumnValues<Size> biases, scales;
    mutable Multiplier multiply;
  };
  const auto columns_of = [&](const Tile& tile) {
    return Columns{{bias, tile}, {weight.scales, tile}, {quantized, weight, shape.in, tile}};
  };
  const auto multiply = [&](const Tile& tile, const Columns& columns, int32_t* sums) {
    const auto* rows = reinterpret_cast<const uint32_t*>(x) + tile.row * stride;
    const auto* panels = reinterpret_cast<const uint32_t*>(weight.packed) + tile.column * words;
    columns.multiply(rows, panels, tile, sums);
  };
  const auto finish = [&](const Tile& tile, const Columns& columns, const int32_t* sums) {
    const auto scale_of = [&](int64_t row) { return quantized[row].scale; };
    write_integers<Size>(sums, tile, scale_of, columns.scales.values, columns.biases.values, activation,
                         shape.out, y);
  };
  for_each_tile<Size, int32_t>(shape, y, columns_of, multiply, finish);
}

class VectorMultiplier {
 public:
  VectorMultiplier(const QuantizedRow* quantized, const Int8Weight& weight, int64_t in, const Tile& tile)
      : quantized_(quantized),
        words_(words_of(in)),
        stride_(quantized_row_size(in) / 4),
        places_(piece_places(in)),
        lengths_(weight.piece_lengths + tile.column / kTileColumns * places_),
        longest_(places_ == 0 ? 0 : *std::max_element(lengths_, lengths_ + places_)) {}

  void operator()(const uint32_t* rows, const uint32_t* panels, const Tile& tile, int32_t* sums) const {
#if defined(XLEMBED_BYTE_PIECES)
    float longest = 0;
    for (int64_t r = 0; r < tile.height; ++r) longest = std::max(longest, quantized_[tile.row + r].longest);
    int64_t at_once = pieces_at_once(longest * longest_);
    if (at_once == 0) {
      const auto* lengths = reinterpret_cast<const float*>(rows + words_ + places_);
      at_once = pieces_at_once(longest_product(lengths, tile.height, stride_, lengths_, places_));
    }
    if (at_once > 0) {
      kTilesBySize<PieceTiles>[tile.panels - 1][tile.height - 1](rows, stride_, panels, words_, at_once,
                                                                 sums);
      return;
    }
#endif
    kMultiplyTile<Arithmetic>[tile.panels - 1][tile.height - 1](rows, stride_, panels, words_, sums,
                                                                kTileColumns);
    correct<RegisterTile>(quantized_, tile, sums);
  }

 private:
  const QuantizedRow* quantized_;
  int64_t words_, stride_, places_;
  const float* lengths_;
  [[maybe_unused]] float longest_;
};

#if defined(XLEMBED_AMX)
class AmxMultiplier {
 public:
  AmxMultiplier(const QuantizedRow* quantized, const Int8Weight&, int64_t in, const Tile&)
      : quantized_(quantized), words_(words_of(in)) {}

  void operator()(const uint32_t* rows, const uint32_t* panels, const Tile& tile, int32_t* sums) {
    registers_.fit(tile.height);
    kMultiplyAmx<Int8Tiles>[tile.height > 16][tile.panels - 1](rows, words_, panels, words_, nullptr, sums,
                                                               AmxTile::kColumns);
    correct<AmxTile>(quantized_, tile, sums);
  }

 private:
  const QuantizedRow* quantized_;
  int64_t words_;
  AmxTileRegisters registers_;
};
#endif

}  // namespace

template <typename Out>
void linear_int8(const int8_t* x, const QuantizedRow* quantized, const Int8Weight& weight, const float* bias,
                 LinearShape shape, Activation activation, Out* y) {
#if defined(XLEMBED_AMX)
  if (amx_granted())
    return linear_in_tiles<AmxTile, AmxMultiplier>(x, quantized, weight, bias, shape, activation, y);
#endif
  linear_in_tiles<RegisterTile, VectorMultiplier>(x, quantized, weight, bias, shape, activation, y);
}

template void quantize_rows(const float*, int64_t, int64_t, int8_t*, QuantizedRow*);
template void quantize_rows(const bfloat16*, int64_t, int64_t, int8_t*, QuantizedRow*);
template void linear_int8(const int8_t*, const QuantizedRow*, const Int8Weight&, const float*, LinearShape,
                          Activation, float*);
template void linear_int8(const int8_t*, const QuantizedRow*, const Int8Weight&, const float*, LinearShape,
                          Activation, bfloat16*);

}  // namespace xlembed::kernels
