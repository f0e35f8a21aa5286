#include "kernels/narrow_vectors.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <vector>

#include "kernels/amx.h"
#include "kernels/panels.h"

namespace xlembed::kernels {

int64_t value_words(Narrow type, int64_t dimensions) {
  const int64_t per_word = type == Narrow::bfloat16 ? 2 : 4;
  return whole_steps((dimensions + per_word - 1) / per_word);
}

Distance encode_bfloat16(const float* x, int64_t dimensions, uint32_t* words, int64_t count) {
  std::fill_n(words, count, 0u);
  double error = 0, length = 0;
  for (int64_t d = 0; d < dimensions; ++d) {
    const bfloat16 rounded = round_to_bfloat16(x[d]);
    words[d / 2] |= static_cast<uint32_t>(rounded.bits) << (d % 2 * 16);
    const double value = to_float(rounded), difference = x[d] - value;
    error += difference * difference;
    length += value * value;
  }
  return {static_cast<float>(std::sqrt(error)), static_cast<float>(std::sqrt(length))};
}

Distance encode_int8(const float* x, int64_t dimensions, int most, int offset, uint32_t* words, int64_t count,
                     float* scale) {
  std::fill_n(words, count, 0u);
  float largest = 0;
  for (int64_t d = 0; d < dimensions; ++d) largest = std::max(largest, std::fabs(x[d]));
  *scale = int8_scale(largest, most);
  const float inverse = *scale > FLT_MIN ? 1 / *scale : 0;
  double error = 0, length = 0;
  for (int64_t d = 0; d < dimensions; ++d) {
    const int integer = std::clamp(static_cast<int>(std::nearbyint(x[d] * inverse)), -most, most);
    words[d / 4] |= static_cast<uint32_t>((integer + offset) & 255) << (d % 4 * 8);
    const double value = static_cast<double>(*scale) * integer, difference = x[d] - value;
    error += difference * difference;
    length += value * value;
  }
  return {static_cast<float>(std::sqrt(error)), static_cast<float>(std::sqrt(length))};
}

void widen_bfloat16(const uint32_t* words, int64_t dimensions, float* panel) {
  for (int64_t d = 0; d < dimensions; ++d) {
    const uint32_t* from = words + d / 2 * kPanelRows;
    const int shift = d % 2 == 0 ? 16 : 0;  // to the upper half
    uint32_t bits[kPanelRows];
    for (int64_t i = 0; i < kPanelRows; ++i) bits[i] = (from[i] << shift) & 0xFFFF0000u;
    std::memcpy(panel + d * kPanelRows, bits, sizeof bits);
  }
}

int64_t narrow_words(Narrow type, int64_t dimensions) {
  return value_words(type, dimensions) + (type == Narrow::int8 ? 1 : 0);
}

void write_narrow(const float* vectors, int64_t first, int64_t count, const Corpus& corpus, int threads,
                  NarrowCorpus& narrow) {
  const int64_t values = value_words(narrow.type, corpus.dimensions);
  const int64_t words = narrow_words(narrow.type, corpus.dimensions), end = first + count;
  float error = narrow.largest_error, length = narrow.largest_length;
#pragma omp parallel num_threads(threads) reduction(max : error, length)
  {
    std::vector<uint32_t> encoded(kPanelRows * words);
#pragma omp for
    for (int64_t p = first / kPanelRows; p < (end + kPanelRows - 1) / kPanelRows; ++p) {
      const int64_t begin = std::max(first, p * kPanelRows), stop = std::min(end, (p + 1) * kPanelRows);
      const uint32_t* rows[kPanelRows];
      for (int64_t row = begin; row < stop; ++row) {
        uint32_t* out = &encoded[(row - begin) * words];
        const float* x = vectors + (row - first) * corpus.dimensions;
        float scale = 0;
        const Distance distance = narrow.type == Narrow::bfloat16
                                      ? encode_bfloat16(x, corpus.dimensions, out, values)
                                      : encode_int8(x, corpus.dimensions, 127, 128, out, values, &scale);
        if (narrow.type == Narrow::int8) std::memcpy(out + values, &scale, sizeof scale);
        error = std::max(error, distance.error);
        length = std::max(length, distance.length);
        rows[row - begin] = out;
      }
      write_panel(rows, 1, stop - begin, words, address(corpus, narrow, begin));
    }
  }
  if (corpus.layout != Layout::narrow) narrow.largest_error = error;
  narrow.largest_length = length;
}

void read_row(const Corpus& corpus, int64_t row, float* vector) {
  const NarrowCorpus& narrow = *corpus.narrow;
  const uint32_t* words = address(corpus, narrow, row);
  if (narrow.type == Narrow::bfloat16) {
    for (int64_t d = 0; d < corpus.dimensions; ++d) {
      const uint32_t word = words[d / 2 * kPanelRows];
      vector[d] = to_float(bfloat16{static_cast<uint16_t>(word >> (d % 2 * 16))});
    }
    return;
  }
  float scale;
  std::memcpy(&scale, words + value_words(narrow.type, corpus.dimensions) * kPanelRows, sizeof scale);
  for (int64_t d = 0; d < corpus.dimensions; ++d) {
    const uint32_t word = words[d / 4 * kPanelRows];
    vector[d] = scale * static_cast<float>(static_cast<int>(word >> (d % 4 * 8) & 255) - 128);
  }
}

void read_panel(const Corpus& corpus, int64_t p, float* panel) {
  const NarrowCorpus& narrow = *corpus.narrow;
  const uint32_t* words = address(corpus, narrow, p * kPanelRows);
  if (narrow.type == Narrow::bfloat16) {
    widen_bfloat16(words, corpus.dimensions, panel);
    return;
  }
  float scales[kPanelRows];
  std::memcpy(scales, words + value_words(narrow.type, corpus.dimensions) * kPanelRows, sizeof scales);
  for (int64_t d = 0; d < corpus.dimensions; ++d) {
    const uint32_t* from = words + d / 4 * kPanelRows;
    const auto shift = static_cast<int>(d % 4 * 8);
    for (int64_t i = 0; i < kPanelRows; ++i) {
      const int integer = static_cast<int>(from[i] >> shift & 255) - 128;
      panel[d * kPanelRows + i] = scales[i] * static_cast<float>(integer);
    }
  }
}

}  // namespace xlembed::kernels
