// The matrix unit of newer Xeon processors (AMX): eight tile registers of up to 16 rows of 64 bytes. One
// instruction adds to 16 x 16 sums the products of 16 rows and 16 columns over 16 words: of a panel (W,
// lanes) 16 words of 16 lanes are the columns. Sums run over ascending words; subnormal bfloat16 count as
// zero. Source: Intel Software Developer's Manual, volume 2, TDPBF16PS and TDPBSUD.
#pragma once

#include <cstdint>
#include <type_traits>

#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__AMX_INT8__) && defined(__AVX512VNNI__) && \
    defined(__AVX512BF16__)
#define XLEMBED_AMX 1
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace xlembed::kernels {

inline constexpr int64_t kTileWords = 16;

#if defined(XLEMBED_AMX)
// Vectors that the unit may meet have a multiple of so many words, zeros at their end.
inline constexpr int64_t kWordStep = kTileWords;

// The system grants the tile registers to a process that asks for them.
inline bool amx_granted() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  static const bool granted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
}

struct Bfloat16Tiles {
  using Sum = float;
};
struct Int8Tiles {
  using Sum = int32_t;
};

// By register; all 16 x 64 bytes unless said otherwise.
struct alignas(64) TileSizes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// GCC's tile instructions do not say what memory they read: what was written must be there before them.
inline void finish_writes() { asm volatile("" ::: "memory"); }

// Of this thread, until _tile_release(); what the registers held is lost.
inline void configure_tiles(const TileSizes& sizes) {
  const TileSizes* const address = &sizes;
  asm volatile("" ::"r"(address) : "memory");
  _tile_loadconfig(address);
}

// Registers' numbers must be literal in these instructions. Where int8, rows are signed and columns unsigned.
#define XLEMBED_MULTIPLY_TILES(sums, rows, columns)      \
  if constexpr (std::is_same_v<Arithmetic, Int8Tiles>) { \
    _tile_dpbsud(sums, rows, columns);                   \
  } else {                                               \
    _tile_dpbf16ps(sums, rows, columns);                 \
  }

#else

inline constexpr int64_t kWordStep = 1;
inline bool amx_granted() { return false; }

#endif

inline int64_t whole_steps(int64_t words) { return (words + kWordStep - 1) / kWordStep * kWordStep; }

}  // namespace xlembed::kernels
