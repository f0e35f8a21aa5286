#include <omp.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "check.h"
#include "kernels/product.h"

namespace {

using xlembed::kernels::bfloat16;
using xlembed::kernels::Matrix;
using xlembed::kernels::multiply_bfloat16;
using xlembed::kernels::multiply_float32;
using xlembed::kernels::ProductMemory;
using xlembed::kernels::ProductShape;
using xlembed::kernels::round_to_bfloat16;
using xlembed::kernels::to_float;

// Numbers in rows that are longer than the matrix, or in columns that are.
template <typename T>
struct Values {
  Values(int64_t rows, int64_t columns, bool transposed, uint64_t seed)
      : stride((transposed ? rows : columns) + 3),
        transposed(transposed),
        values(stride * (transposed ? columns : rows)) {
    std::mt19937_64 generator(seed);
    std::normal_distribution<float> draw;
    for (T& value : values) xlembed::kernels::store(&value, draw(generator));
  }
  Matrix<T> matrix() const {
    return transposed ? Matrix<T>{values.data(), 1, stride} : Matrix<T>{values.data(), stride, 1};
  }
  double at(int64_t i, int64_t j, bool rounded) const {
    const float value = to_float(values[transposed ? j * stride + i : i * stride + j]);
    return rounded ? to_float(round_to_bfloat16(value)) : value;
  }
  int64_t stride;
  bool transposed;
  std::vector<T> values;
};

const std::vector<ProductShape> shapes = {{1, 1, 1},     {1, 5, 7},      {6, 64, 16},     {7, 65, 17},
                                          {31, 33, 384}, {97, 130, 385}, {200, 10, 5000}, {1000, 1033, 33}};

// Every sum is off by at most a rounding for each of its terms.
template <typename Left, typename Right, typename Multiply>
void matches_the_definition(bool rounded, Multiply multiply) {
  ProductMemory memory;
  for (const ProductShape& shape : shapes) {
    for (int form = 0; form < 8; ++form) {
      const bool add = form & 4;
      const Values<Left> a(shape.rows, shape.depth, form & 1, 1);
      const Values<Right> b(shape.depth, shape.columns, form & 2, 2);
      const int64_t stride = shape.columns + 5;
      std::vector<float> c(shape.rows * stride, 0.5f);
      multiply(a.matrix(), b.matrix(), shape, c.data(), stride, add, memory);
      for (int64_t i = 0; i < shape.rows; i += 1 + shape.rows / 40) {
        for (int64_t j = 0; j < stride; j += 1 + stride / 90) {
          double sum = add || j >= shape.columns ? 0.5 : 0, size = std::fabs(sum);
          for (int64_t k = 0; j < shape.columns && k < shape.depth; ++k) {
            const double term = a.at(i, k, rounded) * b.at(k, j, rounded);
            sum += term;
            size += std::fabs(term);
          }
          CHECK_CLOSE(c[i * stride + j], sum, 1e-6 * std::sqrt(static_cast<double>(shape.depth)) * size, 0);
        }
      }
    }
  }
}

void float32_matches_the_definition() { matches_the_definition<float, float>(false, multiply_float32); }

void bfloat16_matches_the_definition() {
  matches_the_definition<float, float>(true, multiply_bfloat16<float, float>);
  matches_the_definition<bfloat16, bfloat16>(true, multiply_bfloat16<bfloat16, bfloat16>);
  matches_the_definition<float, bfloat16>(true, multiply_bfloat16<float, bfloat16>);
}

void equal_bits_whatever_the_threads() {
  const ProductShape shape{500, 333, 5000};
  const Values<float> a(shape.rows, shape.depth, false, 1), b(shape.depth, shape.columns, true, 2);
  const int most = omp_get_max_threads();
  ProductMemory memory;
  std::vector<float> first;
  for (const int threads : {1, 2, 3, 2}) {
    omp_set_num_threads(threads);
    std::vector<float> c(2 * shape.rows * shape.columns);
    multiply_float32(a.matrix(), b.matrix(), shape, c.data(), shape.columns, false, memory);
    multiply_bfloat16(a.matrix(), b.matrix(), shape, c.data() + shape.rows * shape.columns, shape.columns,
                      false, memory);
    if (first.empty()) first = c;
    CHECK(std::memcmp(c.data(), first.data(), c.size() * sizeof(float)) == 0);
  }
  omp_set_num_threads(most);
}

// A NaN or an infinity reaches its own row alone: what fills up a tile is zero and not written.
void not_finite_stays_in_its_row() {
  const ProductShape shape{7, 65, 17};
  ProductMemory memory;
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Values<float> a(shape.rows, shape.depth, false, 1), b(shape.depth, shape.columns, false, 2);
    a.values[3 * a.stride + 16] = bad;
    for (const bool narrow : {false, true}) {
      std::vector<float> c(shape.rows * shape.columns);
      (narrow ? multiply_bfloat16<float, float> : multiply_float32)(a.matrix(), b.matrix(), shape, c.data(),
                                                                    shape.columns, false, memory);
      for (int64_t i = 0; i < shape.rows; ++i) {
        for (int64_t j = 0; j < shape.columns; ++j)
          CHECK(std::isfinite(c[i * shape.columns + j]) == (i != 3));
      }
    }
  }
}

}  // namespace

int main() {
  return check::run({
      {"float32 matches the definition", float32_matches_the_definition},
      {"bfloat16 matches the definition", bfloat16_matches_the_definition},
      {"equal bits whatever the threads", equal_bits_whatever_the_threads},
      {"not finite stays in its row", not_finite_stays_in_its_row},
  });
}
