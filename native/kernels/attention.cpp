#include "kernels/attention.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "kernels/aligned_vector.h"
#include "kernels/row_tile.h"
#include "kernels/store_rows.h"
#include "kernels/transpose.h"
#include "kernels/vector_exp.h"

namespace xlembed::kernels {
namespace {

// One head of one sequence of L tokens. The panels of keys have a column for each token and sum over the
// width; those of values have a column for each dimension and sum over the tokens.
template <typename T>
class Head {
  using Arithmetic = typename ArithmeticOf<T>::type;
  using Word = typename Arithmetic::Word;
  static constexpr int64_t kValues = 4 / sizeof(T);
  static constexpr bool kRounds = !std::is_same_v<T, float>;  // weights and results

 public:
  void attend(const T* query, int64_t stride, int64_t length, int64_t width, int64_t hidden, T* output) {
    resize(length, width);
    const auto* queries = reinterpret_cast<const Word*>(query);
    pack_keys(queries + hidden / kValues, stride / kValues);
    pack_values(query + 2 * hidden, stride);
    for (int64_t first = 0; first < length; first += kTileRows) {
      const int64_t rows = std::min<int64_t>(kTileRows, length - first);
      multiply(queries + first * (stride / kValues), stride / kValues, width_words_, keys_.data(), rows,
               scores_.data(), padded_length_);
      for (int64_t r = 0; r < rows; ++r) softmax(r);
      multiply(weights(), padded_length_ / kValues, length_words_, values_.data(), rows, sums_.data(),
               padded_width_);
      for (int64_t r = 0; r < rows; ++r) write(r, output + (first + r) * hidden);
    }
  }

 private:
  void resize(int64_t length, int64_t width) {
    length_ = length;
    width_ = width;
    length_words_ = (length + kValues - 1) / kValues;
    width_words_ = width / kValues;
    padded_length_ = panels_of(length) * kLanes;
    padded_width_ = panels_of(width) * kLanes;
    const auto grow = [](auto& values, int64_t count) {
      if (static_cast<int64_t>(values.size()) < count) values.resize(count);
    };
    grow(keys_, padded_length_ * width_words_);
    grow(values_, padded_width_ * length_words_);
    if (kRounds) grow(rounded_, kTileRows * padded_length_ / kValues);
    grow(scores_, kTileRows * padded_length_);
    grow(sums_, kTileRows * padded_width_);
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

  void pack_values(const T* value, int64_t stride) {
    for (int64_t w = 0; w < length_words_; ++w) {
      for (int64_t part = 0; part < kValues; ++part) {
        const int64_t token = w * kValues + part;
        const T* row = value + token * stride;
        for (int64_t panel = 0; panel < padded_width_; panel += kLanes) {
          T* columns = reinterpret_cast<T*>(&values_[panel * length_words_ + w * kLanes]);
          const int64_t count = token < length_ ? std::min<int64_t>(kLanes, width_ - panel) : 0;
          for (int64_t lane = 0; lane < count; ++lane) columns[lane * kValues + part] = row[panel + lane];
          for (int64_t lane = count; lane < kLanes; ++lane) columns[lane * kValues + part] = T{};
        }
      }
    }
  }

  // out (rows, columns) = x (rows, words) times panels (columns, words); columns a multiple of kLanes
  static void multiply(const Word* x, int64_t stride, int64_t words, const Word* panels, int64_t rows,
                       float* out, int64_t columns) {
    for (int64_t first = 0; first < columns; first += kTileColumns) {
      const int64_t vectors = std::min(kTileColumns, columns - first) / kLanes;
      kMultiplyTile<Arithmetic>[vectors - 1][rows - 1](x, stride, panels + first* words, words, out + first,
                                                       columns);
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
      scores[j] = vector_exp((scores[j] - largest) * scale);
      sum += scores[j];
    }
    if constexpr (kRounds) {
      store_row(scores, count, reinterpret_cast<T*>(&rounded_[row * padded_length_ / kValues]));
    }
    inverses_[row] = 1.0f / sum;
  }

  // (kTileRows, padded length)
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
  AlignedVector<Word> keys_, values_, rounded_;
  AlignedVector<float> scores_, sums_;
  float inverses_[kTileRows] = {};
};

}  // namespace

template <typename T>
void attention(const T* query_key_value, const int32_t* cumulative, AttentionShape shape, T* output) {
  const int64_t hidden = shape.heads * shape.width, stride = 3 * hidden;
#pragma omp parallel for collapse(2) schedule(dynamic) if (!omp_in_parallel())
  for (int64_t sequence = 0; sequence < shape.sequences; ++sequence) {
    for (int64_t head = 0; head < shape.heads; ++head) {
      thread_local Head<T> workspace;
      const int64_t first = cumulative[sequence], length = cumulative[sequence + 1] - first;
      workspace.attend(query_key_value + first * stride + head * shape.width, stride, length, shape.width,
                       hidden, output + first * hidden + head * shape.width);
    }
  }
}

template void attention(const float*, const int32_t*, AttentionShape, float*);
template void attention(const bfloat16*, const int32_t*, AttentionShape, bfloat16*);

}  // namespace xlembed::kernels
