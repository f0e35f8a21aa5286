#include "kernels/linear.h"

#include "kernels/linear_tiles.h"

namespace xlembed::kernels {

int64_t packed_weight_size(int64_t out, int64_t in) { return panels_of(out) * kLanes * in; }

void pack_weight(const float* weight, int64_t out, int64_t in, float* packed) {
  pack_panels(out, in, in, packed, [&](int64_t n, int64_t k) { return weight[n * in + k]; });
}

void linear(const float* x, const float* packed_weight, const float* bias, LinearShape shape,
            Activation activation, float* y) {
  using Biases = TileColumnValues<RegisterTile>;
  const auto biases_of = [&](const Tile& tile) { return Biases(bias, tile); };
  const auto multiply = [&](const Tile& tile, const Biases&, float* sums) {
    kMultiplyTile<Float32Words>[tile.panels - 1][tile.height - 1](x + tile.row* shape.in, shape.in,
                                                                  packed_weight + tile.column* shape.in,
                                                                  shape.in, sums, kTileColumns);
  };
  const auto finish = [&](const Tile& tile, const Biases& biases, float* sums) {
    for (int64_t r = 0; r < tile.height; ++r) {
#pragma omp simd
      for (int64_t n = 0; n < kTileColumns; ++n) sums[r * kTileColumns + n] += biases.values[n];
    }
    write_tile<RegisterTile>(sums, tile, activation, shape.out, y);
  };
  for_each_tile<RegisterTile, float>(shape, y, biases_of, multiply, finish);
}

}  // namespace xlembed::kernels
