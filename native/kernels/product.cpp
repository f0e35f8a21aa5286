// GCC's choice on Intel processors is 256 bits.
#if defined(__AVX512F__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("prefer-vector-width=512")
#endif

#include "kernels/product.h"

#include <omp.h>

#include <algorithm>

#include "kernels/product_bfloat16.h"
#include "kernels/product_packing.h"

namespace xlembed::kernels {
namespace {

using namespace product;

// What is packed at a time. A thread's block of A stays in the second cache level, which is 256 KiB or more
// with AVX2 and 1 MiB or more with AVX-512.
constexpr int64_t kChunkWords = kLanes == 16 ? 2048 : 384;
// Of B, 8 MB with AVX-512: the more columns, the fewer times A is packed.
constexpr int64_t kFewestColumns = 1024, kMostColumns = kLanes == 16 ? 4096 : 1024;

// Where a tile's sums so far lie, or go: row q at values + q * stride. No values: the sums begin.
struct TileSums {
  float* values;
  int64_t stride;
};

// Of a panel's row: what a tile fetches for each word, for the tiles of a block to fetch all.
constexpr int64_t kShare = kPanelColumns * kTileRows / kBlockRows;

// What a tile's integers stand for: steps of its rows and of the panel's columns.
struct TileSteps {
  const float *rows, *columns;
};

// to (kTileRows, kPanelColumns) = from + rows (kTileRows, words), `stride` apart, times the panel (words,
// kPanelColumns). Meanwhile a tile's share of as much memory as the panel takes is fetched from `ahead` on.
template <typename Arithmetic>
inline void multiply_tile(const typename Arithmetic::Word* rows, int64_t stride,
                          const typename Arithmetic::Word* panel, const typename Arithmetic::Word* ahead,
                          int64_t words, const TileSteps& steps, const TileSums& from, const TileSums& to) {
  typename Arithmetic::Sums sums[kTileRows][kVectors];
  for (int q = 0; q < kTileRows; ++q) {
    for (int v = 0; v < kVectors; ++v) {
      __builtin_prefetch(to.values + q * to.stride + v * kLanes, 1, 3);
      sums[q][v] = typename Arithmetic::Sums{};
    }
  }
#pragma GCC unroll 4
  for (int64_t w = 0; w < words; ++w, panel += kPanelColumns) {
    typename Arithmetic::Words b[kVectors];
    for (int v = 0; v < kVectors; ++v) b[v] = Arithmetic::load_words(panel + v * kLanes);
    __builtin_prefetch(ahead + w * kShare, 0, 2);
    for (int q = 0; q < kTileRows; ++q) {
      const auto value = Arithmetic::broadcast_word(rows[q * stride + w]);
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
      : a_(a),
        b_(b),
        shape_(shape),
        c_(c),
        stride_(stride),
        add_(add),
        tasks_(shape.rows, kTileRows, kBlockRows, omp_get_max_threads()) {}

  void run(ProductMemory& memory) {
    const int64_t words = divide_up(shape_.depth, kValues);
    const int64_t most_words = std::min(words, kChunkWords);
    const int64_t fitting = kChunkWords * kFewestColumns / std::max<int64_t>(most_words, 1);
    chunk_columns_ = std::clamp(fitting / kPanelColumns * kPanelColumns, kFewestColumns, kMostColumns);
    const int64_t panels = divide_up(std::min(shape_.columns, chunk_columns_), kPanelColumns);
    const int64_t slices = Arithmetic::kHasSteps ? divide_up(most_words, Arithmetic::kChain) : 0;
    const int64_t a_words = kBlockRows * row_stride({0, most_words}), a_steps = slices * kBlockRows;
    const int64_t b_words = panels * kPanelColumns * most_words;
    Word* const packed_a = reserve<Word>(memory.left, omp_get_max_threads() * (a_words + a_steps));
    packed_b_ = reserve<Word>(memory.right, b_words + slices * chunk_columns_);
    steps_b_ = reinterpret_cast<float*>(packed_b_ + b_words);
#pragma omp parallel
    {
      Word* const own = packed_a + omp_get_thread_num() * (a_words + a_steps);
      const Block block{own, reinterpret_cast<float*>(own + a_words)};
      for (int64_t column = 0; column < shape_.columns; column += chunk_columns_) {
        for (int64_t word = 0; word < words; word += kChunkWords) {
          const Chunk columns{column, std::min(chunk_columns_, shape_.columns - column)};
          const Chunk depth{word, std::min(kChunkWords, words - word)};
          if (column + word > 0) {
#pragma omp barrier
          }
          pack_b(columns, depth);
          multiply(columns, depth, block);
        }
      }
    }
  }

 private:
  struct Chunk {
    int64_t first, count;
  };

  // A thread's rows of A, packed.
  struct Block {
    Word* words;   // (kBlockRows, row_stride)
    float* steps;  // (slices, kBlockRows), where the arithmetic has steps
  };

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

  // Words from one packed row of A to the next: not a power of two, which would put all rows of a tile into
  // the same few lines of a cache.
  static int64_t row_stride(const Chunk& words) { return words.count + kLanes; }

  void pack_a(const Chunk& rows, const Chunk& words, const Block& block) {
    const int64_t stride = row_stride(words);
    for_each_slice(words, [&](const Chunk& part, int64_t word, int64_t s) {
      const Left* x = a_.data + rows.first * a_.row_stride + part.first * kValues * a_.column_stride;
      Word* out = block.words + word;
      float factors[kBlockRows];
      find_steps(x, a_.row_stride, a_.column_stride, values(part), rows.count, kBlockRows, factors,
                 block.steps + s * kBlockRows);
      if (a_.column_stride != 1) {
        pack_block_across<Arithmetic>(x, a_.column_stride, values(part), rows.count, out, part.count, stride,
                                      factors);
        return;
      }
      for (int64_t row = 0; row < divide_up(rows.count, kTileRows) * kTileRows; ++row) {
        const bool is_there = row < rows.count;
        pack_along<Arithmetic>(x + (is_there ? row * a_.row_stride : 0), is_there ? values(part) : 0,
                               out + row * stride, part.count,
                               Arithmetic::kHasSteps && is_there ? factors[row] : 0);
      }
    });
  }

  void multiply(const Chunk& columns, const Chunk& words, const Block& block) {
    tasks_.share_out(divide_up(columns.count, kPanelColumns),
                     [&](int64_t first, int64_t count, int64_t panel, int64_t end) {
                       const Chunk rows{first, count};
                       pack_a(rows, words, block);
                       for (; panel < end; ++panel)
                         multiply_panel(rows, columns, words, block, panel * kPanelColumns);
                     });
  }

  // C's rows times a panel, which begins at the chunk's column `first`.
  void multiply_panel(const Chunk& rows, const Chunk& columns, const Chunk& words, const Block& block,
                      int64_t first) {
    const Word* panel = packed_b_ + first * words.count;
    const int64_t stride = row_stride(words);
    const int64_t width = std::min(kPanelColumns, columns.count - first);
    const bool has_before = add_ || words.first > 0;
    // C's rows often lie a power of two apart, where few of them fit a cache: only the last slice goes
    // there.
    alignas(64) float sums[kBlockRows * kPanelColumns];
    for_each_slice(words, [&](const Chunk& part, int64_t word, int64_t s) {
      const bool is_first = word == 0, is_last = word + part.count == words.count;
      const Word* ahead = panel + (word + part.count) * kPanelColumns;  // where the next slice lies
      for (int64_t row = 0; row < rows.count; row += kTileRows) {
        const TileSteps steps{block.steps + s * kBlockRows + row, steps_b_ + s * chunk_columns_ + first};
        const TileSums here{sums + row * kPanelColumns, kPanelColumns};
        const TileSums c{c_ + (rows.first + row) * stride_ + columns.first + first, stride_};
        const bool is_whole = row + kTileRows <= rows.count && width == kPanelColumns;
        const TileSums from = !is_first ? here : is_whole && has_before ? c : TileSums{};
        multiply_tile<Arithmetic>(block.words + row * stride + word, stride, panel + word * kPanelColumns,
                                  ahead + row / kTileRows * part.count * kShare, part.count, steps, from,
                                  is_whole && is_last ? c : here);
        if (is_last && !is_whole) {
          write_tile(here.values, std::min<int64_t>(kTileRows, rows.count - row), width, c.values, stride_,
                     has_before);
        }
      }
    });
  }

  const Matrix<Left> a_;
  const Matrix<Right> b_;
  const ProductShape shape_;
  float* const c_;
  const int64_t stride_;
  const bool add_;
  const Tasks tasks_;
  int64_t chunk_columns_ = 0;
  Word* packed_b_ = nullptr;
  float* steps_b_ = nullptr;  // (slices, chunk_columns_), where the arithmetic has steps
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

template <typename Left, typename Right>
void multiply_narrow(const Matrix<Left>& a, const Matrix<Right>& b, ProductShape shape, float* c,
                     int64_t stride, bool add, ProductMemory& memory) {
#if defined(XLEMBED_AMX)
  if (amx_granted()) return multiply_bfloat16(a, b, shape, c, stride, add, memory);
#endif
  multiply_fixed16(a, b, shape, c, stride, add, memory);
}

#define XLEMBED_INSTANTIATE(multiply, Left, Right)                                                       \
  template void multiply(const Matrix<Left>&, const Matrix<Right>&, ProductShape, float*, int64_t, bool, \
                         ProductMemory&);
XLEMBED_INSTANTIATE(multiply_fixed16, float, float)
XLEMBED_INSTANTIATE(multiply_fixed16, bfloat16, bfloat16)
XLEMBED_INSTANTIATE(multiply_fixed16, float, bfloat16)
XLEMBED_INSTANTIATE(multiply_narrow, float, float)
XLEMBED_INSTANTIATE(multiply_narrow, bfloat16, bfloat16)
XLEMBED_INSTANTIATE(multiply_narrow, float, bfloat16)

}  // namespace xlembed::kernels
