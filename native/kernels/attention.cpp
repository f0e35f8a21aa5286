#include "kernels/attention.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "kernels/aligned_vector.h"
#include "kernels/amx_tile.h"
#include "kernels/row_tile.h"
#include "kernels/store_rows.h"
#include "kernels/transpose.h"
#include "kernels/vector_exp.h"

namespace xlembed::kernels {
namespace {

// What multiplies: out (rows, columns) = x (rows, words), `stride` words apart, times panels (columns,
// words). A product takes kRows at most; words and columns are multiples of kWordStep and kColumnStep.
template <typename T>
struct VectorProducts {
  using Arithmetic = typename ArithmeticOf<T>::type;
  using Word = typename Arithmetic::Word;
  static constexpr int64_t kRows = kTileRows, kWordStep = 1, kColumnStep = kLanes;
  static constexpr bool kReadsAllRows = false;

  void multiply(const Word* x, int64_t stride, int64_t words, const Word* panels, int64_t rows, float* out,
                int64_t columns) const {
    for (int64_t first = 0; first < columns; first += kTileColumns) {
      const int64_t vectors = std::min(kTileColumns, columns - first) / kLanes;
      kMultiplyTile<Arithmetic>[vectors - 1][rows - 1](x, stride, panels + first* words, words, out + first,
                                                       columns);
    }
  }
};

#if defined(XLEMBED_AMX)
// Tiles of one size alone, as setting others for each head would take longer than multiplying.
class AmxProducts {
 public:
  using Word = uint32_t;
  static constexpr int64_t kRows = kAmxRows, kWordStep = kTileWords, kColumnStep = kAmxColumns;
  static constexpr bool kReadsAllRows = true;

  void multiply(const Word* x, int64_t stride, int64_t words, const Word* panels, int64_t rows, float* out,
                int64_t columns) {
    registers_.fit(kRows);
    const auto multiply = kMultiplyAmx<Bfloat16Tiles>[rows > 16][1];
    for (int64_t first = 0; first < columns; first += kAmxColumns)
      multiply(x, stride, panels + first * words, words, nullptr, out + first, columns);
  }

 private:
  AmxTileRegisters registers_;
};
#endif

int64_t round_up(int64_t count, int64_t step) { return (count + step - 1) / step * step; }

// One head of one sequence of L tokens. The panels of keys have a column for each token and sum over the
// width; those of values have a column for each dimension and sum over the tokens.
template <typename T, typename Products>
class Head {
  using Word = typename Products::Word;
  static constexpr int64_t kRows = Products::kRows;
  static constexpr int64_t kValues = 4 / sizeof(T);
  static constexpr bool kRounds = !std::is_same_v<T, float>;  // weights and results

 public:
  void attend(Products& products, const T* query, int64_t stride, int64_t length, int64_t width,
              int64_t hidden, T* output) {
    resize(length, width);
    const auto* queries = reinterpret_cast<const Word*>(query);
    pack_keys(queries + hidden / kValues, stride / kValues);
    pack_values(query + 2 * hidden, stride);
    for (int64_t first = 0; first < length; first += kRows) {
      const int64_t rows = std::min<int64_t>(kRows, length - first);
      const Rows some = query_rows(queries + first * (stride / kValues), stride / kValues, rows);
      products.multiply(some.values, some.stride, width_words_, keys_.data(), rows, scores_.data(),
                        padded_length_);
      for (int64_t r = 0; r < rows; ++r) softmax(r);
      products.multiply(weights(), padded_length_ / kValues, length_words_, values_.data(), rows,
                        sums_.data(), padded_width_);
      for (int64_t r = 0; r < rows; ++r) write(r, output + (first + r) * hidden);
    }
  }

 private:
  void resize(int64_t length, int64_t width) {
    length_ = length;
    width_ = width;
    length_words_ = round_up((length + kValues - 1) / kValues, Products::kWordStep);
    width_words_ = width / kValues;
    padded_length_ = round_up(length, Products::kColumnStep);
    padded_width_ = round_up(width, Products::kColumnStep);
    const auto grow = [](auto& values, int64_t count) {
      if (static_cast<int64_t>(values.size()) < count) values.resize(count);
    };
    grow(keys_, padded_length_ * width_words_);
    grow(values_, padded_width_ * length_words_);
    if (kRounds) grow(rounded_, kRows * padded_length_ / kValues);
    if (Products::kReadsAllRows) grow(queries_, kRows * width_words_);
    grow(scores_, kRows * padded_length_);
    grow(sums_, kRows * padded_width_);
  }

  struct Rows {
    const Word* values;
    int64_t stride;
  };
  // Where they are, or copied to where as many can be read as a product takes.
  Rows query_rows(const Word* queries, int64_t stride, int64_t count) {
    if (!Products::kReadsAllRows) return {queries, stride};
    for (int64_t r = 0; r < count; ++r)
      std::copy_n(queries + r * stride, width_words_, &queries_[r * width_words_]);
    return {queries_.data(), width_words_};
  }

