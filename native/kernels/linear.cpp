#include "kernels/linear.h"

#include "kernels/linear_tiles.h"

namespace xlembed::kernels {

int64_t packed_weight_size(int64_t out, int64_t in) { return panels_of(out) * kLanes * in; }

template <typename T>
void pack_weight(const T* weight, int64_t out, int64_t in, T* packed) {
  pack_panels(out, in, packed, [&](int64_t n, int64_t k) { return weight[n * in + k]; });
}

void round_rows(const float* input, int64_t rows, int64_t dimensions, bfloat16* output) {
#pragma omp parallel for schedule(static) if (!omp_in_parallel() && rows * dimensions > 32768)
  for (int64_t r = 0; r < rows; ++r) {
    store_row(input + r * dimensions, dimensions, output + r * dimensions);
  }
}

template <typename T, typename Out>
void linear(const T* x, const T* packed_weight, const float* bias, LinearShape shape, Activation activation,
            Out* y) {
  using Arithmetic = typename ArithmeticOf<T>::type;
  using Word = typename Arithmetic::Word;
  const auto words = shape.in * static_cast<int64_t>(sizeof(T)) / static_cast<int64_t>(sizeof(Word));
  const auto* rows = reinterpret_cast<const Word*>(x);
  const auto* weights = reinterpret_cast<const Word*>(packed_weight);
  const auto biases_of = [&](const Tile& tile) { return TileColumnValues(bias, tile); };
  const auto multiply = [&](const Tile& tile, const TileColumnValues&, float* sums) {
    kMultiplyTile<Arithmetic>[tile.panels - 1][tile.height - 1](
        rows + tile.row* words, words, weights + tile.column* words, words, sums, kTileColumns);
  };
  const auto finish = [&](const Tile& tile, const TileColumnValues& biases, float* sums) {
    for (int64_t r = 0; r < tile.height; ++r) {
#pragma omp simd
      for (int64_t n = 0; n < kTileColumns; ++n) sums[r * kTileColumns + n] += biases.values[n];
    }
    write_tile(sums, tile, activation, shape.out, y);
  };
  for_each_tile<float>(shape, y, biases_of, multiply, finish);
}

template void pack_weight(const float*, int64_t, int64_t, float*);
template void pack_weight(const bfloat16*, int64_t, int64_t, bfloat16*);
template void linear(const float*, const float*, const float*, LinearShape, Activation, float*);
template void linear(const bfloat16*, const bfloat16*, const float*, LinearShape, Activation, float*);
template void linear(const bfloat16*, const bfloat16*, const float*, LinearShape, Activation, bfloat16*);

}  // namespace xlembed::kernels
