// GCC's choice on Intel processors is 256 bits.
#if defined(__AVX512F__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("prefer-vector-width=512")
#endif

#include "kernels/product.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "kernels/arithmetic.h"
#include "kernels/transpose.h"

namespace xlembed::kernels {
namespace {

// Sums in registers: 24 of 32 with AVX-512, 12 of 16 otherwise.
constexpr int kTileRows = 6;
constexpr int kVectors = kLanes == 16 ? 4 : 2;
constexpr int64_t kPanelColumns = kVectors * kLanes;
constexpr int64_t kBlockRows = 16 * kTileRows;  // of A, held against one panel after another
// Words of a block and of a panel that are added up in one chain; those of the panel stay in the first cache
// level, the block's in the second. AVX2's libraries cut their sums here too.
constexpr int64_t kSlice = kLanes == 16 ? 384 : 192;
// What is packed at a time. A block of A stays in the second cache level, which is 256 KiB or more with AVX2
// and 1 MiB or more with AVX-512.
constexpr int64_t kChunkRows = 11 * kBlockRows, kChunkColumns = 1024, kChunkWords = kLanes == 16 ? 2048 : 384;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct Float32 : Float32Words {
  static constexpr int64_t kValues = 1;
  static float word(float value) { return value; }
};

#if defined(__AVX512BF16__)
struct Bfloat16 : Bfloat16Pairs {
  static constexpr int64_t kValues = 2;
  static uint16_t bits(float value) { return round_to_bfloat16(value).bits; }
  static uint16_t bits(bfloat16 value) { return value.bits; }
  template <typename T>
  static uint32_t word(T first, T second = T{}) {
    return bits(first) | static_cast<uint32_t>(bits(second)) << 16;
  }
};
#else
struct Bfloat16 : Float32 {
  static float word(float value) { return to_float(round_to_bfloat16(value)); }
  static float word(bfloat16 value) { return to_float(value); }
};
#endif

// x (depth) -> words, contiguous; zeros up to `words`.
template <typename Arithmetic, typename T>
void pack_along(const T* x, int64_t depth, typename Arithmetic::Word* out, int64_t words) {
  if constexpr (Arithmetic::kValues == 1) {
    for (int64_t d = 0; d < depth; ++d) out[d] = Arithmetic::word(x[d]);
  } else {
    using Half __attribute__((may_alias)) = uint16_t;
    Half* halves = reinterpret_cast<Half*>(out);
#pragma omp simd
    for (int64_t d = 0; d < depth; ++d) halves[d] = Arithmetic::bits(x[d]);
    if (depth % 2 == 1) halves[depth] = 0;
  }
  for (int64_t w = divide_up(depth, Arithmetic::kValues); w < words; ++w) out[w] = 0;
}

// x (depth, count), its rows `stride` apart -> words (words, width); zeros beyond `count`.
template <typename Arithmetic, typename T>
void pack_across(const T* x, int64_t stride, int64_t depth, int64_t count, typename Arithmetic::Word* out,
                 int64_t words, int64_t width) {
  constexpr int64_t kValues = Arithmetic::kValues;
  constexpr int64_t kAhead = 8;  // rows: each may lie in another page
  for (int64_t w = 0; w < words; ++w, out += width) {
    const T* first = x + w * kValues * stride;
    const int64_t rest = depth - w * kValues;
    const int64_t taken = rest > 0 ? count : 0;
    for (int64_t i = 0; i < taken; i += 16) {
      __builtin_prefetch(first + kAhead * stride + i);
      if (kValues == 2) __builtin_prefetch(first + (kAhead + 1) * stride + i);
    }
    if (kValues == 2 && rest > 1) {
      const T* second = first + stride;
      if constexpr (kValues == 2) {
#pragma omp simd
        for (int64_t i = 0; i < taken; ++i) out[i] = Arithmetic::word(first[i], second[i]);
      }
    } else {
      for (int64_t i = 0; i < taken; ++i) out[i] = Arithmetic::word(first[i]);
    }
    for (int64_t i = taken; i < width; ++i) out[i] = 0;
  }
}

// x (count, depth), its rows `stride` apart -> words (words, Width), zeros beyond `count`.
template <typename Arithmetic, int64_t Width, typename T>
void pack_transposed(const T* x, int64_t stride, int64_t depth, int64_t count, typename Arithmetic::Word* out,
                     int64_t words) {
  using Word = typename Arithmetic::Word;
  static_assert(sizeof(Word) == sizeof(uint32_t));
  constexpr bool kAsTheyAre = std::is_same_v<Arithmetic, Float32> && std::is_same_v<T, float>;
  alignas(64) Word lines[kLanes][kLanes];
  alignas(64) uint32_t square[kLanes * kLanes];
  for (int64_t begin = 0; begin < words; begin += kLanes) {
    const int64_t step = std::min<int64_t>(kLanes, words - begin), from = begin * Arithmetic::kValues;
    const int64_t some = std::clamp<int64_t>(depth - from, 0, kLanes * Arithmetic::kValues);
    for (int64_t first = 0; first < Width; first += kLanes) {
      const void* rows[kLanes];
      for (int64_t i = 0; i < kLanes; ++i) {
        const bool is_there = first + i < std::min(count, Width);
        const T* row = x + (is_there ? first + i : 0) * stride + from;
        if (kAsTheyAre && is_there && some == kLanes) {
          rows[i] = row;
          continue;
        }
        pack_along<Arithmetic>(row, is_there ? some : 0, lines[i], kLanes);
        rows[i] = lines[i];
      }
      Word* to = out + begin * Width + first;
      if (Width % kLanes == 0 && step == kLanes) {
        transpose_square(rows, 0, reinterpret_cast<uint32_t*>(to), Width);
        continue;
      }
      constexpr int64_t kMost = std::min<int64_t>(kLanes, Width);
      const int64_t width = Width % kMost == 0 ? kMost : std::min(kMost, Width - first);
      transpose_square(rows, 0, square, kLanes);
      for (int64_t w = 0; w < step; ++w)
        std::memcpy(to + w * Width, square + w * kLanes, width * sizeof(Word));
    }
  }
}

// x (depth, count), its rows `stride` apart -> tiles (words, kTileRows), one after another; zeros beyond
// `count`.
template <typename Arithmetic, typename T>
void pack_tiles_across(const T* x, int64_t stride, int64_t depth, int64_t count,
                       typename Arithmetic::Word* out, int64_t words) {
  constexpr int64_t kValues = Arithmetic::kValues;
  alignas(64) typename Arithmetic::Word line[kBlockRows];
  for (int64_t w = 0; w < words; ++w) {
    pack_across<Arithmetic>(x + w * kValues * stride, stride, depth - w * kValues, count, line, 1,
                            kBlockRows);
    for (int64_t row = 0; row < count; row += kTileRows) {
      std::memcpy(out + row * words + w * kTileRows, line + row, kTileRows * sizeof line[0]);
    }
  }
}

// Where a tile's sums so far lie, or go: row q at values + q * stride. No values: the sums begin.
struct TileSums {
  float* values;
  int64_t stride;
};

// to (kTileRows, kPanelColumns) = from + the tile (words, kTileRows) transposed times the panel (words,
// kPanelColumns).
template <typename Arithmetic>
inline void multiply_tile(const typename Arithmetic::Word* tile, const typename Arithmetic::Word* panel,
                          int64_t words, const TileSums& from, const TileSums& to) {
  Floats sums[kTileRows][kVectors];
  for (int q = 0; q < kTileRows; ++q) {
    __builtin_prefetch(to.values + q * to.stride, 1, 3);
    for (int v = 0; v < kVectors; ++v) sums[q][v] = broadcast(0);
  }
#pragma GCC unroll 4
  for (int64_t w = 0; w < words; ++w, tile += kTileRows, panel += kPanelColumns) {
    typename Arithmetic::Words b[kVectors];
    for (int v = 0; v < kVectors; ++v) b[v] = Arithmetic::load_words(panel + v * kLanes);
    for (int q = 0; q < kTileRows; ++q) {
      const auto value = Arithmetic::broadcast_word(tile[q]);
      for (int v = 0; v < kVectors; ++v) sums[q][v] = Arithmetic::multiply_add(b[v], value, sums[q][v]);
    }
  }
  if (from.values != nullptr) {
    for (int q = 0; q < kTileRows; ++q) {
      for (int v = 0; v < kVectors; ++v) sums[q][v] += load(from.values + q * from.stride + v * kLanes);
    }
  }
  for (int q = 0; q < kTileRows; ++q) {
    for (int v = 0; v < kVectors; ++v) store(to.values + q * to.stride + v * kLanes, sums[q][v]);
  }
}

// sums (kTileRows, kPanelColumns) -> c (rows, columns), at C's edges
void write_tile(const float* sums, int64_t rows, int64_t columns, float* c, int64_t stride, bool add) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < columns; ++i) {
      c[r * stride + i] = sums[r * kPanelColumns + i] + (add ? c[r * stride + i] : 0.0f);
    }
  }
}

