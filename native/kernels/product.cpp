// GCC's choice on Intel processors is 256 bits.
#if defined(__AVX512F__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("prefer-vector-width=512")
#endif

#include "kernels/product.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "kernels/arithmetic.h"
#include "kernels/fixed16.h"
#include "kernels/transpose.h"

namespace xlembed::kernels {
namespace {

// Sums in registers: 24 of 32 with AVX-512, 12 of 16 otherwise.
constexpr int kTileRows = 6;
constexpr int kVectors = kLanes == 16 ? 4 : 2;
constexpr int64_t kPanelColumns = kVectors * kLanes;
constexpr int64_t kBlockRows = 16 * kTileRows;  // of A, held against one panel after another
// Words of a block and of a panel that are added up in one chain; those of the panel stay in the first cache
// level, the block's in the second. AVX2's libraries cut their sums here too. (Integers: half as many, to
// have as many values.)
constexpr int64_t kSlice = kLanes == 16 ? 384 : 192;
// What is packed at a time. A block of A stays in the second cache level, which is 256 KiB or more with AVX2
// and 1 MiB or more with AVX-512.
constexpr int64_t kChunkRows = 11 * kBlockRows, kChunkWords = kLanes == 16 ? 2048 : 384;
// Of B, 8 MB with AVX-512: the more columns, the fewer times A is packed.
constexpr int64_t kFewestColumns = 1024, kMostColumns = kLanes == 16 ? 4096 : 1024;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct Float32 : Float32Words {
  static constexpr int64_t kValues = 1, kChain = kSlice;
  static constexpr bool kHasSteps = false;
  static Floats floats(Floats sums) { return sums; }
};

struct Fixed16 : Int16Pairs {
  static constexpr int64_t kValues = 2, kChain = 192;
  static constexpr bool kHasSteps = true;
};

// Of the columns of x (depth, count), its rows `stride` apart.
template <typename T>
void steps_across(const T* x, int64_t stride, int64_t depth, int64_t count, Step* steps) {
  float squares[kBlockRows] = {}, largest[kBlockRows] = {};
  static_assert(kBlockRows >= kPanelColumns);
  for (int64_t d = 0; d < depth; ++d, x += stride) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      const float size = std::fabs(to_float(x[i]));
      squares[i] += size * size;
      largest[i] = size > largest[i] ? size : largest[i];
    }
  }
  for (int64_t i = 0; i < count; ++i) steps[i] = fixed16_step(squares[i], largest[i], depth);
}

// x (depth) -> words, contiguous; zeros up to `words`.
template <typename Arithmetic, typename T>
void pack_along(const T* x, int64_t depth, typename Arithmetic::Word* out, int64_t words, float factor) {
  if constexpr (!Arithmetic::kHasSteps) {
    std::copy_n(x, depth, out);
  } else {
    auto* halves = reinterpret_cast<Half*>(out);
    fixed16_row(x, depth, factor, halves);
    if (depth % 2 == 1) halves[depth] = 0;
  }
  for (int64_t w = divide_up(depth, Arithmetic::kValues); w < words; ++w) out[w] = 0;
}

// x (depth, count), its rows `stride` apart -> words (words, width); zeros beyond `count`.
template <typename Arithmetic, typename T>
void pack_across(const T* x, int64_t stride, int64_t depth, int64_t count, typename Arithmetic::Word* out,
                 int64_t words, int64_t width, const float* factors) {
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
    if constexpr (!Arithmetic::kHasSteps) {
      std::copy_n(first, taken, out);
    } else if (rest > 1) {
      const T* second = first + stride;
#pragma omp simd
      for (int64_t i = 0; i < taken; ++i)
        out[i] = fixed16_pair(to_float(first[i]), to_float(second[i]), factors[i]);
    } else {
      for (int64_t i = 0; i < taken; ++i) out[i] = fixed16_pair(to_float(first[i]), 0, factors[i]);
    }
    for (int64_t i = taken; i < width; ++i) out[i] = 0;
  }
}

