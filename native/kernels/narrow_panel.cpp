#include "kernels/narrow_panel.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>

#include "kernels/arithmetic.h"
#include "kernels/panels.h"

namespace xlembed::kernels {
namespace {

// Half of the longest row that 16 bits hold is left to the rounding of its length.
constexpr float kLargest = 32000;

Words32 bits_of(Floats values) { return (Words32)values; }

// Pairs of dimensions of kLanes rows -> words. narrow(x) gives the bits of the narrow numbers in the upper or
// the lower half, and what they stand for. Returns |x - narrow(x)|^2.
template <typename Narrowed>
Floats narrow_lanes(const float* panel, int64_t dimensions, uint32_t* words, const Narrowed& narrowed) {
  Floats errors[2] = {};
  const auto half = [&](int64_t d, int which) {
    const Floats x = load(panel + d * kPanelRows);
    const auto [bits, value] = narrowed(x);
    const Floats error = x - value;
    errors[which] = fma(error, error, errors[which]);
    return bits;
  };
  int64_t d = 0;
  for (; d + 2 <= dimensions; d += 2) {
    const Words32 word = Narrowed::pair(half(d, 0), half(d + 1, 1));
    std::memcpy(words + d / 2 * kPanelRows, &word, sizeof word);
  }
  if (d < dimensions) {
    const Words32 word = Narrowed::pair(half(d, 0), Words32{});
    std::memcpy(words + d / 2 * kPanelRows, &word, sizeof word);
  }
  return errors[0] + errors[1];
}

struct BitsAndValue {
  Words32 bits;
  Floats value;
};

// To nearest: half of the last place is added, and what is below it dropped.
struct ToBfloat16 {
  BitsAndValue operator()(Floats x) const {
    const Words32 upper = (bits_of(x) + 0x8000u) & 0xFFFF0000u;
    return {upper, (Floats)upper};
  }
  static Words32 pair(Words32 first, Words32 second) { return first >> 16 | second; }
};

// A number of the size of this sum has its units in the lowest bits.
struct ToFixed16 {
  Floats factor, step;
  BitsAndValue operator()(Floats x) const {
    const Floats magic = broadcast(12582912.0f), shifted = fma(x, factor, magic);
    return {bits_of(shifted), (shifted - magic) * step};
  }
  static Words32 pair(Words32 first, Words32 second) { return (first & 0xFFFFu) | second << 16; }
};

void squared_lengths(const float* panel, int64_t dimensions, float* squares) {
  Floats sums[kVectors] = {};
  for (int64_t d = 0; d < dimensions; ++d) {
    XLEMBED_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      const Floats x = load(panel + d * kPanelRows + v * kLanes);
      sums[v] = fma(x, x, sums[v]);
    }
  }
  for (int v = 0; v < kVectors; ++v) store(squares + v * kLanes, sums[v]);
}

// The largest of the rows, with what sums of D squares in float32 may have lost.
Distance largest(const float* squared_errors, const float* squares, int64_t dimensions, int64_t rows) {
  Distance squared;
  for (int64_t i = 0; i < rows; ++i) {
    if (std::isnan(squares[i])) continue;
    if (squares[i] > kLongest * kLongest) return {0, std::numeric_limits<float>::infinity()};
    squared.error = std::max(squared.error, squared_errors[i]);
    squared.length = std::max(squared.length, squares[i]);
  }
  const float rounding = 1 + static_cast<float>(dimensions) * FLT_EPSILON;
  const float error = std::sqrt(squared.error) * rounding + kShortest;
  return {error, std::sqrt(squared.length) * rounding + error};
}

}  // namespace

Distance narrow_to_bfloat16(const float* panel, int64_t dimensions, int64_t rows, uint32_t* words) {
  alignas(64) float squares[kPanelRows], errors[kPanelRows];
  squared_lengths(panel, dimensions, squares);
  for (int64_t lane = 0; lane < kPanelRows; lane += kLanes)
    store(errors + lane, narrow_lanes(panel + lane, dimensions, words + lane, ToBfloat16{}));
  for (int64_t i = 0; i < rows; ++i) {
    if (!std::isnan(squares[i])) continue;  // else rounding may have made a number of NaN
    for (int64_t word = 0; word < (dimensions + 1) / 2; ++word) words[word * kPanelRows + i] = 0x7FC07FC0u;
  }
  return largest(errors, squares, dimensions, rows);
}

Distance narrow_to_fixed16(const float* panel, int64_t dimensions, int64_t rows, uint32_t* words,
                           float* steps) {
  alignas(64) float squares[kPanelRows], errors[kPanelRows], factors[kPanelRows];
  squared_lengths(panel, dimensions, squares);
  for (int64_t i = 0; i < kPanelRows; ++i) {
    const float length = std::sqrt(squares[i]);
    const bool has_step = length > kShortest && length <= kLongest;
    factors[i] = has_step ? kLargest / length : 0;
    steps[i] = has_step ? length / kLargest : std::isnan(length) ? length : 0;
  }
  for (int64_t lane = 0; lane < kPanelRows; lane += kLanes) {
    const ToFixed16 narrowed{load(factors + lane), load(steps + lane)};
    store(errors + lane, narrow_lanes(panel + lane, dimensions, words + lane, narrowed));
  }
  return largest(errors, squares, dimensions, rows);
}

}  // namespace xlembed::kernels
