#include <omp.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "check.h"
#include "kernels/product.h"
#include "kernels/product_bfloat16.h"

namespace {

#if defined(XLEMBED_AMX)
using xlembed::kernels::amx_granted;
using xlembed::kernels::multiply_bfloat16;
#endif
using xlembed::kernels::bfloat16;
using xlembed::kernels::Matrix;
using xlembed::kernels::multiply_fixed16;
using xlembed::kernels::multiply_float32;
using xlembed::kernels::multiply_narrow;
using xlembed::kernels::ProductMemory;
using xlembed::kernels::ProductShape;
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
  double at(int64_t i, int64_t j) const {
    return to_float(values[transposed ? j * stride + i : i * stride + j]);
  }
  int64_t stride;
  bool transposed;
  std::vector<T> values;
};

const std::vector<ProductShape> shapes = {{1, 1, 1},     {1, 5, 7},      {6, 64, 16},     {7, 65, 17},
                                          {31, 33, 384}, {97, 130, 385}, {200, 10, 5000}, {1000, 1033, 33}};

// What a product's sums may be off by beyond a rounding for each of their terms, in units of the lengths of
// the two vectors: at most, and as the root of the mean square.
struct Rounding {
  double most = 0, mean = 0;
};

// fixed16: every term is off by the rounding of its factors, one part in 160,000 of their vectors' lengths
// (the standard deviation of what is uniform over a step), independently: the length of what they add up to
// grows as these lengths' product does.
const Rounding kFixed16{8e-5, 2e-5};
// bfloat16: every factor by at most 2^-9 of itself.
[[maybe_unused]] const Rounding kBfloat16{4e-3, 4e-4};

template <typename Left, typename Right, typename Multiply>
void matches_the_definition(Rounding allowed, Multiply multiply) {
  ProductMemory memory;
  double squares = 0, count = 0;  // of errors in units of the lengths
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
          double sum = add || j >= shape.columns ? 0.5 : 0, size = std::fabs(sum), left = 0, right = 0;
          for (int64_t k = 0; j < shape.columns && k < shape.depth; ++k) {
            const double term = a.at(i, k) * b.at(k, j);
            sum += term;
            size += std::fabs(term);
            left += a.at(i, k) * a.at(i, k);
            right += b.at(k, j) * b.at(k, j);
          }
          const double lengths = std::sqrt(left * right);
          const double rounding = 1e-6 * std::sqrt(static_cast<double>(shape.depth)) * size;
          CHECK_CLOSE(c[i * stride + j], sum, rounding + allowed.most * lengths, 0);
          if (j < shape.columns && shape.depth > 1) {
            squares += std::pow((c[i * stride + j] - sum) / lengths, 2);
            ++count;
          }
        }
      }
    }
  }
  if (allowed.mean > 0) CHECK(std::sqrt(squares / count) < allowed.mean);
}

void float32_matches_the_definition() { matches_the_definition<float, float>({}, multiply_float32); }

void fixed16_matches_the_definition() {
  matches_the_definition<float, float>(kFixed16, multiply_fixed16<float, float>);
  matches_the_definition<bfloat16, bfloat16>(kFixed16, multiply_fixed16<bfloat16, bfloat16>);
  matches_the_definition<float, bfloat16>(kFixed16, multiply_fixed16<float, bfloat16>);
}

#if defined(XLEMBED_AMX)
void bfloat16_matches_the_definition() {
  if (!amx_granted()) return;
  matches_the_definition<float, float>(kBfloat16, multiply_bfloat16<float, float>);
  matches_the_definition<bfloat16, bfloat16>({}, multiply_bfloat16<bfloat16, bfloat16>);
  matches_the_definition<float, bfloat16>(kBfloat16, multiply_bfloat16<float, bfloat16>);
}
#else
void bfloat16_matches_the_definition() {}
#endif

