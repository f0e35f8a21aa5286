#include "kernels/narrow_queries.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "kernels/arithmetic.h"
#include "kernels/fixed16.h"

namespace xlembed::kernels {
namespace {

// x (D) -> words of integers
Distance encode_fixed16(const float* x, int64_t dimensions, uint32_t* words, int64_t count, double* step) {
  double squares = 0;
  float largest = 0;
  for (int64_t d = 0; d < dimensions; ++d) {
    squares += static_cast<double>(x[d]) * x[d];
    largest = std::max(largest, std::fabs(x[d]));
  }
  const double length = std::sqrt(squares);
  *step = std::max({length / Int16Pairs::kLongest, static_cast<double>(largest) / Int16Pairs::kLargest,
                    static_cast<double>(FLT_MIN)});
  std::fill_n(words, count, 0u);
  double error = 0;
  for (int64_t d = 0; d < dimensions; ++d) {
    const auto integer = static_cast<int>(std::nearbyint(x[d] / *step));
    words[d / 2] |= static_cast<uint32_t>(integer & 0xFFFF) << (d % 2 * 16);
    error += std::pow(x[d] - integer * *step, 2);
  }
  return {static_cast<float>(std::sqrt(error)), static_cast<float>(length)};
}

}  // namespace

NarrowQueries encode_queries(const float* queries, int64_t count, int64_t dimensions, FirstPass pass) {
  const int64_t words = value_words(pass == FirstPass::int8 ? Narrow::int8 : Narrow::bfloat16, dimensions);
  NarrowQueries result{std::vector<uint32_t>(count * words), std::vector<int32_t>(count, 0),
                       std::vector<NarrowQueries::Size>(count)};
  for (int64_t q = 0; q < count; ++q) {
    const float* query = queries + q * dimensions;
    uint32_t* out = &result.words[q * words];
    NarrowQueries::Size& size = result.sizes[q];
    size.unit = 1;
    switch (pass) {
      case FirstPass::bfloat16:
        size.distance = encode_bfloat16(query, dimensions, out, words);
        break;
      case FirstPass::fixed16:
        size.distance = encode_fixed16(query, dimensions, out, words, &size.unit);
        break;
      case FirstPass::int8: {
        float scale = 1;
        size.distance = encode_int8(query, dimensions, Int8Search::kLargestQuery, 0, out, words, &scale);
        for (int64_t d = 0; d < dimensions; ++d) {
          result.corrections[q] += 128 * static_cast<int8_t>(out[d / 4] >> (d % 4 * 8) & 255);
        }
        size.unit = std::max(scale, FLT_MIN);
        break;
      }
    }
    double squares = 0;
    for (int64_t d = 0; d < dimensions; ++d) squares += static_cast<double>(query[d]) * query[d];
    size.length = std::sqrt(squares);
  }
  return result;
}

std::vector<float> margins(const NarrowQueries& queries, const Distance& rows, double row_unit,
                           int64_t dimensions) {
  std::vector<float> result;
  result.reserve(queries.sizes.size());
  const double furthest = static_cast<double>(rows.length) + rows.error;
  for (const NarrowQueries::Size& query : queries.sizes) {
    const double approximation = query.length * rows.error + query.distance.error * rows.length;
    // Both sums add D products, rounding once or twice for each, and may flush what is below the smallest
    // normal number to zero.
    const double rounding = (4 * dimensions + 64) * (FLT_EPSILON / 2) * query.length * furthest;
    const double flushing = dimensions * static_cast<double>(FLT_MIN) * (query.length + furthest + 1);
    result.push_back(
        static_cast<float>(2 * 1.001 * (approximation + rounding + flushing) / (query.unit * row_unit)));
  }
  return result;
}

}  // namespace xlembed::kernels
