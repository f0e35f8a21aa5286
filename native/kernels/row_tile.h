// A few rows times a few panels, the sums held in vector registers: what linear layers and attention share.
// Values are handled in 32-bit words (a float32, two bfloat16, four int8) along the dimension that is summed.
// A matrix of N columns is laid out as panels of kLanes columns: (ceil(N / kLanes), words, kLanes).
//
// A sum is one chain over ascending words: its bits depend on its own row and column alone, not on the rows
// beside it, the number of threads or the place in a batch.
#pragma once

#include <array>
#include <utility>

#include "kernels/arithmetic.h"
#include "kernels/bfloat16.h"

namespace xlembed::kernels {

// By the type of the values.
template <typename T>
struct ArithmeticOf;
template <>
struct ArithmeticOf<float> {
  using type = Float32Words;
};
template <>
struct ArithmeticOf<bfloat16> {
  using type = Bfloat16Pairs;
};

// Sums, panel words and one word of a row fill the registers: 28 of 32 with AVX-512, else 15 of 16. With all
// 16 taken (3 x 4) GCC reads the panels from memory for every row, and two reads a cycle bound the loop.
inline constexpr int kTileVectors = kLanes == 16 ? 3 : 2;
inline constexpr int kTileRows = kLanes == 16 ? 8 : 6;
inline constexpr int64_t kTileColumns = kTileVectors * kLanes;

inline int64_t panels_of(int64_t columns) { return (columns + kLanes - 1) / kLanes; }

// sums (R, V * kLanes) = x (R, words) times V panels (V, words, kLanes); strides in elements, from row to
// row.
template <typename Arithmetic>
struct RowTiles {
  template <int V, int R>
  static void multiply(const typename Arithmetic::Word* x, int64_t x_stride,
                       const typename Arithmetic::Word* panels, int64_t words, typename Arithmetic::Sum* out,
                       int64_t out_stride) {
    typename Arithmetic::Sums sums[R][V];
    XLEMBED_UNROLL
    for (int r = 0; r < R; ++r) {
      XLEMBED_UNROLL
      for (int v = 0; v < V; ++v) sums[r][v] = typename Arithmetic::Sums{};
    }
    for (int64_t w = 0; w < words; ++w) {
      typename Arithmetic::Words columns[V];
      for (int v = 0; v < V; ++v) columns[v] = Arithmetic::load_words(panels + (v * words + w) * kLanes);
      for (int r = 0; r < R; ++r) {
        const auto word = Arithmetic::broadcast_word(x[r * x_stride + w]);
        for (int v = 0; v < V; ++v) sums[r][v] = Arithmetic::multiply_add(columns[v], word, sums[r][v]);
      }
    }
    XLEMBED_UNROLL
    for (int r = 0; r < R; ++r) {
      XLEMBED_UNROLL
      for (int v = 0; v < V; ++v) Arithmetic::store_sums(out + r * out_stride + v * kLanes, sums[r][v]);
    }
  }
};

// The functions Tiles::multiply<V, R> for all sizes of a tile: by panels - 1, then by rows - 1.
template <typename Tiles, int V, int... R>
constexpr auto tiles_by_rows(std::integer_sequence<int, R...>) {
  return std::array{&Tiles::template multiply<V, R + 1>...};
}
template <typename Tiles, int... V>
constexpr auto tiles_by_size(std::integer_sequence<int, V...>) {
  return std::array{tiles_by_rows<Tiles, V + 1>(std::make_integer_sequence<int, kTileRows>())...};
}
template <typename Tiles>
inline constexpr auto kTilesBySize = tiles_by_size<Tiles>(std::make_integer_sequence<int, kTileVectors>());

template <typename Arithmetic>
inline constexpr auto& kMultiplyTile = kTilesBySize<RowTiles<Arithmetic>>;

}  // namespace xlembed::kernels
