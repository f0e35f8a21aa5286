// How product.cpp lays out its operands: B in panels, A in rows, both in float32 words or in integers
// of 16 bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/arithmetic.h"
#include "kernels/fixed16.h"
#include "kernels/product_tasks.h"
#include "kernels/transpose.h"

namespace xlembed::kernels::product {

// Sums in registers: 24 of 32 with AVX-512, 12 of 16 otherwise.
inline constexpr int kTileRows = 6;
inline constexpr int kVectors = kLanes == 16 ? 4 : 2;
inline constexpr int64_t kPanelColumns = kVectors * kLanes;
inline constexpr int64_t kBlockRows = 16 * kTileRows;  // of A, held against one panel after another

// kValues of the depth lie in a word, kChain words of a block and of a panel are added up in one chain: those
// of the panel stay in the first cache level, the block's in the second. AVX2's libraries cut their sums here
// too.
struct Float32 : Float32Words {
  static constexpr int64_t kValues = 1, kChain = kLanes == 16 ? 384 : 192;
  static constexpr bool kHasSteps = false;
  static Floats floats(Floats sums) { return sums; }
};

struct Fixed16 : Int16Pairs {
  static constexpr int64_t kValues = 2, kChain = 192;
  static constexpr bool kHasSteps = true;
};

// Of the columns of x (depth, count), its rows `stride` apart.
template <typename T>
void steps_across(const T* x, int64_t stride, int64_t depth, int64_t count, Step* steps) {
  float squares[kBlockRows] = {}, largest[kBlockRows] = {};
  static_assert(kBlockRows >= kPanelColumns);
  for (int64_t d = 0; d < depth; ++d, x += stride) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      const float size = std::fabs(to_float(x[i]));
      squares[i] += size * size;
      largest[i] = size > largest[i] ? size : largest[i];
    }
  }
  for (int64_t i = 0; i < count; ++i) steps[i] = fixed16_step(squares[i], largest[i], depth);
}

// x (depth) -> words, contiguous; zeros up to `words`.
template <typename Arithmetic, typename T>
void pack_along(const T* x, int64_t depth, typename Arithmetic::Word* out, int64_t words, float factor) {
  if constexpr (!Arithmetic::kHasSteps) {
    std::copy_n(x, depth, out);
  } else {
    auto* halves = reinterpret_cast<Half*>(out);
    fixed16_row(x, depth, factor, halves);
    if (depth % 2 == 1) halves[depth] = 0;
  }
  for (int64_t w = divide_up(depth, Arithmetic::kValues); w < words; ++w) out[w] = 0;
}

// x (depth, count), its rows `stride` apart -> words (words, width); zeros beyond `count`.
template <typename Arithmetic, typename T>
void pack_across(const T* x, int64_t stride, int64_t depth, int64_t count, typename Arithmetic::Word* out,
                 int64_t words, int64_t width, const float* factors) {
  constexpr int64_t kValues = Arithmetic::kValues;
  constexpr int64_t kAhead = 8;  // rows: each may lie in another page
  for (int64_t w = 0; w < words; ++w, out += width) {
    const T* first = x + w * kValues * stride;
    const int64_t rest = depth - w * kValues;
    const int64_t taken = rest > 0 ? count : 0;
    for (int64_t i = 0; i < taken; i += 16) {
      __builtin_prefetch(first + kAhead * stride + i);
      if (kValues == 2) __builtin_prefetch(first + (kAhead + 1) * stride + i);
    }
    if constexpr (!Arithmetic::kHasSteps) {
      std::copy_n(first, taken, out);
    } else if (rest > 1) {
      const T* second = first + stride;
#pragma omp simd
      for (int64_t i = 0; i < taken; ++i)
        out[i] = fixed16_pair(to_float(first[i]), to_float(second[i]), factors[i]);
    } else {
      for (int64_t i = 0; i < taken; ++i) out[i] = fixed16_pair(to_float(first[i]), 0, factors[i]);
    }
    for (int64_t i = taken; i < width; ++i) out[i] = 0;
  }
}

// x (count, depth), its rows `stride` apart -> a panel (words, kPanelColumns), zeros beyond `count`.
template <typename Arithmetic, typename T>
void pack_transposed(const T* x, int64_t stride, int64_t depth, int64_t count, typename Arithmetic::Word* out,
                     int64_t words, const float* factors) {
  using Word = typename Arithmetic::Word;
  static_assert(sizeof(Word) == sizeof(uint32_t) && kPanelColumns % kLanes == 0);
  constexpr bool kAsTheyAre = std::is_same_v<Arithmetic, Float32> && std::is_same_v<T, float>;
  alignas(64) Word lines[kLanes][kLanes];
  alignas(64) uint32_t square[kLanes * kLanes];
  for (int64_t begin = 0; begin < words; begin += kLanes) {
    const int64_t step = std::min<int64_t>(kLanes, words - begin), from = begin * Arithmetic::kValues;
    const int64_t some = std::clamp<int64_t>(depth - from, 0, kLanes * Arithmetic::kValues);
    for (int64_t first = 0; first < kPanelColumns; first += kLanes) {
      const void* rows[kLanes];
      for (int64_t i = 0; i < kLanes; ++i) {
        const bool is_there = first + i < count;
        const T* row = x + (is_there ? first + i : 0) * stride + from;
        if (kAsTheyAre && is_there && some == kLanes) {
          rows[i] = row;
          continue;
        }
        pack_along<Arithmetic>(row, is_there ? some : 0, lines[i], kLanes,
                               Arithmetic::kHasSteps && is_there ? factors[first + i] : 0);
        rows[i] = lines[i];
      }
      Word* to = out + begin * kPanelColumns + first;
      if (step == kLanes) {
        transpose_square(rows, 0, reinterpret_cast<uint32_t*>(to), kPanelColumns);
      } else {
        transpose_square(rows, 0, square, kLanes);
        for (int64_t w = 0; w < step; ++w)
          std::memcpy(to + w * kPanelColumns, square + w * kLanes, kLanes * sizeof(Word));
      }
    }
  }
}

// x (depth, count), its rows `stride` apart -> rows of words (kBlockRows, words), `out_stride` apart; zeros
// beyond `count`.
template <typename Arithmetic, typename T>
void pack_block_across(const T* x, int64_t stride, int64_t depth, int64_t count,
                       typename Arithmetic::Word* out, int64_t words, int64_t out_stride,
                       const float* factors) {
  constexpr int64_t kValues = Arithmetic::kValues;
  using Word = typename Arithmetic::Word;
  alignas(64) Word lines[kLanes][kBlockRows];
  for (int64_t begin = 0; begin < words; begin += kLanes) {
    const int64_t step = std::min<int64_t>(kLanes, words - begin), from = begin * kValues;
    pack_across<Arithmetic>(x + from * stride, stride, depth - from, count, lines[0], step, kBlockRows,
                            factors);
    if (step < kLanes) {
      for (int64_t i = 0; i < kBlockRows; ++i) {
        for (int64_t w = 0; w < step; ++w) out[i * out_stride + begin + w] = lines[w][i];
      }
      continue;
    }
    const void* rows[kLanes];
    for (int64_t w = 0; w < kLanes; ++w) rows[w] = lines[w];
    for (int64_t i = 0; i < kBlockRows; i += kLanes)
      transpose_square(rows, i, reinterpret_cast<uint32_t*>(out + i * out_stride + begin), out_stride);
  }
}

}  // namespace xlembed::kernels::product
