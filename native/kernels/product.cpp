// GCC's choice on Intel processors is 256 bits.
#if defined(__AVX512F__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("prefer-vector-width=512")
#endif

#include "kernels/product.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/narrow_arithmetic.h"

namespace xlembed::kernels {
namespace {

// Sums in registers: 24 of 32 with AVX-512, 12 of 16 otherwise.
constexpr int kTileRows = 6;
constexpr int kVectors = kLanes == 16 ? 4 : 2;
constexpr int64_t kPanelColumns = kVectors * kLanes;
constexpr int64_t kBlockRows = 16 * kTileRows;  // of A, held against one panel after another
// Words of a block and of a panel that are added up in one chain; they stay in the second cache level. AVX2's
// libraries cut their sums shorter, and a result here shall not be twice as far off as theirs.
constexpr int64_t kSlice = kLanes == 16 ? 384 : 128;
// What is packed at a time.
constexpr int64_t kChunkRows = 10 * kBlockRows, kChunkColumns = 1024, kChunkWords = 2 * 1024;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct Float32 {
  using Word = float;
  using Words = Floats;
  static constexpr int64_t kValues = 1;
  static Floats load_words(const float* words) { return load(words); }
  static Floats broadcast_word(float word) { return broadcast(word); }
  static Floats multiply_add(Floats b, Floats a, Floats sums) { return fma(b, a, sums); }
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

using Line __attribute__((vector_size(64))) = uint32_t;  // 16 words

// 16 x 16 words change rows for columns, in 4 steps: blocks of S x S words beside the diagonal change places.
template <int S, size_t... Lane>
void exchange(Line& upper, Line& lower, std::index_sequence<Lane...>) {
  const Line a = upper, b = lower;
  upper = __builtin_shufflevector(a, b, (Lane & S ? 16 + Lane - S : Lane)...);
  lower = __builtin_shufflevector(a, b, (Lane & S ? 16 + Lane : Lane + S)...);
}

template <int S>
void transpose(Line* lines) {
  if constexpr (S < 16) {
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      if (!(i & S)) exchange<S>(lines[i], lines[i + S], std::make_index_sequence<16>());
    }
    transpose<2 * S>(lines);
  }
}

// x (count, depth), its rows `stride` apart -> words (words, kPanelColumns), zeros beyond `count`.
template <typename Arithmetic, typename T>
void pack_transposed(const T* x, int64_t stride, int64_t depth, int64_t count, typename Arithmetic::Word* out,
                     int64_t words) {
  constexpr int64_t kStep = 16;
  static_assert(kPanelColumns % kStep == 0);
  for (int64_t begin = 0; begin < words; begin += kStep) {
    const int64_t step = std::min(kStep, words - begin), from = begin * Arithmetic::kValues;
    const int64_t some = std::clamp<int64_t>(depth - from, 0, kStep * Arithmetic::kValues);
    for (int64_t first = 0; first < kPanelColumns; first += kStep) {
      alignas(64) typename Arithmetic::Word part[kStep][kStep];
      if (count - first < kStep) std::memset(part, 0, sizeof part);
      for (int64_t i = 0; i < std::min(kStep, count - first); ++i) {
        pack_along<Arithmetic>(x + (first + i) * stride + from, some, part[i], kStep);
      }
      Line lines[kStep];
      std::memcpy(lines, part, sizeof lines);
      transpose<1>(lines);
      for (int64_t w = 0; w < step; ++w)
        std::memcpy(out + (begin + w) * kPanelColumns + first, &lines[w], sizeof(Line));
    }
  }
}

// A block of A as the kernel reads it: row q, word w at words[q * row_stride + w * word_stride].
template <typename Word>
struct Block {
  const Word* words;
  int64_t row_stride;
  int64_t word_stride;
};

// out (kTileRows, kPanelColumns), its rows `stride` apart, = or += A's rows times the panel.
template <typename Arithmetic>
void multiply_tile(const Block<typename Arithmetic::Word>& a, const typename Arithmetic::Word* panel,
                   int64_t words, float* out, int64_t stride, bool add) {
  Floats sums[kTileRows][kVectors] = {};
  for (int q = 0; q < kTileRows; ++q) {
    for (int v = 0; v < kVectors; ++v) __builtin_prefetch(out + q * stride + v * kLanes, 1, 3);
  }
  const typename Arithmetic::Word* x = a.words;
  for (int64_t w = 0; w < words; ++w, x += a.word_stride, panel += kPanelColumns) {
    typename Arithmetic::Words b[kVectors];
    for (int v = 0; v < kVectors; ++v) b[v] = Arithmetic::load_words(panel + v * kLanes);
    for (int q = 0; q < kTileRows; ++q) {
      const auto value = Arithmetic::broadcast_word(x[q * a.row_stride]);
      for (int v = 0; v < kVectors; ++v) sums[q][v] = Arithmetic::multiply_add(b[v], value, sums[q][v]);
    }
  }
  for (int q = 0; q < kTileRows; ++q) {
    for (int v = 0; v < kVectors; ++v) {
      float* target = out + q * stride + v * kLanes;
      store(target, add ? load(target) + sums[q][v] : sums[q][v]);
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

  void run() {
    const int64_t words = divide_up(shape_.depth, kValues);
    const int64_t most_words = std::min(words, kChunkWords);
    packed_a_.reset(
        new Word[divide_up(std::min(shape_.rows, kChunkRows), kBlockRows) * kBlockRows * most_words]);
    packed_b_.reset(new Word[divide_up(std::min(shape_.columns, kChunkColumns), kPanelColumns) *
                             kPanelColumns * most_words]);
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
      Word* out = packed_b_.get() + first * words.count;
      if (b_.column_stride == 1) {
        pack_across<Arithmetic>(x, b_.row_stride, values(words), count, out, words.count, kPanelColumns);
      } else {
        pack_transposed<Arithmetic>(x, b_.column_stride, values(words), count, out, words.count);
      }
    }
  }

  // Blocks (kBlockRows, words), or (words, kBlockRows) where A's rows lie side by side.
  void pack_a(const Chunk& rows, const Chunk& words) {
#pragma omp for schedule(static)
    for (int64_t first = 0; first < rows.count; first += kBlockRows) {
      const int64_t count = std::min(kBlockRows, rows.count - first);
      const Left* x =
          a_.data + (rows.first + first) * a_.row_stride + words.first * kValues * a_.column_stride;
      Word* out = packed_a_.get() + first * words.count;
      if (a_.column_stride == 1) {
        for (int64_t r = 0; r < count; ++r) {
          pack_along<Arithmetic>(x + r * a_.row_stride, values(words), out + r * words.count, words.count);
        }
        std::fill_n(out + count * words.count,
                    (divide_up(count, kTileRows) * kTileRows - count) * words.count, Word{});
      } else {
        pack_across<Arithmetic>(x, a_.column_stride, values(words), count, out, words.count, kBlockRows);
      }
    }
  }

  Block<Word> block(int64_t first, int64_t row, int64_t word, int64_t words) const {
    const Word* start = packed_a_.get() + first * words;
    if (a_.column_stride == 1) return {start + row * words + word, words, 1};
    return {start + word * kBlockRows + row, 1, kBlockRows};
  }

  void multiply(const Chunk& rows, const Chunk& columns, const Chunk& words) {
    const int64_t blocks = divide_up(rows.count, kBlockRows),
                  panels = divide_up(columns.count, kPanelColumns);
    // A few columns are dot products, which other libraries sum in many short chains: so does this.
    const int64_t longest = shape_.columns <= 16 ? kLanes : kSlice;
    const int64_t slice = divide_up(words.count, divide_up(words.count, longest));
#pragma omp for schedule(static)
    for (int64_t task = 0; task < blocks * panels; ++task) {
      const int64_t first_row = task / panels * kBlockRows, first_column = task % panels * kPanelColumns;
      const Word* panel = packed_b_.get() + first_column * words.count;
      const int64_t last_row = std::min(first_row + kBlockRows, rows.count);
      const int64_t width = std::min(kPanelColumns, columns.count - first_column);
      for (int64_t word = 0; word < words.count; word += slice) {
        const int64_t some = std::min(slice, words.count - word);
        for (int64_t row = first_row; row < last_row; row += kTileRows) {
          const Block<Word> a = block(first_row, row - first_row, word, words.count);
          float* c = c_ + (rows.first + row) * stride_ + columns.first + first_column;
          const bool add = add_ || words.first + word > 0;
          if (row + kTileRows <= last_row && width == kPanelColumns) {
            multiply_tile<Arithmetic>(a, panel + word * kPanelColumns, some, c, stride_, add);
          } else {
            alignas(64) float sums[kTileRows * kPanelColumns];
            multiply_tile<Arithmetic>(a, panel + word * kPanelColumns, some, sums, kPanelColumns, false);
            write_tile(sums, std::min<int64_t>(kTileRows, last_row - row), width, c, stride_, add);
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
  std::unique_ptr<Word[]> packed_a_, packed_b_;
};

}  // namespace

void multiply_float32(const Matrix<float>& a, const Matrix<float>& b, ProductShape shape, float* c,
                      int64_t stride, bool add) {
  Product<Float32, float, float>(a, b, shape, c, stride, add).run();
}

template <typename Left, typename Right>
void multiply_bfloat16(const Matrix<Left>& a, const Matrix<Right>& b, ProductShape shape, float* c,
                       int64_t stride, bool add) {
  Product<Bfloat16, Left, Right>(a, b, shape, c, stride, add).run();
}

template void multiply_bfloat16(const Matrix<float>&, const Matrix<float>&, ProductShape, float*, int64_t,
                                bool);
template void multiply_bfloat16(const Matrix<bfloat16>&, const Matrix<bfloat16>&, ProductShape, float*,
                                int64_t, bool);
template void multiply_bfloat16(const Matrix<float>&, const Matrix<bfloat16>&, ProductShape, float*, int64_t,
                                bool);

}  // namespace xlembed::kernels
