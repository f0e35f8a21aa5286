#include "kernels/linear_int16.h"

#include "kernels/fixed16.h"
#include "kernels/linear_tiles.h"

namespace xlembed::kernels {

template <typename T>
void fix_rows(const T* input, int64_t rows, int64_t dimensions, int16_t* output, float* steps) {
#pragma omp parallel for schedule(static) if (!omp_in_parallel() && rows * dimensions > 32768)
  for (int64_t r = 0; r < rows; ++r) {
    const T* x = input + r * dimensions;
    const Step step = fixed16_step_of(x, dimensions);
    fixed16_row(x, dimensions, step.factor, reinterpret_cast<uint16_t*>(output + r * dimensions));
    steps[r] = step.step;
  }
}

void pack_weight_int16(const float* weight, int64_t out, int64_t in, int16_t* packed, float* steps) {
  std::vector<Step> found(out);
  for (int64_t n = 0; n < out; ++n) {
    found[n] = fixed16_step_of(weight + n * in, in);
    steps[n] = found[n].step;
  }
  pack_panels(out, in, in, packed, [&](int64_t n, int64_t k) {
    return static_cast<int16_t>(fixed16(weight[n * in + k], found[n].factor));
  });
}

template <typename Out>
void linear_int16(const int16_t* x, const float* steps, const Int16Weight& weight, const float* bias,
                  LinearShape shape, Activation activation, Out* y) {
  const int64_t words = shape.in / 2;
  struct Columns {
    TileColumnValues<RegisterTile> biases, steps;
  };
  const auto columns_of = [&](const Tile& tile) { return Columns{{bias, tile}, {weight.steps, tile}}; };
  const auto multiply = [&](const Tile& tile, const Columns&, int32_t* sums) {
    const auto* rows = reinterpret_cast<const uint32_t*>(x) + tile.row * words;
    const auto* panels = reinterpret_cast<const uint32_t*>(weight.packed) + tile.column * words;
    kMultiplyTile<Int16Pairs>[tile.panels - 1][tile.height - 1](rows, words, panels, words, sums,
                                                                kTileColumns);
  };
  const auto finish = [&](const Tile& tile, const Columns& columns, const int32_t* sums) {
    const auto scale_of = [&](int64_t row) { return steps[row]; };
    write_integers<RegisterTile>(sums, tile, scale_of, columns.steps.values, columns.biases.values,
                                 activation, shape.out, y);
  };
  for_each_tile<RegisterTile, int32_t>(shape, y, columns_of, multiply, finish);
}

template void fix_rows(const float*, int64_t, int64_t, int16_t*, float*);
template void fix_rows(const bfloat16*, int64_t, int64_t, int16_t*, float*);
template void linear_int16(const int16_t*, const float*, const Int16Weight&, const float*, LinearShape,
                           Activation, float*);
template void linear_int16(const int16_t*, const float*, const Int16Weight&, const float*, LinearShape,
                           Activation, bfloat16*);

}  // namespace xlembed::kernels