template <typename Arithmetic, typename Left, typename Right>
class Product {
 public:
  using Word = typename Arithmetic::Word;
  static constexpr int64_t kValues = Arithmetic::kValues;

  Product(const Matrix<Left>& a, const Matrix<Right>& b, ProductShape shape, float* c, int64_t stride,
          bool add)
      : a_(a), b_(b), shape_(shape), c_(c), stride_(stride), add_(add) {}

  void run(ProductMemory& memory) {
    const int64_t words = divide_up(shape_.depth, kValues);
    const int64_t most_words = std::min(words, kChunkWords);
    const int64_t tiles = divide_up(std::min(shape_.rows, kChunkRows), kTileRows);
    const int64_t panels = divide_up(std::min(shape_.columns, kChunkColumns), kPanelColumns);
    packed_a_ = reserve(memory.left, tiles * kTileRows * most_words);
    packed_b_ = reserve(memory.right, panels * kPanelColumns * most_words);
#pragma omp parallel
    for (int64_t column = 0; column < shape_.columns; column += kChunkColumns) {
      for (int64_t word = 0; word < words; word += kChunkWords) {
        const Chunk columns{column, std::min(kChunkColumns, shape_.columns - column)};
        const Chunk depth{word, std::min(kChunkWords, words - word)};
        pack_b(columns, depth);
        for (int64_t row = 0; row < shape_.rows; row += kChunkRows) {
          const Chunk rows{row, std::min(kChunkRows, shape_.rows - row)};
          pack_a(rows, depth);
          multiply(rows, columns, depth);
        }
      }
    }
  }

