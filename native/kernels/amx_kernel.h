// Panels scored by the matrix unit (amx.h): 32 queries against 48 rows in six tile registers of 16 x 16 sums.
// A panel (W, 48) is already what the unit wants as its second operand.
#pragma once

#include "kernels/amx.h"
#include "kernels/panels.h"

#if defined(XLEMBED_AMX)

namespace xlembed::kernels {

inline bool takes_amx(int64_t queries) { return queries > kQueryTile && amx_granted(); }

// Tile registers 0-5 hold sums (2 groups of 16 queries x 3 groups of 16 rows), 6 queries, 7 rows.
template <typename Arithmetic>
class AmxKernel {
 public:
  using Word = uint32_t;
  using Sum = typename Arithmetic::Sum;
  static constexpr int64_t kGroupQueries = 32;

  // queries (Q, W), W a multiple of 16; of what comes next, `panels_ahead` times a panel's words are fetched.
  AmxKernel(const uint32_t* queries, int64_t count, int64_t words, int64_t panels_ahead = 1)
      : count_(count),
        words_(words),
        panels_ahead_(panels_ahead),
        values_(groups() * kGroupQueries * words, 0) {
    std::copy_n(queries, count * words, values_.begin());
  }
  int64_t groups() const { return (count_ + kGroupQueries - 1) / kGroupQueries; }
  int64_t first(int64_t group) const { return group * kGroupQueries; }
  int64_t size(int64_t group) const { return std::min(kGroupQueries, count_ - first(group)); }

  void begin_thread() const { configure_tiles(TileSizes()); }
  void end_thread() const { _tile_release(); }

  void score(const uint32_t* panel, const uint32_t* next, int64_t group, Sum* sums) const {
    const uint32_t* low = &values_[first(group) * words_];
    const uint32_t* high = low + 16 * words_;
    const int64_t query_stride = words_ * 4, row_stride = kPanelRows * 4;
    const int64_t lines = (3 * panels_ahead_ * kTileWords + groups() - 1) / groups();  // of `next`, a step
    const uint32_t* ahead = next + group * lines * (words_ / kTileWords) * kWordsPerCacheLine;
    finish_writes();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    for (int64_t w = 0; w < words_; w += kTileWords) {
      const uint32_t* x = panel + w * kPanelRows;
      for (int64_t line = 0; line < lines; ++line, ahead += kWordsPerCacheLine)
        __builtin_prefetch(ahead, 0, 2);
      _tile_loadd(7, x, row_stride);
      _tile_loadd(6, low + w, query_stride);
      XLEMBED_MULTIPLY_TILES(0, 6, 7);
      _tile_loadd(6, high + w, query_stride);
      XLEMBED_MULTIPLY_TILES(1, 6, 7);
      _tile_loadd(7, x + 16, row_stride);
      XLEMBED_MULTIPLY_TILES(3, 6, 7);
      _tile_loadd(6, low + w, query_stride);
      XLEMBED_MULTIPLY_TILES(2, 6, 7);
      _tile_loadd(7, x + 32, row_stride);
      XLEMBED_MULTIPLY_TILES(4, 6, 7);
      _tile_loadd(6, high + w, query_stride);
      XLEMBED_MULTIPLY_TILES(5, 6, 7);
    }
    _tile_stored(0, sums, row_stride);
    _tile_stored(2, sums + 16, row_stride);
    _tile_stored(4, sums + 32, row_stride);
    _tile_stored(1, sums + 16 * kPanelRows, row_stride);
    _tile_stored(3, sums + 16 * kPanelRows + 16, row_stride);
    _tile_stored(5, sums + 16 * kPanelRows + 32, row_stride);
  }

 private:
  int64_t count_;
  int64_t words_;
  int64_t panels_ahead_;
  std::vector<uint32_t> values_;
};

}  // namespace xlembed::kernels

#else

namespace xlembed::kernels {
inline bool takes_amx(int64_t) { return false; }
}  // namespace xlembed::kernels

#endif
