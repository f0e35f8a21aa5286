// The matrix unit of newer Xeon processors (AMX): eight registers of 16 rows x 64 bytes, tiles, and
// instructions that add the product of two of them to a third. Source: Intel Software Developer's Manual,
// volume 1, chapter 18.
#pragma once

#include "kernels/lanes.h"

#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__AMX_INT8__) && defined(__AVX512BF16__)
#define XLEMBED_AMX 1

#include <sys/syscall.h>
#include <unistd.h>

namespace xlembed::kernels {

// Rows of a tile, and 32-bit words in each.
inline constexpr int64_t kTileWords = 16;

// The system grants the registers to a process that asks for them.
inline bool amx_granted() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  static const bool granted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
}

struct alignas(64) TileConfiguration {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// A constant: GCC tells its optimiser that the instruction reads the first bytes alone, so what is written
// into a variable before it may be left out.
inline constexpr TileConfiguration kWholeTiles{};

// While it lives, its thread's registers are whole tiles.
class WholeTiles {
 public:
  WholeTiles() { _tile_loadconfig(&kWholeTiles); }
  WholeTiles(const WholeTiles&) = delete;
  WholeTiles& operator=(const WholeTiles&) = delete;
  ~WholeTiles() { _tile_release(); }
};

}  // namespace xlembed::kernels
#endif

namespace xlembed::kernels {

inline bool has_matrix_unit() {
#if defined(XLEMBED_AMX)
  return amx_granted();
#else
  return false;
#endif
}

}  // namespace xlembed::kernels
