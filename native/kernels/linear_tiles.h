// What linear layers of all types share: weights in panels, the output in tiles.
#pragma once

#include <omp.h>

#include <algorithm>

#include "kernels/amx_tile.h"
#include "kernels/linear.h"
#include "kernels/row_tile.h"
#include "kernels/store_rows.h"

namespace xlembed::kernels {

// Rows and columns of a tile; rows that one thread takes where a single product is shared among threads.
template <int64_t rows, int64_t columns>
struct TileSize {
  static constexpr int64_t kRows = rows, kColumns = columns, kPanels = columns / kLanes,
                           kRowBlock = 16 * rows;
};
using RegisterTile = TileSize<kTileRows, kTileColumns>;
#if defined(XLEMBED_AMX)
using AmxTile = TileSize<kAmxRows, kAmxColumns>;
#endif

// Columns of tiles.
template <typename Size = RegisterTile>
int64_t tile_groups(int64_t columns) {
  return (columns + Size::kColumns - 1) / Size::kColumns;
}

// Values (out, in) become panels, `depth` values deep, zeros behind the first `in`: the values of one 32-bit
// word stay together.
template <typename T, typename Value>
void pack_panels(int64_t out, int64_t in, int64_t depth, T* packed, const Value& value) {
  constexpr int64_t kValues = 4 / sizeof(T);
#pragma omp parallel for schedule(static)
  for (int64_t panel = 0; panel < panels_of(out); ++panel) {
    T* target = packed + panel * kLanes * depth;
    for (int64_t k = 0; k < depth; ++k) {
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        const int64_t n = panel * kLanes + lane;
        target[(k / kValues * kLanes + lane) * kValues + k % kValues] = n < out && k < in ? value(n, k) : T{};
      }
    }
  }
}

// For results that are stored as Out.
template <typename Out>
void activate(float* values, int64_t count, Activation activation) {
  const auto apply = [&](auto function) {
#pragma omp simd
    for (int64_t n = 0; n < count; ++n) values[n] = function(values[n]);
  };
  switch (activation) {
    case Activation::none:
      return;
    case Activation::gelu:
      return apply(
          [](float x) { return std::is_same_v<Out, float> ? vector_gelu(x) : vector_gelu_coarse(x); });
    case Activation::gelu_tanh:
      return apply([](float x) { return vector_gelu_tanh(x); });
    case Activation::relu:
      return apply([](float x) { return vector_relu(x); });
  }
}

// A tile of the output: rows (height) and columns (width) from these on; the columns are those of some
// panels.
struct Tile {
  int64_t row, height, column, width, panels;
};

// Calls multiply(tile, columns, sums), sums (height, Size::kColumns), then finish(tile, columns, sums) for
// every tile of y (rows, out); `columns` is columns_of(tile), for tiles above one another taken once.
template <typename Size, typename Sum, typename Out, typename ColumnsOf, typename Multiply, typename Finish>
void for_each_tile(LinearShape shape, Out* y, const ColumnsOf& columns_of, const Multiply& multiply,
                   const Finish& finish) {
  const int64_t panels = panels_of(shape.out), groups = tile_groups<Size>(shape.out);
  const int64_t blocks = (shape.rows + Size::kRowBlock - 1) / Size::kRowBlock;
#pragma omp parallel for collapse(2) schedule(static) if (!omp_in_parallel())
  for (int64_t block = 0; block < blocks; ++block) {
    for (int64_t group = 0; group < groups; ++group) {
      alignas(64) Sum sums[Size::kRows * Size::kColumns] = {};  // zeros beyond the last panel
      const int64_t first = group * Size::kPanels;
      Tile tile{.column = first * kLanes,
                .width = std::min(Size::kColumns, shape.out - first * kLanes),
                .panels = std::min(Size::kPanels, panels - first)};
      const auto columns = columns_of(tile);
      const int64_t end = std::min(shape.rows, (block + 1) * Size::kRowBlock);
      for (tile.row = block * Size::kRowBlock; tile.row < end; tile.row += Size::kRows) {
        tile.height = std::min(Size::kRows, end - tile.row);
        for (int64_t r = 0; r < tile.height; ++r) {
          __builtin_prefetch(y + (tile.row + r) * shape.out + tile.column, 1, 3);
        }
        multiply(tile, columns, sums);
        finish(tile, columns, sums);
      }
    }
  }
}

// values (height, Size::kColumns), activated, become the tile of y (rows, out).
template <typename Size, typename Out>
void write_tile(float* values, const Tile& tile, Activation activation, int64_t out, Out* y) {
  activate<Out>(values, tile.height * Size::kColumns, activation);
  for (int64_t r = 0; r < tile.height; ++r) {
    Out* to = y + (tile.row + r) * out + tile.column;
    if (tile.width == Size::kColumns) {
      store_row(values + r * Size::kColumns, Size::kColumns, to);
    } else {
      store_row(values + r * Size::kColumns, tile.width, to);
    }
  }
}

// Sums of integers (height, Size::kColumns), times the scales of their rows and columns and with the columns'
// biases, activated, become the tile of y.
template <typename Size, typename RowScale, typename Out>
void write_integers(const int32_t* sums, const Tile& tile, const RowScale& row_scale, const float* scales,
                    const float* biases, Activation activation, int64_t out, Out* y) {
  alignas(64) float values[Size::kRows * Size::kColumns];
  for (int64_t r = 0; r < tile.height; ++r) {
    const float scale = row_scale(tile.row + r);
    const int32_t* row = sums + r * Size::kColumns;
#pragma omp simd
    for (int64_t n = 0; n < Size::kColumns; ++n)
      values[r * Size::kColumns + n] = static_cast<float>(row[n]) * (scale * scales[n]) + biases[n];
  }
  write_tile<Size>(values, tile, activation, out, y);
}

// The tile's share of one value for each column; zeros beyond.
template <typename Size>
struct TileColumnValues {
  TileColumnValues(const float* x, const Tile& tile) {
    if (tile.width == Size::kColumns) {  // a size known beforehand is copied without a call
      std::copy_n(x + tile.column, Size::kColumns, values);
    } else {
      std::copy_n(x + tile.column, tile.width, values);
    }
  }
  alignas(64) float values[Size::kColumns] = {};
};

}  // namespace xlembed::kernels