// A row of A times the same as a column of B: the largest sums there are.
float product_with_itself(const std::vector<float>& x, float factor, ProductMemory& memory) {
  const auto depth = static_cast<int64_t>(x.size());
  std::vector<float> scaled = x;
  for (float& value : scaled) value *= factor;
  float c = 0;
  multiply_fixed16(Matrix<float>{scaled.data(), depth, 1}, Matrix<float>{scaled.data(), 1, depth},
                   {1, 1, depth}, &c, 1, false, memory);
  return c;
}

void fixed16_bears_extreme_vectors() {
  ProductMemory memory;
  for (const int64_t depth : {1, 2, 3, 384, 385, 5000}) {
    std::vector<std::vector<float>> vectors;
    vectors.emplace_back(depth, 1.0f);                  // all alike: their length sets the step
    vectors.emplace_back(depth, -1.0f)[depth / 2] = 1;  // and of both signs
    vectors.emplace_back(depth, 0.0f)[depth - 1] = -1;  // one alone: the largest integer does
    vectors.emplace_back(depth, 1e-3f)[0] = 1;
    for (const std::vector<float>& x : vectors) {
      for (const float factor : {1.0f, 1e-3f, 1e3f, 1e-17f, 1e17f}) {
        double expected = 0;
        for (const float value : x) expected += std::pow(static_cast<double>(value) * factor, 2);
        CHECK_CLOSE(product_with_itself(x, factor, memory), expected, 0, 1e-3);
      }
      CHECK(product_with_itself(x, 0, memory) == 0);
      CHECK(product_with_itself(x, 1e-30f, memory) == 0);  // as in float32
    }
  }
}

// What is far smaller than the largest value, but not small in sum, is kept where it is in another slice, and
// nearly kept where it is beside it.
void fixed16_keeps_many_small_values() {
  ProductMemory memory;
  const int64_t depth = 16384;
  std::vector<float> a(depth, 1e-5f), b(depth, 1.0f);
  a[100] = 0.9f;
  float c = 0;
  multiply_fixed16(Matrix<float>{a.data(), depth, 1}, Matrix<float>{b.data(), 1, depth}, {1, 1, depth}, &c, 1,
                   false, memory);
  CHECK_CLOSE(c, 0.9 + 1e-5 * (depth - 1), 384 * 1e-5 + 5e-4, 0);
  a[100] = 1e-5f;
  multiply_fixed16(Matrix<float>{a.data(), depth, 1}, Matrix<float>{b.data(), 1, depth}, {1, 1, depth}, &c, 1,
                   false, memory);
  CHECK_CLOSE(c, 1e-5 * depth, 0, 1e-3);
}

void equal_bits_whatever_the_threads() {
  const ProductShape shape{500, 333, 5000};
  const Values<float> a(shape.rows, shape.depth, false, 1), b(shape.depth, shape.columns, true, 2);
  const int most = omp_get_max_threads();
  ProductMemory memory;
  std::vector<float> first;
  for (const int threads : {1, 2, 3, 13, 16, 40, 2}) {  // some share blocks of rows
    omp_set_num_threads(threads);
    const int64_t size = shape.rows * shape.columns;
    std::vector<float> c(3 * size);
    multiply_float32(a.matrix(), b.matrix(), shape, c.data(), shape.columns, false, memory);
    multiply_fixed16(a.matrix(), b.matrix(), shape, c.data() + size, shape.columns, false, memory);
    multiply_narrow(a.matrix(), b.matrix(), shape, c.data() + 2 * size, shape.columns, false, memory);
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
    for (const auto multiply :
         {multiply_float32, multiply_fixed16<float, float>, multiply_narrow<float, float>}) {
      std::vector<float> c(shape.rows * shape.columns);
      multiply(a.matrix(), b.matrix(), shape, c.data(), shape.columns, false, memory);
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
      {"fixed16 matches the definition", fixed16_matches_the_definition},
      {"bfloat16 matches the definition", bfloat16_matches_the_definition},
      {"fixed16 bears extreme vectors", fixed16_bears_extreme_vectors},
      {"fixed16 keeps many small values", fixed16_keeps_many_small_values},
      {"equal bits whatever the threads", equal_bits_whatever_the_threads},
      {"not finite stays in its row", not_finite_stays_in_its_row},
  });
}