 private:
  struct Chunk {
    int64_t first, count;
  };

  static Word* reserve(AlignedVector<std::byte>& memory, int64_t words) {
    const std::size_t bytes = words * sizeof(Word);
    if (memory.size() < bytes) memory.resize(bytes);
    return reinterpret_cast<Word*>(memory.data());
  }

  int64_t values(const Chunk& words) const {
    return std::min(words.count * kValues, shape_.depth - words.first * kValues);
  }

  // Panels (words, kPanelColumns), one after another.
  void pack_b(const Chunk& columns, const Chunk& words) {
#pragma omp for schedule(static)
    for (int64_t first = 0; first < columns.count; first += kPanelColumns) {
      const int64_t count = std::min(kPanelColumns, columns.count - first);
      const Right* x =
          b_.data + words.first * kValues * b_.row_stride + (columns.first + first) * b_.column_stride;
      Word* out = packed_b_ + first * words.count;
      if (b_.column_stride == 1) {
        pack_across<Arithmetic>(x, b_.row_stride, values(words), count, out, words.count, kPanelColumns);
      } else {
        pack_transposed<Arithmetic, kPanelColumns>(x, b_.column_stride, values(words), count, out,
                                                   words.count);
      }
    }
  }

  // Tiles (words, kTileRows), one after another.
  void pack_a(const Chunk& rows, const Chunk& words) {
#pragma omp for schedule(static)
    for (int64_t first = 0; first < rows.count; first += kBlockRows) {
      const int64_t last = std::min(first + kBlockRows, rows.count);
      const Left* x = a_.data + rows.first * a_.row_stride + words.first * kValues * a_.column_stride;
      Word* out = packed_a_;
      if (a_.column_stride == 1) {
        for (int64_t row = first; row < last; row += kTileRows) {
          pack_transposed<Arithmetic, kTileRows>(x + row * a_.row_stride, a_.row_stride, values(words),
                                                 last - row, out + row * words.count, words.count);
        }
      } else {
        pack_tiles_across<Arithmetic>(x + first, a_.column_stride, values(words), last - first,
                                      out + first * words.count, words.count);
      }
    }
  }

