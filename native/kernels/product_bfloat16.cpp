#include "kernels/product_bfloat16.h"

#if defined(XLEMBED_AMX)

#include <omp.h>

#include <algorithm>

#include "kernels/product_tasks.h"
#include "kernels/transpose.h"

namespace xlembed::kernels {
namespace {

using namespace product;

// A tile holds 16 vectors (rows of A, columns of B) and 32 values of each, two to a word: values w and w + 16
// in word w, whichever way they lie in memory. A's are (vectors, words), B's (words, vectors).
constexpr int64_t kVectors = kTileWords, kTileValues = 2 * kTileWords, kTileSize = kTileWords * kTileWords;
constexpr int64_t kSquare = 2 * kVectors;  // rows and columns of sums in registers

// Rows of A that a thread packs at a time, values of the depth, bytes of B: the first stays in the second
// cache level. Tiles of two groups of B's columns that stay in the first.
constexpr int64_t kBlockRows = 4 * kSquare, kChunkValues = 1024, kChunkBytes = int64_t{8} << 20;
constexpr int64_t kSliceTiles = 16;

inline __m512i round_pairs(__m512 low, __m512 high) {
  const __m512i lower = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(low));
  const __m512i upper = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(high));
  return _mm512_or_si512(lower, _mm512_slli_epi32(upper, 16));
}

inline __m512i load_words(const float* low, __mmask16 lanes, const float* high, __mmask16 high_lanes) {
  return round_pairs(_mm512_maskz_loadu_ps(lanes, low), _mm512_maskz_loadu_ps(high_lanes, high));
}
inline __m512i load_words(const bfloat16* low, __mmask16 lanes, const bfloat16* high, __mmask16 high_lanes) {
  const __m512i lower = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, low));
  const __m512i upper = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(high_lanes, high));
  return _mm512_or_si512(lower, _mm512_slli_epi32(upper, 16));
}

// Vectors (count, depth), element d of the i-th at x[i * apart + d * along], one of both 1, count <= 16 ->
// tiles (ceil(depth / 32), 16, 16), zeros beyond.
template <bool kWordsFirst, typename T>
void pack_tiles(const T* x, int64_t apart, int64_t along, int64_t count, int64_t depth, uint32_t* out) {
  constexpr int64_t kHalf = kTileWords;
  constexpr int64_t kAhead = 8;  // lines: each may lie in another page
  const bool by_vector = along == 1, turned = by_vector == kWordsFirst;
  alignas(64) uint32_t lines[kTileSize];
  for (int64_t begin = 0; begin < depth; begin += kTileValues, out += kTileSize) {
    uint32_t* const target = turned ? lines : out;
    for (int64_t line = 0; line < kTileWords; ++line) {
      __m512i words;
      if (by_vector) {  // a line is a vector's 16 words
        const T* first = x + line * apart + begin;
        const int64_t values = line < count ? depth - begin : 0;
        words = load_words(first, first_lanes(values), first + kHalf, first_lanes(values - kHalf));
      } else {  // a line is a word of all vectors
        const T* first = x + (begin + line) * along;
        const int64_t values = depth - begin - line;
        __builtin_prefetch(first + (line < kAhead ? kAhead : kAhead + kHalf) * along);
        __builtin_prefetch(first + (line < kAhead ? kAhead : kAhead + kHalf) * along + kHalf * along);
        words = load_words(first, first_lanes(values > 0 ? count : 0), first + kHalf * along,
                           first_lanes(values > kHalf ? count : 0));
      }
      _mm512_store_si512(target + line * kTileWords, words);
    }
    if (!turned) continue;
    const void* rows[kTileWords];
    for (int64_t line = 0; line < kTileWords; ++line) rows[line] = lines + line * kTileWords;
    transpose_square(rows, 0, out, kTileWords);
  }
}

