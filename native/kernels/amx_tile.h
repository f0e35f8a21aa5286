// A tile of a linear layer by the matrix unit (amx.h): up to 32 rows against two panels of 16 columns.
#pragma once

#include "kernels/linear_tiles.h"

#if defined(XLEMBED_AMX)

namespace xlembed::kernels {

using AmxTile = TileSize<32, 32>;

// The tile registers of a thread, in sizes for tiles of one height: 0-3 hold sums (2 x 2), 4 and 5 the first
// 16 rows and the others, 6 and 7 a panel each.
class AmxTileRegisters {
 public:
  AmxTileRegisters() = default;
  AmxTileRegisters(const AmxTileRegisters&) = delete;
  AmxTileRegisters& operator=(const AmxTileRegisters&) = delete;
  ~AmxTileRegisters() {
    if (height_ > 0) _tile_release();
  }

  void fit(int64_t height) {
    if (height == height_) return;
    height_ = height;
    TileSizes sizes;
    const auto low = static_cast<uint8_t>(std::min<int64_t>(height, 16));
    const auto high = static_cast<uint8_t>(std::max<int64_t>(height - 16, 1));
    sizes.rows[0] = sizes.rows[1] = sizes.rows[4] = low;
    sizes.rows[2] = sizes.rows[3] = sizes.rows[5] = high;
    configure_tiles(sizes);
  }

 private:
  int64_t height_ = 0;
};

// sums (height, 32), a half's columns for each panel, = x (height, words), `stride` words apart, times panels
// (words, 16); words a multiple of kTileWords.
template <typename Arithmetic, bool has_high, bool has_right>
void multiply_amx(const uint32_t* x, int64_t stride, const uint32_t* panels, int64_t words,
                  typename Arithmetic::Sum* sums) {
  constexpr int64_t kLine = kTileWords * 4, kSumsRow = AmxTile::kColumns * 4;
  const uint32_t *low = x, *high = x + 16 * stride, *left = panels, *right = panels + words * kLanes;
  const int64_t row = stride * 4;
  finish_writes();
  _tile_zero(0);
  if constexpr (has_right) _tile_zero(1);
  if constexpr (has_high) _tile_zero(2);
  if constexpr (has_high && has_right) _tile_zero(3);
  for (int64_t w = 0; w < words; w += kTileWords) {
    _tile_loadd(6, left + w * kLanes, kLine);
    _tile_loadd(4, low + w, row);
    XLEMBED_MULTIPLY_TILES(0, 4, 6);
    if constexpr (has_right) {
      _tile_loadd(7, right + w * kLanes, kLine);
      XLEMBED_MULTIPLY_TILES(1, 4, 7);
    }
    if constexpr (has_high) {
      _tile_loadd(5, high + w, row);
      XLEMBED_MULTIPLY_TILES(2, 5, 6);
      if constexpr (has_right) {
        XLEMBED_MULTIPLY_TILES(3, 5, 7);
      }
    }
  }
  _tile_stored(0, sums, kSumsRow);
  if constexpr (has_right) _tile_stored(1, sums + 16, kSumsRow);
  if constexpr (has_high) _tile_stored(2, sums + 16 * AmxTile::kColumns, kSumsRow);
  if constexpr (has_high && has_right) _tile_stored(3, sums + 16 * AmxTile::kColumns + 16, kSumsRow);
}

// The same for a tile of any size.
template <typename Arithmetic>
void multiply_amx_tile(AmxTileRegisters& registers, const uint32_t* x, int64_t stride, const uint32_t* panels,
                       int64_t words, const Tile& tile, typename Arithmetic::Sum* sums) {
  registers.fit(tile.height);
  using Multiply = decltype(&multiply_amx<Arithmetic, true, true>);
  constexpr Multiply kBySize[2][2] = {
      {multiply_amx<Arithmetic, false, false>, multiply_amx<Arithmetic, false, true>},
      {multiply_amx<Arithmetic, true, false>, multiply_amx<Arithmetic, true, true>}};
  const Multiply multiply = kBySize[tile.height > 16][tile.panels > 1];
  multiply(x, stride, panels, words, sums);
}

}  // namespace xlembed::kernels
#endif