// x (count, depth), its rows `stride` apart -> a panel (words, kPanelColumns), zeros beyond `count`.
template <typename Arithmetic, typename T>
void pack_transposed(const T* x, int64_t stride, int64_t depth, int64_t count, typename Arithmetic::Word* out,
                     int64_t words, const float* factors) {
  using Word = typename Arithmetic::Word;
  static_assert(sizeof(Word) == sizeof(uint32_t) && kPanelColumns % kLanes == 0);
  constexpr bool kAsTheyAre = std::is_same_v<Arithmetic, Float32> && std::is_same_v<T, float>;
  alignas(64) Word lines[kLanes][kLanes];
  alignas(64) uint32_t square[kLanes * kLanes];
  for (int64_t begin = 0; begin < words; begin += kLanes) {
    const int64_t step = std::min<int64_t>(kLanes, words - begin), from = begin * Arithmetic::kValues;
    const int64_t some = std::clamp<int64_t>(depth - from, 0, kLanes * Arithmetic::kValues);
    for (int64_t first = 0; first < kPanelColumns; first += kLanes) {
      const void* rows[kLanes];
      for (int64_t i = 0; i < kLanes; ++i) {
        const bool is_there = first + i < count;
        const T* row = x + (is_there ? first + i : 0) * stride + from;
        if (kAsTheyAre && is_there && some == kLanes) {
          rows[i] = row;
          continue;
        }
        pack_along<Arithmetic>(row, is_there ? some : 0, lines[i], kLanes,
                               Arithmetic::kHasSteps && is_there ? factors[first + i] : 0);
        rows[i] = lines[i];
      }
      Word* to = out + begin * kPanelColumns + first;
      if (step == kLanes) {
        transpose_square(rows, 0, reinterpret_cast<uint32_t*>(to), kPanelColumns);
      } else {
        transpose_square(rows, 0, square, kLanes);
        for (int64_t w = 0; w < step; ++w)
          std::memcpy(to + w * kPanelColumns, square + w * kLanes, kLanes * sizeof(Word));
      }
    }
  }
}

// A tile of A is kTileRows of its rows: (kTileRows, words) where they lie along the depth, else (words,
// kTileRows). Beyond `count` rows it is zeros.

// x (count, depth), its rows `stride` apart -> a tile
template <typename Arithmetic, typename T>
void pack_tile_along(const T* x, int64_t stride, int64_t depth, int64_t count, typename Arithmetic::Word* out,
                     int64_t words, const float* factors) {
  for (int64_t q = 0; q < kTileRows; ++q, x += stride, out += words) {
    const bool is_there = q < count;
    pack_along<Arithmetic>(is_there ? x : nullptr, is_there ? depth : 0, out, words,
                           Arithmetic::kHasSteps && is_there ? factors[q] : 0);
  }
}

// x (depth, count), its rows `stride` apart -> tiles, `tile_words` words from one to the next
template <typename Arithmetic, typename T>
void pack_tiles_across(const T* x, int64_t stride, int64_t depth, int64_t count,
                       typename Arithmetic::Word* out, int64_t words, int64_t tile_words,
                       const float* factors) {
  constexpr int64_t kValues = Arithmetic::kValues;
  alignas(64) typename Arithmetic::Word line[kBlockRows];
  for (int64_t w = 0; w < words; ++w) {
    pack_across<Arithmetic>(x + w * kValues * stride, stride, depth - w * kValues, count, line, 1, kBlockRows,
                            factors);
    for (int64_t row = 0; row < count; row += kTileRows) {
      std::memcpy(out + row * tile_words + w * kTileRows, line + row, kTileRows * sizeof line[0]);
    }
  }
}

// Where a tile's sums so far lie, or go: row q at values + q * stride. No values: the sums begin.
struct TileSums {
  float* values;
  int64_t stride;
};

// What a tile's integers stand for: steps of its rows and of the panel's columns.
struct TileSteps {
  const float *rows, *columns;
};