  void pack_keys(const Word* key, int64_t stride) {
    const int64_t squares = width_words_ / kLanes * kLanes;
    for (int64_t panel = 0; panel < padded_length_; panel += kLanes) {
      Word* columns = &keys_[panel * width_words_];
      const void* rows[kLanes];
      // Past the end: any key will do, as its scores are not read.
      for (int64_t lane = 0; lane < kLanes; ++lane)
        rows[lane] = key + std::min(panel + lane, length_ - 1) * stride;
      for (int64_t w = 0; w < squares; w += kLanes)
        transpose_square(rows, w, reinterpret_cast<uint32_t*>(columns + w * kLanes), kLanes);
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        for (int64_t w = squares; w < width_words_; ++w)
          columns[w * kLanes + lane] = static_cast<const Word*>(rows[lane])[w];
      }
    }
  }

  // Zeros beyond the last token and the last dimension.
  void pack_values(const T* value, int64_t stride) {
    for (int64_t w = 0; w < length_words_; ++w) {
      const int64_t token = w * kValues;
      const T* row = value + token * stride;
      for (int64_t panel = 0; panel < padded_width_; panel += kLanes) {
        Word* words = &values_[panel * length_words_ + w * kLanes];
        if (token + kValues <= length_ && panel + kLanes <= width_) {
          interleave(row + panel, stride, words);
          continue;
        }
        T* columns = reinterpret_cast<T*>(words);
        std::fill_n(columns, kLanes * kValues, T{});
        for (int64_t part = 0; part < kValues && token + part < length_; ++part) {
          for (int64_t lane = 0; lane < kLanes && panel + lane < width_; ++lane)
            columns[lane * kValues + part] = row[part * stride + panel + lane];
        }
      }
    }
  }

  // Of kValues rows, kLanes columns each.
  static void interleave(const T* row, int64_t stride, Word* columns) {
    if constexpr (kValues == 1) {
      std::copy_n(row, kLanes, columns);
    } else {
#pragma omp simd
      for (int64_t lane = 0; lane < kLanes; ++lane)
        columns[lane] = row[lane].bits | static_cast<Word>(row[stride + lane].bits) << 16;
    }
  }

  // The weights stay undivided by their sum: write() divides what they add up to.
  void softmax(int64_t row) {
    float* scores = &scores_[row * padded_length_];
    const int64_t count = padded_length_ / kLanes * kLanes;  // whole registers, as the compiler sees here
    std::fill(scores + length_, scores + count, -INFINITY);
    const float scale = 1.0f / std::sqrt(static_cast<float>(width_));
    float largest = scores[0];
#pragma omp simd reduction(max : largest)
    for (int64_t j = 0; j < count; ++j) largest = scores[j] > largest ? scores[j] : largest;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < count; ++j) {
      const float difference = (scores[j] - largest) * scale;
      scores[j] = kRounds ? vector_exp_coarse(difference) : vector_exp(difference);
      sum += scores[j];
    }
    if constexpr (kRounds) {
      store_row(scores, count, reinterpret_cast<T*>(&rounded_[row * padded_length_ / kValues]));
    }
    inverses_[row] = 1.0f / sum;
  }

  // (kRows, padded length)
  const Word* weights() const {
    if constexpr (kRounds) {
      return rounded_.data();
    } else {
      return scores_.data();
    }
  }

  void write(int64_t row, T* output) {
    float* const sums = &sums_[row * padded_width_];
    float* to = sums;
    if constexpr (!kRounds) to = output;
#pragma omp simd
    for (int64_t d = 0; d < width_; ++d) to[d] = sums[d] * inverses_[row];
    if constexpr (kRounds) store_row(sums, width_, output);
  }

  int64_t length_ = 0, width_ = 0, length_words_ = 0, width_words_ = 0, padded_length_ = 0, padded_width_ = 0;
  AlignedVector<Word> queries_, keys_, values_, rounded_;
  AlignedVector<float> scores_, sums_;
  float inverses_[kRows] = {};
};

template <typename T, typename Products>
void attend_all(const T* query_key_value, const int32_t* cumulative, AttentionShape shape, T* output) {
  const int64_t hidden = shape.heads * shape.width, stride = 3 * hidden;
#pragma omp parallel if (!omp_in_parallel())
  {
    Products products;
#pragma omp for collapse(2) schedule(dynamic)
    for (int64_t sequence = 0; sequence < shape.sequences; ++sequence) {
      for (int64_t head = 0; head < shape.heads; ++head) {
        thread_local Head<T, Products> workspace;
        const int64_t first = cumulative[sequence], length = cumulative[sequence + 1] - first;
        workspace.attend(products, query_key_value + first * stride + head * shape.width, stride, length,
                         shape.width, hidden, output + first * hidden + head * shape.width);
      }
    }
  }
}

// Rows of whole tile registers.
bool takes_amx(int64_t width) { return amx_granted() && width % (2 * kTileWords) == 0; }

}  // namespace

bool bfloat16_attention_is_faster(int64_t width) { return kBfloat16Products || takes_amx(width); }

template <typename T>
void attention(const T* query_key_value, const int32_t* cumulative, AttentionShape shape, T* output) {
#if defined(XLEMBED_AMX)
  if constexpr (std::is_same_v<T, bfloat16>) {
    if (takes_amx(shape.width)) return attend_all<T, AmxProducts>(query_key_value, cumulative, shape, output);
  }
#endif
  attend_all<T, VectorProducts<T>>(query_key_value, cumulative, shape, output);
}

template void attention(const float*, const int32_t*, AttentionShape, float*);
template void attention(const bfloat16*, const int32_t*, AttentionShape, bfloat16*);

}  // namespace xlembed::kernels