// sums (32, 32) = or += two groups of A's rows times two of B's columns, `tiles` tiles of each.
inline void multiply_square(const uint32_t* left, int64_t left_apart, const uint32_t* right,
                            int64_t right_apart, int64_t tiles, float* sums, bool add) {
  constexpr int64_t kBytes = kSquare * sizeof(float), kHalf = kSquare / 2;
  finish_writes();
  float *const beside = sums + kHalf, *const below = sums + kHalf * kSquare, *const across = below + kHalf;
  if (add) {
    _tile_loadd(0, sums, kBytes);
    _tile_loadd(1, beside, kBytes);
    _tile_loadd(2, below, kBytes);
    _tile_loadd(3, across, kBytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t tile = 0; tile < tiles; ++tile, left += kTileSize, right += kTileSize) {
    _tile_loadd(4, left, 64);
    _tile_loadd(6, right, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, right + right_apart, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, left + left_apart, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sums, kBytes);
  _tile_stored(1, beside, kBytes);
  _tile_stored(2, below, kBytes);
  _tile_stored(3, across, kBytes);
}

// to (rows, columns), `stride` apart, = or += sums (rows, 32)
inline void write_sums(const float* sums, int64_t rows, int64_t columns, float* to, int64_t stride,
                       bool add) {
  const auto low = static_cast<__mmask16>(first_lanes(columns)),
             high = static_cast<__mmask16>(first_lanes(columns - kVectors));
  for (int64_t r = 0; r < rows; ++r, sums += kSquare, to += stride) {
    __m512 x = _mm512_load_ps(sums), y = _mm512_load_ps(sums + kVectors);
    if (add) {
      x += _mm512_maskz_loadu_ps(low, to);
      y += _mm512_maskz_loadu_ps(high, to + kVectors);
    }
    _mm512_mask_storeu_ps(to, low, x);
    _mm512_mask_storeu_ps(to + kVectors, high, y);
  }
}

template <typename Left, typename Right>
class TileProduct {
 public:
  TileProduct(const Matrix<Left>& a, const Matrix<Right>& b, ProductShape shape, float* c, int64_t stride,
              bool add)
      : a_(a),
        b_(b),
        shape_(shape),
        c_(c),
        stride_(stride),
        add_(add),
        tasks_(shape.rows, kSquare, kBlockRows, omp_get_max_threads()) {}

  void run(ProductMemory& memory) {
    const int64_t threads = omp_get_max_threads();
    const int64_t tiles = divide_up(std::min(shape_.depth, kChunkValues), kTileValues);
    const int64_t group_bytes = std::max<int64_t>(tiles, 1) * kTileSize * sizeof(uint32_t);
    const int64_t chunk_columns = kChunkBytes / (2 * group_bytes) * kSquare;
    const int64_t columns = std::min(chunk_columns, divide_up(shape_.columns, kSquare) * kSquare);
    const int64_t a_words = kBlockRows / kVectors * tiles * kTileSize;
    uint32_t* const packed_a = reserve<uint32_t>(memory.left, threads * a_words);
    packed_b_ = reserve<uint32_t>(memory.right, columns / kVectors * tiles * kTileSize);
#pragma omp parallel
    {
      configure_tiles(TileSizes{});
      uint32_t* const own = packed_a + omp_get_thread_num() * a_words;
      for (int64_t column = 0; column < shape_.columns; column += chunk_columns) {
        for (int64_t value = 0; value < shape_.depth; value += kChunkValues) {
          if (column + value > 0) {
#pragma omp barrier
          }
          const Chunk part{column, std::min(chunk_columns, shape_.columns - column), value,
                           std::min(kChunkValues, shape_.depth - value)};
          pack_b(part);
          multiply(part, own);
        }
      }
      _tile_release();
    }
  }

 private:
  // Of B: columns, and values of the depth.
  struct Chunk {
    int64_t first_column, columns, first_value, values;
    int64_t tiles() const { return divide_up(values, kTileValues); }
    int64_t group_words() const { return tiles() * kTileSize; }
  };

  void pack_b(const Chunk& chunk) {
#pragma omp for schedule(static)
    for (int64_t first = 0; first < divide_up(chunk.columns, kSquare) * kSquare; first += kVectors) {
      const Right* x =
          b_.data + chunk.first_value * b_.row_stride + (chunk.first_column + first) * b_.column_stride;
      pack_tiles</*kWordsFirst=*/true>(x, b_.column_stride, b_.row_stride,
                                       std::clamp<int64_t>(chunk.columns - first, 0, kVectors), chunk.values,
                                       packed_b_ + first / kVectors * chunk.group_words());
    }
  }

  void pack_a(const Chunk& chunk, int64_t first, int64_t rows, uint32_t* packed) const {
    for (int64_t row = 0; row < divide_up(rows, kSquare) * kSquare; row += kVectors) {
      const Left* x = a_.data + (first + row) * a_.row_stride + chunk.first_value * a_.column_stride;
      pack_tiles</*kWordsFirst=*/false>(x, a_.row_stride, a_.column_stride,
                                        std::clamp<int64_t>(rows - row, 0, kVectors), chunk.values,
                                        packed + row / kVectors * chunk.group_words());
    }
  }

  void multiply(const Chunk& chunk, uint32_t* packed_a) {
    tasks_.share_out(divide_up(chunk.columns, kSquare),
                     [&](int64_t first, int64_t rows, int64_t panel, int64_t end) {
                       pack_a(chunk, first, rows, packed_a);
                       for (; panel < end; ++panel)
                         multiply_panel(chunk, packed_a, first, rows, panel * kSquare);
                     });
  }

  // C's rows times 32 columns of the chunk, from `first` on.
  void multiply_panel(const Chunk& chunk, const uint32_t* packed_a, int64_t first_row, int64_t rows,
                      int64_t first) {
    const int64_t tiles = chunk.tiles(), apart = chunk.group_words();
    const uint32_t* panel = packed_b_ + first / kVectors * apart;
    alignas(64) float sums[kBlockRows * kSquare];
    for (int64_t tile = 0; tile < tiles; tile += kSliceTiles) {
      const int64_t count = std::min(kSliceTiles, tiles - tile);
      for (int64_t row = 0; row < rows; row += kSquare) {
        float* const here = sums + row * kSquare;
        multiply_square(packed_a + row / kVectors * apart + tile * kTileSize, apart, panel + tile * kTileSize,
                        apart, count, here, tile > 0);
        if (tile + count < tiles) continue;
        write_sums(here, std::min(kSquare, rows - row), std::min(kSquare, chunk.columns - first),
                   c_ + (first_row + row) * stride_ + chunk.first_column + first, stride_,
                   add_ || chunk.first_value > 0);
      }
    }
  }

  const Matrix<Left> a_;
  const Matrix<Right> b_;
  const ProductShape shape_;
  float* const c_;
  const int64_t stride_;
  const bool add_;
  const Tasks tasks_;
  uint32_t* packed_b_ = nullptr;
};

}  // namespace

template <typename Left, typename Right>
void multiply_bfloat16(const Matrix<Left>& a, const Matrix<Right>& b, ProductShape shape, float* c,
                       int64_t stride, bool add, ProductMemory& memory) {
  TileProduct<Left, Right>(a, b, shape, c, stride, add).run(memory);
}

template void multiply_bfloat16(const Matrix<float>&, const Matrix<float>&, ProductShape, float*, int64_t,
                                bool, ProductMemory&);
template void multiply_bfloat16(const Matrix<bfloat16>&, const Matrix<bfloat16>&, ProductShape, float*,
                                int64_t, bool, ProductMemory&);
template void multiply_bfloat16(const Matrix<float>&, const Matrix<bfloat16>&, ProductShape, float*, int64_t,
                                bool, ProductMemory&);

}  // namespace xlembed::kernels
#endif
