// GCC's choice on Intel processors is 256 bits; with 512 these loops take 17-45 % less time in cache.
#if defined(__AVX512F__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("prefer-vector-width=512")
#endif

#include "kernels/info_nce.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/lanes.h"
#include "kernels/vector_exp.h"

namespace xlembed::kernels {

namespace {

bool asks_nothing(const NegativeRule& rule) {
  return !rule.groups && (rule.languages == NegativeLanguages::any || !rule.passage_languages);
}

void mask_row(float* s, int64_t i, int64_t columns, const NegativeRule& rule) {
  const float own = s[i];
  if (rule.groups && rule.groups[i] >= 0) {
    const int32_t group = rule.groups[i];
#pragma omp simd
    for (int64_t j = 0; j < columns; ++j) s[j] = rule.groups[j] == group ? masked_similarity : s[j];
  }
  if (rule.languages != NegativeLanguages::any && rule.passage_languages) {
    const int32_t language = rule.query_languages[i];
    const bool masks_same = rule.languages == NegativeLanguages::other;
#pragma omp simd
    for (int64_t j = 0; j < columns; ++j) {
      s[j] = (rule.passage_languages[j] == language) == masks_same ? masked_similarity : s[j];
    }
  }
  s[i] = own;
}

// -inf for no values; a NaN may vanish here and comes back through the sum of exponentials.
float largest(const float* s, int64_t count) {
  float result = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : result)
  for (int64_t j = 0; j < count; ++j) result = s[j] > result ? s[j] : result;
  return result;
}

// Long sums are float32 within a piece and float64 across pieces: the error stays that of a sum of the few
// numbers that a lane of a vector register adds up of a piece.
constexpr int64_t piece = 16 * kLanes;

float sum_of_exp(const float* s, int64_t count, float maximum, float scale) {
  double total = 0;
  for (int64_t begin = 0; begin < count; begin += piece) {
    const int64_t end = std::min(count, begin + piece);
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = begin; j < end; ++j) sum += vector_exp((s[j] - maximum) * scale);
    total += sum;
  }
  return static_cast<float>(total);
}

// Of row i: the largest similarity, and whether it is the query's own passage's.
float largest_of_row(const float* s, int64_t i, int64_t columns, RowResults results) {
  const float before = largest(s, i), after = largest(s + i + 1, columns - i - 1);
  const float maximum = std::max(s[i], std::max(before, after));
  results.maximum[i] = maximum;
  results.positive[i] = s[i];
  results.correct[i] = before < s[i] && after <= s[i];
  return maximum;
}

void write_sum(float sum, int64_t i, float scale, RowResults results) {
  results.sum[i] = sum;
  results.loss[i] = std::log(sum) - (results.positive[i] - results.maximum[i]) * scale;
}

struct RowSums {
  double exp;    // sum_j exp((s_j - maximum) * scale)
  double along;  // sum_j exp((s_j - maximum) * scale) * s_j
};

// Overwrites s by its exponentials.
RowSums replace_by_exp(float* s, int64_t count, float maximum, float scale) {
  RowSums total{};
  for (int64_t begin = 0; begin < count; begin += piece) {
    const int64_t end = std::min(count, begin + piece);
    float sum = 0, along = 0;
#pragma omp simd reduction(+ : sum, along)
    for (int64_t j = begin; j < end; ++j) {
      const float e = vector_exp((s[j] - maximum) * scale);
      sum += e;
      along += e * s[j];
      s[j] = e;
    }
    total.exp += sum;
    total.along += along;
  }
  return total;
}

// Overwrites exponentials by their gradients g and gives back sum_j g_j s_j.
double scale_row(float* exponentials, int64_t count, const RowSums& sums, float share) {
  for (int64_t j = 0; j < count; ++j) exponentials[j] *= share;
  return share * sums.along;
}

// Both directions, for columns that have one.
double two_way_gradient(float* s, int64_t columns, float scale, float maximum, float share,
                        const float* column_maximum, const float* column_share) {
  double total = 0;
  for (int64_t begin = 0; begin < columns; begin += piece) {
    const int64_t end = std::min(columns, begin + piece);
    float along = 0;
#pragma omp simd reduction(+ : along)
    for (int64_t j = begin; j < end; ++j) {
      const float g = share * vector_exp((s[j] - maximum) * scale) +
                      column_share[j] * vector_exp((s[j] - column_maximum[j]) * scale);
      along += g * s[j];
      s[j] = g;
    }
    total += along;
  }
  return total;
}