  void multiply(const Chunk& rows, const Chunk& columns, const Chunk& words) {
    const int64_t blocks = divide_up(rows.count, kBlockRows),
                  panels = divide_up(columns.count, kPanelColumns);
    // A few columns are dot products, which other libraries sum in many short chains: so does this.
    const int64_t longest = shape_.columns <= 16 ? kLanes : kSlice;
    const int64_t slice = divide_up(words.count, divide_up(words.count, longest));
#pragma omp for schedule(dynamic, 8)
    for (int64_t task = 0; task < blocks * panels; ++task) {
      const int64_t first_row = task / panels * kBlockRows, first_column = task % panels * kPanelColumns;
      const Word* panel = packed_b_ + first_column * words.count;
      const int64_t last_row = std::min(first_row + kBlockRows, rows.count);
      const int64_t width = std::min(kPanelColumns, columns.count - first_column);
      const bool has_before = add_ || words.first > 0;
      // C's rows often lie a power of two apart, where few of them fit a cache: only the last slice goes
      // there.
      alignas(64) float sums[kBlockRows * kPanelColumns];
      for (int64_t word = 0; word < words.count; word += slice) {
        const int64_t some = std::min(slice, words.count - word);
        const bool is_first = word == 0, is_last = word + some == words.count;
        for (int64_t row = first_row; row < last_row; row += kTileRows) {
          const Word* tile = packed_a_ + row * words.count + word * kTileRows;
          const TileSums here{sums + (row - first_row) * kPanelColumns, kPanelColumns};
          const TileSums c{c_ + (rows.first + row) * stride_ + columns.first + first_column, stride_};
          const bool is_whole = row + kTileRows <= last_row && width == kPanelColumns;
          const TileSums from = !is_first ? here : is_whole && has_before ? c : TileSums{};
          multiply_tile<Arithmetic>(tile, panel + word * kPanelColumns, some, from,
                                    is_whole && is_last ? c : here);
          if (is_last && !is_whole) {
            write_tile(here.values, std::min<int64_t>(kTileRows, last_row - row), width, c.values, stride_,
                       has_before);
          }
        }
      }
    }
  }

  const Matrix<Left> a_;
  const Matrix<Right> b_;
  const ProductShape shape_;
  float* const c_;
  const int64_t stride_;
  const bool add_;
  Word* packed_a_ = nullptr;
  Word* packed_b_ = nullptr;
};

}  // namespace

void multiply_float32(const Matrix<float>& a, const Matrix<float>& b, ProductShape shape, float* c,
                      int64_t stride, bool add, ProductMemory& memory) {
  Product<Float32, float, float>(a, b, shape, c, stride, add).run(memory);
}

template <typename Left, typename Right>
void multiply_bfloat16(const Matrix<Left>& a, const Matrix<Right>& b, ProductShape shape, float* c,
                       int64_t stride, bool add, ProductMemory& memory) {
  Product<Bfloat16, Left, Right>(a, b, shape, c, stride, add).run(memory);
}

template void multiply_bfloat16(const Matrix<float>&, const Matrix<float>&, ProductShape, float*, int64_t,
                                bool, ProductMemory&);
template void multiply_bfloat16(const Matrix<bfloat16>&, const Matrix<bfloat16>&, ProductShape, float*,
                                int64_t, bool, ProductMemory&);
template void multiply_bfloat16(const Matrix<float>&, const Matrix<bfloat16>&, ProductShape, float*, int64_t,
                                bool, ProductMemory&);

}  // namespace xlembed::kernels
