// Panels scored by the matrix unit of newer Xeon processors (AMX): 32 queries against 48 rows in six tile
// registers of 16 x 16 sums. A panel (W, 48) is already what the unit wants as its second operand. Source:
// Intel Software Developer's Manual, volume 2, TDPBF16PS and TDPBSUD.
#pragma once

#include "kernels/panels.h"

#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__AMX_INT8__) && defined(__AVX512F__)
#define XLEMBED_AMX 1

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace xlembed::kernels {

inline constexpr int64_t kTileWords = 16;

// The system grants the tile registers to a process that asks for them.
inline bool amx_granted() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  static const bool granted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
}
inline bool takes_amx(int64_t queries) { return queries > kQueryTile && amx_granted(); }

struct Bfloat16Tiles {
  using Sum = float;
};
struct Int8Tiles {
  using Sum = int32_t;
};

// Tile registers 0-5 hold sums (2 groups of 16 queries x 3 groups of 16 rows), 6 queries, 7 rows: numbers
// must be literal in these instructions.
#define XLEMBED_MULTIPLY(sums)                           \
  if constexpr (std::is_same_v<Arithmetic, Int8Tiles>) { \
    _tile_dpbsud(sums, 6, 7);                            \
  } else {                                               \
    _tile_dpbf16ps(sums, 6, 7);                          \
  }

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

  void begin_thread() const {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } config;
    _tile_loadconfig(&config);
  }
  void end_thread() const { _tile_release(); }

  void score(const uint32_t* panel, const uint32_t* next, int64_t group, Sum* sums) const {
    const uint32_t* low = &values_[first(group) * words_];
    const uint32_t* high = low + 16 * words_;
    const int64_t query_stride = words_ * 4, row_stride = kPanelRows * 4;
    const int64_t lines = (3 * panels_ahead_ * kTileWords + groups() - 1) / groups();  // of `next`, a step
    const uint32_t* ahead = next + group * lines * (words_ / kTileWords) * kWordsPerCacheLine;
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
      XLEMBED_MULTIPLY(0);
      _tile_loadd(6, high + w, query_stride);
      XLEMBED_MULTIPLY(1);
      _tile_loadd(7, x + 16, row_stride);
      XLEMBED_MULTIPLY(3);
      _tile_loadd(6, low + w, query_stride);
      XLEMBED_MULTIPLY(2);
      _tile_loadd(7, x + 32, row_stride);
      XLEMBED_MULTIPLY(4);
      _tile_loadd(6, high + w, query_stride);
      XLEMBED_MULTIPLY(5);
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

#undef XLEMBED_MULTIPLY

}  // namespace xlembed::kernels

#else

namespace xlembed::kernels {
inline bool takes_amx(int64_t) { return false; }
}  // namespace xlembed::kernels

#endif