// The [i = j] term, once per direction.
float subtract_own(float* s, int64_t i, float own, float weight, double along) {
  s[i] -= weight;
  return static_cast<float>(along - static_cast<double>(weight) * own);
}

}  // namespace

void info_nce_mask(SimilarityBlock block, const NegativeRule& rule) {
  if (asks_nothing(rule)) return;
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < block.rows; ++r) {
    mask_row(block.values + r * block.stride, block.first_row + r, block.columns, rule);
  }
}

void info_nce_rows(SimilarityBlock block, const float* scale, const NegativeRule& rule, RowResults results) {
  const bool masks = !asks_nothing(rule);
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < block.rows; ++r) {
    float* s = block.values + r * block.stride;
    const int64_t i = block.first_row + r;
    if (masks) mask_row(s, i, block.columns, rule);
    const float maximum = largest_of_row(s, i, block.columns, results);
    write_sum(sum_of_exp(s, block.columns, maximum, *scale), i, *scale, results);
  }
}

// Strips of columns for the threads; within one, groups of rows that stay in the cache from the pass for
// their maxima to the pass for their sums. A column's arithmetic does not depend on the strips.
void info_nce_columns(SimilarityBlock block, const float* scale, int64_t queries, ColumnState state) {
  constexpr int64_t widest = 1024, group = 64;
  const int64_t share = queries / (2 * omp_get_max_threads());
  const int64_t strip = std::clamp<int64_t>(share / 64 * 64, 64, widest);
#pragma omp parallel for schedule(static)
  for (int64_t begin = 0; begin < queries; begin += strip) {
    const int64_t width = std::min(strip, queries - begin);
    float* const maximum = state.maximum + begin;
    float* const sum = state.sum + begin;
    float larger[widest], part[widest];
    for (int64_t first = 0; first < block.rows; first += group) {
      const int64_t last = std::min(block.rows, first + group);
      std::copy_n(maximum, width, larger);
      for (int64_t r = first; r < last; ++r) {
        const float* s = block.values + r * block.stride + begin;
#pragma omp simd
        for (int64_t j = 0; j < width; ++j) larger[j] = s[j] > larger[j] ? s[j] : larger[j];
      }
      std::fill_n(part, width, 0.0f);
      for (int64_t r = first; r < last; ++r) {
        const float* s = block.values + r * block.stride + begin;
#pragma omp simd
        for (int64_t j = 0; j < width; ++j) part[j] += vector_exp((s[j] - larger[j]) * *scale);
      }
      for (int64_t j = 0; j < width; ++j) {
        const float kept = sum[j] == 0 ? 0 : sum[j] * vector_exp((maximum[j] - larger[j]) * *scale);
        sum[j] = kept + part[j];
        maximum[j] = larger[j];
      }
    }
  }
}

void info_nce_gradient(SimilarityBlock block, const float* scale, int64_t queries, GradientInputs inputs,
                       float* scale_gradient) {
  const bool two_way = inputs.column_maximum != nullptr;
  const int64_t both = two_way ? queries : 0;
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < block.rows; ++r) {
    float* s = block.values + r * block.stride;
    const int64_t i = block.first_row + r;
    const float weight = inputs.row_weights ? inputs.row_weights[i] : 1.0f;
    const float maximum = inputs.row_maximum[i], share = weight / inputs.row_sum[i], own = s[i];
    double along =
        two_way_gradient(s, both, *scale, maximum, share, inputs.column_maximum, inputs.column_share);
    const RowSums rest = replace_by_exp(s + both, block.columns - both, maximum, *scale);
    along += scale_row(s + both, block.columns - both, rest, share);
    scale_gradient[i] = subtract_own(s, i, own, two_way ? 2 * weight : weight, along);
  }
}

void info_nce_rows_and_gradient(SimilarityBlock block, const float* scale, const NegativeRule& rule,
                                const float* row_weights, RowResults results, float* scale_gradient) {
  const bool masks = !asks_nothing(rule);
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < block.rows; ++r) {
    float* s = block.values + r * block.stride;
    const int64_t i = block.first_row + r;
    if (masks) mask_row(s, i, block.columns, rule);
    const float maximum = largest_of_row(s, i, block.columns, results), own = s[i];
    const RowSums sums = replace_by_exp(s, block.columns, maximum, *scale);
    write_sum(static_cast<float>(sums.exp), i, *scale, results);
    const float weight = row_weights ? row_weights[i] : 1.0f, share = weight / results.sum[i];
    const double along = scale_row(s, block.columns, sums, share);
    scale_gradient[i] = subtract_own(s, i, own, weight, along);
  }
}

}  // namespace xlembed::kernels
