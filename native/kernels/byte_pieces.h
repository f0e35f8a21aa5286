// A tile of products of bytes (row_tile.h) whose sums stay in 16 bits for a while. Int7Quads takes three
// instructions a word: two products in 16 bits, two of these in 32, the sum. As long as the sum is known to
// fit 16 bits, two are enough.
//
// The words of a row are taken in pieces of kPieceWords. In 16 bits, either half of a word has a sum of its
// own, over the first or the last two of its four dimensions. Additions wrap around, so only what comes out
// must fit: sum_k q_k (w_k - 64), with the second term, -64 sum_k q_k, at hand for each piece. By
// Cauchy-Schwarz it is at most |q| |w - 64|, lengths over one half of one piece; a piece's length is the
// longer half's.
#pragma once

#include <algorithm>

#include "kernels/row_tile.h"

namespace xlembed::kernels {

#if defined(XLEMBED_INTEGER_PAIRS) && !defined(__AVX512VNNI__)
#define XLEMBED_BYTE_PIECES 1
inline constexpr bool kHasBytePieces = true;
#else
inline constexpr bool kHasBytePieces = false;
#endif

inline constexpr int64_t kPieceWords = 8, kPieceValues = 4 * kPieceWords;
// The second term of a piece, for either half.
struct PieceTerms {
  int16_t halves[2];
};
inline int64_t pieces_of(int64_t words) { return (words + kPieceWords - 1) / kPieceWords; }

// Pieces that may be summed in 16 bits where none has a larger product of lengths.
inline int64_t pieces_at_once(float product) {
  constexpr float kLargestSum = 32700;  // 32767, less the lengths' rounding
  constexpr float kAll = 1 << 20;
  return static_cast<int64_t>(std::min(kAll, kLargestSum / product));
}

// The largest product of the lengths of a piece, in any of the rows (rows, pieces), `stride` apart, and in
// the columns (pieces); pieces a multiple of kLanes.
inline float longest_product(const float* rows, int64_t count, int64_t stride, const float* columns,
                             int64_t pieces) {
  Floats longest{};
  for (int64_t p = 0; p < pieces; p += kLanes) {
    const Floats column = load(columns + p);
    for (int64_t r = 0; r < count; ++r) {
      const Floats product = load(rows + r * stride + p) * column;
      longest = product > longest ? product : longest;
    }
  }
  float lanes[kLanes];
  store(lanes, longest);
  return *std::max_element(lanes, lanes + kLanes);
}

#if defined(XLEMBED_BYTE_PIECES)
struct PieceTiles {
  // sums (R, kTileColumns), their first V * kLanes columns, = x times V panels (V, words, kLanes). A row of
  // x: words, then of each piece the term above, either half in 16 bits.
  template <int V, int R>
  static void multiply(const uint32_t* x, int64_t x_stride, const uint32_t* panels, int64_t words,
                       int64_t at_once, int32_t* sums) {
    const int64_t pieces = pieces_of(words);
    const auto broadcast_word = [](uint32_t word) { return XLEMBED_INTEGER_PAIRS(set1_epi32)(word); };
    const uint32_t* rows[R];
    XLEMBED_UNROLL
    for (int r = 0; r < R; ++r) rows[r] = x + r * x_stride;
    for (int64_t piece = 0; piece < pieces; piece += at_once) {
      const int64_t stop = std::min(piece + at_once, pieces), end = std::min(stop * kPieceWords, words);
      Bytes narrow[R][V];
      XLEMBED_UNROLL
      for (int r = 0; r < R; ++r) {
        Bytes start = broadcast_word(rows[r][words + piece]);
        for (int64_t p = piece + 1; p < stop; ++p)
          start = XLEMBED_INTEGER_PAIRS(add_epi16)(start, broadcast_word(rows[r][words + p]));
        XLEMBED_UNROLL
        for (int v = 0; v < V; ++v) narrow[r][v] = start;
      }
      for (int64_t w = piece * kPieceWords; w < end; ++w) {
        Bytes columns[V];
        for (int v = 0; v < V; ++v) columns[v] = (Bytes)load_words32(panels + (v * words + w) * kLanes);
        for (int r = 0; r < R; ++r) {
          const Bytes word = broadcast_word(rows[r][w]);
          for (int v = 0; v < V; ++v) {
            const Bytes pairs = XLEMBED_INTEGER_PAIRS(maddubs_epi16)(columns[v], word);
            narrow[r][v] = XLEMBED_INTEGER_PAIRS(add_epi16)(narrow[r][v], pairs);
          }
        }
      }
      XLEMBED_UNROLL
      for (int r = 0; r < R; ++r) {
        XLEMBED_UNROLL
        for (int v = 0; v < V; ++v) {
          int32_t* to = sums + r * kTileColumns + v * kLanes;
          auto sum =
              (Sums32)XLEMBED_INTEGER_PAIRS(madd_epi16)(narrow[r][v], XLEMBED_INTEGER_PAIRS(set1_epi16)(1));
          if (piece > 0) sum += (Sums32)load_words32(reinterpret_cast<const uint32_t*>(to));
          Int8Quads::store_sums(to, sum);
        }
      }
    }
  }
};
#endif

}  // namespace xlembed::kernels
