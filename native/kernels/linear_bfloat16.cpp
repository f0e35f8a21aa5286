#include "kernels/linear_bfloat16.h"

#include "kernels/linear_tiles.h"

namespace xlembed::kernels {
namespace {

int64_t words_of(int64_t dimensions) { return whole_steps((dimensions + 1) / 2); }

// A tile's sums, and where they go.
struct Sums {
  const float* biases;  // what they start from
  float* values;
  int64_t stride;
};

#if defined(XLEMBED_AMX)
class AmxMultiplier {
 public:
  using Size = AmxTile;
  void operator()(const uint32_t* rows, int64_t words, const uint32_t* panels, const Tile& tile, Sums sums) {
    registers_.fit(tile.height);
    kMultiplyAmx<Bfloat16Tiles>[tile.height > 16][tile.panels - 1](rows, words, panels, words, sums.biases,
                                                                   sums.values, sums.stride);
  }

 private:
  AmxTileRegisters registers_;
};
#endif

struct VectorMultiplier {
  using Size = RegisterTile;
  void operator()(const uint32_t* rows, int64_t words, const uint32_t* panels, const Tile& tile,
                  Sums sums) const {
    kMultiplyTile<Bfloat16Pairs>[tile.panels - 1][tile.height - 1](rows, words, panels, words, sums.values,
                                                                   sums.stride);
    for (int64_t r = 0; r < tile.height; ++r) {
      float* row = sums.values + r * sums.stride;
#pragma omp simd
      for (int64_t n = 0; n < kTileColumns; ++n) row[n] += sums.biases[n];
    }
  }
};

// A Multiplier serves the tiles above one another.
template <typename Multiplier, typename Out>
void linear_in_tiles(const bfloat16* x, const bfloat16* packed_weight, const float* bias, LinearShape shape,
                     Activation activation, Out* y) {
  using Size = typename Multiplier::Size;
  const int64_t words = words_of(shape.in);
  struct Columns {
    TileColumnValues<Size> biases;
    mutable Multiplier multiply;
  };
  const auto columns_of = [&](const Tile& tile) { return Columns{{bias, tile}, {}}; };
  // Whole sums that nothing is done to need no other place than y.
  const auto is_final = [&](const Tile& tile) {
    return std::is_same_v<Out, float> && activation == Activation::none && tile.width == Size::kColumns;
  };
  const auto multiply = [&](const Tile& tile, const Columns& columns, float* sums) {
    const auto* rows = reinterpret_cast<const uint32_t*>(x) + tile.row * words;
    const auto* panels = reinterpret_cast<const uint32_t*>(packed_weight) + tile.column * words;
    Sums to{columns.biases.values, sums, Size::kColumns};
    if constexpr (std::is_same_v<Out, float>) {
      if (is_final(tile)) to = {to.biases, y + tile.row * shape.out + tile.column, shape.out};
    }
    columns.multiply(rows, words, panels, tile, to);
  };
  const auto finish = [&](const Tile& tile, const Columns&, float* sums) {
    if (!is_final(tile)) write_tile<Size>(sums, tile, activation, shape.out, y);
  };
  for_each_tile<Size, float>(shape, y, columns_of, multiply, finish);
}

}  // namespace

int64_t bfloat16_row_size(int64_t dimensions) { return words_of(dimensions) * 2; }

int64_t bfloat16_weight_size(int64_t out, int64_t in) {
  return packed_weight_size(out, bfloat16_row_size(in));
}

template <typename T>
void round_rows(const T* input, int64_t rows, int64_t dimensions, bfloat16* output) {
  const int64_t size = bfloat16_row_size(dimensions);
#pragma omp parallel for schedule(static) if (!omp_in_parallel() && rows * dimensions > 32768)
  for (int64_t r = 0; r < rows; ++r) {
    const T* from = input + r * dimensions;
    bfloat16* to = output + r * size;
    if constexpr (std::is_same_v<T, float>) {
      store_row(from, dimensions, to);
    } else {
      std::copy_n(from, dimensions, to);
    }
    std::fill_n(to + dimensions, size - dimensions, bfloat16{});
  }
}

void pack_weight_bfloat16(const float* weight, int64_t out, int64_t in, bfloat16* packed) {
  pack_panels(out, in, bfloat16_row_size(in), packed,
              [&](int64_t n, int64_t k) { return round_to_bfloat16(weight[n * in + k]); });
}

template <typename Out>
void linear_bfloat16(const bfloat16* x, const bfloat16* packed_weight, const float* bias, LinearShape shape,
                     Activation activation, Out* y) {
#if defined(XLEMBED_AMX)
  if (amx_granted()) return linear_in_tiles<AmxMultiplier>(x, packed_weight, bias, shape, activation, y);
#endif
  linear_in_tiles<VectorMultiplier>(x, packed_weight, bias, shape, activation, y);
}

template void round_rows(const float*, int64_t, int64_t, bfloat16*);
template void round_rows(const bfloat16*, int64_t, int64_t, bfloat16*);
template void linear_bfloat16(const bfloat16*, const bfloat16*, const float*, LinearShape, Activation,
                              float*);
template void linear_bfloat16(const bfloat16*, const bfloat16*, const float*, LinearShape, Activation,
                              bfloat16*);

}  // namespace xlembed::kernels
