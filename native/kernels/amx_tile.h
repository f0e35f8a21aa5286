// Up to 32 rows times two panels of 16 columns by the matrix unit (amx.h).
#pragma once

#include <algorithm>

#include "kernels/amx.h"

#if defined(XLEMBED_AMX)

namespace xlembed::kernels {

inline constexpr int64_t kAmxRows = 32, kAmxColumns = 32;

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

// sums (32, 32), the lower half of the rows where has_high, the second panel's columns where has_right, = x
// (32, words) times panels (words, 16), from `start` (32) on or from zero where it is null; strides in
// elements, words a multiple of kTileWords. The registers fit that height.
template <typename Arithmetic, bool has_high, bool has_right>
void multiply_amx(const uint32_t* x, int64_t stride, const uint32_t* panels, int64_t words,
                  const typename Arithmetic::Sum* start, typename Arithmetic::Sum* sums,
                  int64_t sums_stride) {
  constexpr int64_t kLine = kTileWords * 4;
  const uint32_t *low = x, *high = x + 16 * stride, *left = panels, *right = panels + words * kTileWords;
  const int64_t row = stride * 4, sums_row = sums_stride * 4;
  finish_writes();
  if (start != nullptr) {
    _tile_loadd(0, start, 0);
    if constexpr (has_right) _tile_loadd(1, start + 16, 0);
    if constexpr (has_high) _tile_loadd(2, start, 0);
    if constexpr (has_high && has_right) _tile_loadd(3, start + 16, 0);
  } else {
    _tile_zero(0);
    if constexpr (has_right) _tile_zero(1);
    if constexpr (has_high) _tile_zero(2);
    if constexpr (has_high && has_right) _tile_zero(3);
  }
  for (int64_t w = 0; w < words; w += kTileWords) {
    _tile_loadd(6, left + w * kTileWords, kLine);
    _tile_loadd(4, low + w, row);
    XLEMBED_MULTIPLY_TILES(0, 4, 6);
    if constexpr (has_right) {
      _tile_loadd(7, right + w * kTileWords, kLine);
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
  _tile_stored(0, sums, sums_row);
  if constexpr (has_right) _tile_stored(1, sums + 16, sums_row);
  if constexpr (has_high) _tile_stored(2, sums + 16 * sums_stride, sums_row);
  if constexpr (has_high && has_right) _tile_stored(3, sums + 16 * sums_stride + 16, sums_row);
}

template <typename Arithmetic>
using MultiplyAmx = decltype(&multiply_amx<Arithmetic, true, true>);

// By rows (more than 16 or not), then by panels - 1.
template <typename Arithmetic>
inline constexpr MultiplyAmx<Arithmetic> kMultiplyAmx[2][2] = {
    {multiply_amx<Arithmetic, false, false>, multiply_amx<Arithmetic, false, true>},
    {multiply_amx<Arithmetic, true, false>, multiply_amx<Arithmetic, true, true>}};

}  // namespace xlembed::kernels
#endif