// to (kTileRows, kPanelColumns) = from + the tile times the panel (words, kPanelColumns)
template <typename Arithmetic, bool kAlong>
inline void multiply_tile(const typename Arithmetic::Word* tile, const typename Arithmetic::Word* panel,
                          int64_t words, const TileSteps& steps, const TileSums& from, const TileSums& to) {
  typename Arithmetic::Sums sums[kTileRows][kVectors];
  for (int q = 0; q < kTileRows; ++q) {
    __builtin_prefetch(to.values + q * to.stride, 1, 3);
    for (int v = 0; v < kVectors; ++v) sums[q][v] = typename Arithmetic::Sums{};
  }
#pragma GCC unroll 4
  for (int64_t w = 0; w < words; ++w, tile += kAlong ? 1 : kTileRows, panel += kPanelColumns) {
    typename Arithmetic::Words b[kVectors];
    for (int v = 0; v < kVectors; ++v) b[v] = Arithmetic::load_words(panel + v * kLanes);
    for (int q = 0; q < kTileRows; ++q) {
      const auto value = Arithmetic::broadcast_word(tile[kAlong ? q * words : q]);
      for (int v = 0; v < kVectors; ++v) sums[q][v] = Arithmetic::multiply_add(b[v], value, sums[q][v]);
    }
  }
  for (int q = 0; q < kTileRows; ++q) {
    for (int v = 0; v < kVectors; ++v) {
      Floats result = Arithmetic::floats(sums[q][v]);
      if constexpr (Arithmetic::kHasSteps)
        result = result * broadcast(steps.rows[q]) * load(steps.columns + v * kLanes);
      if (from.values != nullptr) result += load(from.values + q * from.stride + v * kLanes);
      store(to.values + q * to.stride + v * kLanes, result);
    }
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
    chunk_columns_ = std::clamp(kChunkWords * kFewestColumns / most_words / kPanelColumns * kPanelColumns,
                                kFewestColumns, kMostColumns);
    const int64_t panels = divide_up(std::min(shape_.columns, chunk_columns_), kPanelColumns);
    const int64_t steps = Arithmetic::kHasSteps ? divide_up(most_words, Arithmetic::kChain) : 0;
    packed_a_ = reserve(memory.left, tiles * kTileRows * most_words + steps * kChunkRows);
    packed_b_ = reserve(memory.right, panels * kPanelColumns * most_words + steps * chunk_columns_);
    steps_a_ = reinterpret_cast<float*>(packed_a_ + tiles * kTileRows * most_words);
    steps_b_ = reinterpret_cast<float*>(packed_b_ + panels * kPanelColumns * most_words);
#pragma omp parallel
    for (int64_t column = 0; column < shape_.columns; column += chunk_columns_) {
      for (int64_t word = 0; word < words; word += kChunkWords) {
        const Chunk columns{column, std::min(chunk_columns_, shape_.columns - column)};
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

  // Words of a chunk that are added up in one chain and share their steps.
  int64_t slice(int64_t words) const {
    // A few columns are dot products, which other libraries sum in many short chains: so does this.
    const bool is_dot = !Arithmetic::kHasSteps && shape_.columns <= 16;
    return divide_up(words, divide_up(words, is_dot ? kLanes : Arithmetic::kChain));
  }

  // Calls visit(part, word, s) for each slice s of a chunk, which begins at its word `word`.
  template <typename Visit>
  void for_each_slice(const Chunk& words, const Visit& visit) const {
    const int64_t size = slice(words.count);
    for (int64_t word = 0, s = 0; word < words.count; word += size, ++s) {
      visit(Chunk{words.first + word, std::min(size, words.count - word)}, word, s);
    }
  }

  // Of `count` vectors, element d of the i-th at x[i * apart + d * along]: their factors, and steps up to
  // `width`, zeros beyond `count`.
  template <typename T>
  static void find_steps(const T* x, int64_t apart, int64_t along, int64_t depth, int64_t count,
                         int64_t width, float* factors, float* steps) {
    if constexpr (Arithmetic::kHasSteps) {
      Step found[kBlockRows] = {};
      if (along == 1) {
        for (int64_t i = 0; i < count; ++i) found[i] = fixed16_step_of(x + i * apart, depth);
      } else {
        steps_across(x, along, depth, count, found);
      }
      for (int64_t i = 0; i < width; ++i) factors[i] = found[i].factor, steps[i] = found[i].step;
    }
  }

  // Panels (words, kPanelColumns), one after another.
  void pack_b(const Chunk& columns, const Chunk& words) {
#pragma omp for schedule(static)
    for (int64_t first = 0; first < columns.count; first += kPanelColumns) {
      const int64_t count = std::min(kPanelColumns, columns.count - first);
      for_each_slice(words, [&](const Chunk& part, int64_t word, int64_t s) {
        const Right* x =
            b_.data + part.first * kValues * b_.row_stride + (columns.first + first) * b_.column_stride;
        Word* out = packed_b_ + first * words.count + word * kPanelColumns;
        float factors[kPanelColumns];
        find_steps(x, b_.column_stride, b_.row_stride, values(part), count, kPanelColumns, factors,
                   steps_b_ + s * chunk_columns_ + first);
        if (b_.column_stride == 1) {
          pack_across<Arithmetic>(x, b_.row_stride, values(part), count, out, part.count, kPanelColumns,
                                  factors);
        } else {
          pack_transposed<Arithmetic>(x, b_.column_stride, values(part), count, out, part.count, factors);
        }
      });
    }
  }

  // Tiles (words, kTileRows), one after another.
  void pack_a(const Chunk& rows, const Chunk& words) {
#pragma omp for schedule(static)
    for (int64_t first = 0; first < rows.count; first += kBlockRows) {
      const int64_t count = std::min(kBlockRows, rows.count - first);
      for_each_slice(words, [&](const Chunk& part, int64_t word, int64_t s) {
        const Left* x =
            a_.data + (rows.first + first) * a_.row_stride + part.first * kValues * a_.column_stride;
        Word* out = packed_a_ + first * words.count + word * kTileRows;
        float factors[kBlockRows];
        find_steps(x, a_.row_stride, a_.column_stride, values(part), count,
                   divide_up(count, kTileRows) * kTileRows, factors, steps_a_ + s * kChunkRows + first);
        if (a_.column_stride == 1) {
          for (int64_t row = 0; row < count; row += kTileRows) {
            pack_tile_along<Arithmetic>(x + row * a_.row_stride, a_.row_stride, values(part), count - row,
                                        out + row * words.count, part.count, factors + row);
          }
        } else {
          pack_tiles_across<Arithmetic>(x, a_.column_stride, values(part), count, out, part.count,
                                        words.count, factors);
        }
      });
    }
  }

  void multiply(const Chunk& rows, const Chunk& columns, const Chunk& words) {
    const int64_t blocks = divide_up(rows.count, kBlockRows),
                  panels = divide_up(columns.count, kPanelColumns);
    const bool is_along = a_.column_stride == 1;
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
      for_each_slice(words, [&](const Chunk& part, int64_t word, int64_t s) {
        const bool is_first = word == 0, is_last = word + part.count == words.count;
        for (int64_t row = first_row; row < last_row; row += kTileRows) {
          const Word* tile = packed_a_ + row * words.count + word * kTileRows;
          const TileSteps steps{steps_a_ + s * kChunkRows + row,
                                steps_b_ + s * chunk_columns_ + first_column};
          const TileSums here{sums + (row - first_row) * kPanelColumns, kPanelColumns};
          const TileSums c{c_ + (rows.first + row) * stride_ + columns.first + first_column, stride_};
          const bool is_whole = row + kTileRows <= last_row && width == kPanelColumns;
          const TileSums from = !is_first ? here : is_whole && has_before ? c : TileSums{};
          (is_along ? multiply_tile<Arithmetic, true>
                    : multiply_tile<Arithmetic, false>)(tile, panel + word * kPanelColumns, part.count, steps,
                                                        from, is_whole && is_last ? c : here);
          if (is_last && !is_whole) {
            write_tile(here.values, std::min<int64_t>(kTileRows, last_row - row), width, c.values, stride_,
                       has_before);
          }
        }
      });
    }
  }

  const Matrix<Left> a_;
  const Matrix<Right> b_;
  const ProductShape shape_;
  float* const c_;
  const int64_t stride_;
  const bool add_;
  int64_t chunk_columns_ = 0;
  Word* packed_a_ = nullptr;
  Word* packed_b_ = nullptr;
  // By slice, then by row or column of the chunk; only where the arithmetic has steps.
  float* steps_a_ = nullptr;
  float* steps_b_ = nullptr;
};

}  // namespace

void multiply_float32(const Matrix<float>& a, const Matrix<float>& b, ProductShape shape, float* c,
                      int64_t stride, bool add, ProductMemory& memory) {
  Product<Float32, float, float>(a, b, shape, c, stride, add).run(memory);
}

template <typename Left, typename Right>
void multiply_fixed16(const Matrix<Left>& a, const Matrix<Right>& b, ProductShape shape, float* c,
                      int64_t stride, bool add, ProductMemory& memory) {
  Product<Fixed16, Left, Right>(a, b, shape, c, stride, add).run(memory);
}

template void multiply_fixed16(const Matrix<float>&, const Matrix<float>&, ProductShape, float*, int64_t,
                               bool, ProductMemory&);
template void multiply_fixed16(const Matrix<bfloat16>&, const Matrix<bfloat16>&, ProductShape, float*,
                               int64_t, bool, ProductMemory&);
template void multiply_fixed16(const Matrix<float>&, const Matrix<bfloat16>&, ProductShape, float*, int64_t,
                               bool, ProductMemory&);

}  // namespace xlembed::kernels
