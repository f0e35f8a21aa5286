#include "kernels/attention_training.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "kernels/aligned_vector.h"
#include "kernels/lanes.h"
#include "kernels/transpose.h"
#include "kernels/vector_exp.h"

namespace xlembed::kernels {
namespace {

constexpr int64_t kBlockRows = 64;
// Sums, a row's value and two vectors of columns fill the registers.
constexpr int64_t kTileRows = kLanes == 16 ? 12 : 6;
constexpr int64_t kTileVectors = 2, kColumns = kTileVectors * kLanes;

int64_t padded(int64_t columns) { return (columns + kColumns - 1) / kColumns * kColumns; }

// c (rows, kColumns) = or += sum_k a[row, k] b[k, .]
template <int64_t kRows>
void multiply_tile(const float* a, int64_t a_row, int64_t a_k, const float* b, int64_t b_k, int64_t count,
                   float* c, int64_t c_row, bool add) {
  Floats sums[kRows][kTileVectors];
  XLEMBED_UNROLL
  for (int64_t r = 0; r < kRows; ++r) {
    XLEMBED_UNROLL
    for (int64_t v = 0; v < kTileVectors; ++v) {
      sums[r][v] = add ? load(c + r * c_row + v * kLanes) : broadcast(0);
    }
  }
  for (int64_t k = 0; k < count; ++k) {
    const Floats left = load(b + k * b_k), right = load(b + k * b_k + kLanes);
    for (int64_t r = 0; r < kRows; ++r) {
      const Floats x = broadcast(a[r * a_row + k * a_k]);
      sums[r][0] = fma(x, left, sums[r][0]);
      sums[r][1] = fma(x, right, sums[r][1]);
    }
  }
  XLEMBED_UNROLL
  for (int64_t r = 0; r < kRows; ++r) {
    XLEMBED_UNROLL
    for (int64_t v = 0; v < kTileVectors; ++v) store(c + r * c_row + v * kLanes, sums[r][v]);
  }
}

// multiply_tile by its rows - 1.
template <int64_t... kRows>
constexpr auto tiles_by_rows(std::integer_sequence<int64_t, kRows...>) {
  return std::array{&multiply_tile<kRows + 1>...};
}
constexpr auto kMultiplyTile = tiles_by_rows(std::make_integer_sequence<int64_t, kTileRows>());

// A matrix in memory: element (i, j) is data[i * row + j * column].
struct Matrix {
  const float* data;
  int64_t row, column = 1;
};

// c (rows, columns) = or += a (rows, count) b (count, columns); b's rows dense, columns a multiple of
// kColumns
void multiply(Matrix a, const float* b, int64_t b_row, int64_t rows, int64_t count, int64_t columns, float* c,
              bool add) {
  for (int64_t j = 0; j < columns; j += kColumns) {
    for (int64_t i = 0; i < rows; i += kTileRows) {
      const auto tile = kMultiplyTile[std::min(kTileRows, rows - i) - 1];
      tile(a.data + i * a.row, a.row, a.column, b + j, b_row, count, c + i * columns + j, columns, add);
    }
  }
}

// What one head of one sequence reads and writes: rows `stride` apart.
struct HeadView {
  const float *query, *key, *value;
  int64_t stride, length, width;
  const int32_t* keys;  // of its tokens; null: nothing is dropped
  uint32_t head_key;
  DropoutRule rule;
};

class Workspace {
 public:
  void forward(const HeadView& head, float* output, int64_t output_stride) {
    begin(head);
    copy_rows(head.value, head.stride, values_);
    for (int64_t first = 0; first < head.length; first += kBlockRows) {
      const int64_t rows = std::min(kBlockRows, head.length - first);
      compute_weights(head, first, rows);
      drop(head, first, rows, weights_.data());
      multiply({weights_.data(), columns_}, values_.data(), width_, rows, head.length, width_, out_.data(),
               false);
      write(out_, rows, head.width, 1, output + first * output_stride, output_stride);
    }
  }

  // The gradients of query, key and value lie as query, key and value do.
  void backward(const HeadView& head, const float* output_gradient, int64_t output_stride, float* query,
                float* key, float* value) {
    begin(head);
    const int64_t length = head.length;
    copy_rows(head.query, head.stride, queries_);
    copy_rows(head.key, head.stride, key_rows_);
    copy_rows(output_gradient, output_stride, gradients_);
    copy_columns(head.value, head.stride, value_columns_);
    key_gradient_.assign(length * width_, 0.0f);
    value_gradient_.assign(length * width_, 0.0f);
    for (int64_t first = 0; first < length; first += kBlockRows) {
      const int64_t rows = std::min(kBlockRows, length - first);
      const float* gradient = gradients_.data() + first * width_;
      compute_weights(head, first, rows);
      multiply({gradient, width_}, value_columns_.data(), columns_, rows, head.width, columns_,
               weight_gradient_.data(), false);
      drop(head, first, rows, weight_gradient_.data());
      // What the values were multiplied by are the dropped weights; what softmax gave are the others.
      dropped_ = weights_;
      drop(head, first, rows, dropped_.data());
      multiply({dropped_.data(), 1, columns_}, gradient, width_, length, rows, width_, value_gradient_.data(),
               true);
      for (int64_t r = 0; r < rows; ++r) softmax_gradient(r);
      multiply({weight_gradient_.data(), columns_}, key_rows_.data(), width_, rows, length, width_,
               out_.data(), false);
      write(out_, rows, head.width, scale_, query + first * head.stride, head.stride);
      multiply({weight_gradient_.data(), 1, columns_}, queries_.data() + first * width_, width_, length, rows,
               width_, key_gradient_.data(), true);
    }
    write(key_gradient_, length, head.width, scale_, key, head.stride);
    write(value_gradient_, length, head.width, 1, value, head.stride);
  }

 private:
  void begin(const HeadView& head) {
    length_ = head.length;
    columns_ = padded(head.length);
    width_ = padded(head.width);
    scale_ = 1.0f / std::sqrt(static_cast<float>(head.width));
    weights_.resize(kBlockRows * columns_);
    weight_gradient_.resize(kBlockRows * columns_);
    out_.resize(kBlockRows * width_);
    head_width_ = head.width;
    copy_columns(head.key, head.stride, key_columns_);
  }

  // (L, width_), zero beyond the width
  void copy_rows(const float* rows, int64_t stride, AlignedVector<float>& to) const {
    to.resize(length_ * width_);
    for (int64_t i = 0; i < length_; ++i) {
      std::copy_n(rows + i * stride, head_width_, &to[i * width_]);
      std::fill(&to[i * width_] + head_width_, &to[i * width_] + width_, 0.0f);
    }
  }

  // (d, columns_); beyond the length stands the last token's again, whose weights there will be 0
  void copy_columns(const float* rows, int64_t stride, AlignedVector<float>& to) const {
    to.resize(head_width_ * columns_);
    const int64_t squares = head_width_ / kLanes * kLanes;
    for (int64_t i = 0; i < columns_; i += kLanes) {
      const void* lanes[kLanes];
      for (int64_t lane = 0; lane < kLanes; ++lane)
        lanes[lane] = rows + std::min(i + lane, length_ - 1) * stride;
      for (int64_t d = 0; d < squares; d += kLanes)
        transpose_square(lanes, d, reinterpret_cast<uint32_t*>(&to[d * columns_ + i]), columns_);
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        for (int64_t d = squares; d < head_width_; ++d)
          to[d * columns_ + i + lane] = static_cast<const float*>(lanes[lane])[d];
      }
    }
  }

  // softmax of rows `first` .. `first + rows - 1`; columns beyond the length are 0
  void compute_weights(const HeadView& head, int64_t first, int64_t rows) {
    multiply({head.query + first * head.stride, head.stride}, key_columns_.data(), columns_, rows, head.width,
             columns_, weights_.data(), false);
    for (int64_t r = 0; r < rows; ++r) {
      float* row = &weights_[r * columns_];
      std::fill(row + length_, row + columns_, -INFINITY);
      float largest = row[0];
#pragma omp simd reduction(max : largest)
      for (int64_t j = 0; j < columns_; ++j) largest = row[j] > largest ? row[j] : largest;
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t j = 0; j < columns_; ++j) {
        row[j] = vector_exp((row[j] - largest) * scale_);
        sum += row[j];
      }
      const float inverse = 1.0f / sum;
#pragma omp simd
      for (int64_t j = 0; j < columns_; ++j) row[j] *= inverse;
    }
  }

  void drop(const HeadView& head, int64_t first, int64_t rows, float* matrix) const {
    if (head.keys == nullptr) return;
    for (int64_t r = 0; r < rows; ++r) {
      float* row = matrix + r * columns_;
      const auto token = static_cast<uint32_t>(head.keys[first + r]);
      const uint32_t key = dropout_row(static_cast<int32_t>(token ^ head.head_key), head.rule.site);
#pragma omp simd
      for (int64_t j = 0; j < columns_; ++j) {
        const bool keeps = dropout_keeps(key, static_cast<uint32_t>(j), head.rule.threshold);
        row[j] = keeps ? row[j] * head.rule.scale : 0.0f;
      }
    }
  }

  // d loss / d score = w (g - sum w g); g is replaced
  void softmax_gradient(int64_t r) {
    const float* weight = &weights_[r * columns_];
    float* gradient = &weight_gradient_[r * columns_];
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < columns_; ++j) sum += weight[j] * gradient[j];
#pragma omp simd
    for (int64_t j = 0; j < columns_; ++j) gradient[j] = weight[j] * (gradient[j] - sum);
  }

  void write(const AlignedVector<float>& from, int64_t rows, int64_t width, float factor, float* to,
             int64_t stride) const {
    for (int64_t r = 0; r < rows; ++r) {
      const float* row = &from[r * width_];
#pragma omp simd
      for (int64_t d = 0; d < width; ++d) to[r * stride + d] = row[d] * factor;
    }
  }

  int64_t length_ = 0, columns_ = 0, width_ = 0, head_width_ = 0;
  float scale_ = 1;
  AlignedVector<float> key_columns_, value_columns_, key_rows_, values_, queries_, gradients_;
  AlignedVector<float> weights_, dropped_, weight_gradient_, out_, key_gradient_, value_gradient_;
};

// Calls body(head, first token, first column) for every head of every sequence.
template <typename Body>
void for_each_head(const float* query_key_value, const int32_t* cumulative, AttentionShape shape,
                   AttentionDropout dropout, const Body& body) {
  const int64_t hidden = shape.heads * shape.width, stride = 3 * hidden;
#pragma omp parallel for collapse(2) schedule(dynamic)
  for (int64_t sequence = 0; sequence < shape.sequences; ++sequence) {
    for (int64_t h = 0; h < shape.heads; ++h) {
      const int64_t first = cumulative[sequence], column = h * shape.width;
      const float* query = query_key_value + first * stride + column;
      body(HeadView{.query = query,
                    .key = query + hidden,
                    .value = query + 2 * hidden,
                    .stride = stride,
                    .length = cumulative[sequence + 1] - first,
                    .width = shape.width,
                    .keys = dropout.keys ? dropout.keys + first : nullptr,
                    .head_key = mix_bits(static_cast<uint32_t>(h + 1)),
                    .rule = dropout.rule},
           first, column);
    }
  }
}

Workspace& workspace() {
  thread_local Workspace own;
  return own;
}

}  // namespace

void attention_forward(const float* query_key_value, const int32_t* cumulative, AttentionShape shape,
                       AttentionDropout dropout, float* output) {
  const int64_t hidden = shape.heads * shape.width;
  for_each_head(query_key_value, cumulative, shape, dropout,
                [&](const HeadView& head, int64_t first, int64_t column) {
                  workspace().forward(head, output + first * hidden + column, hidden);
                });
}

void attention_backward(const float* query_key_value, const int32_t* cumulative, AttentionShape shape,
                        AttentionDropout dropout, const float* output_gradient,
                        float* query_key_value_gradient) {
  const int64_t hidden = shape.heads * shape.width;
  for_each_head(query_key_value, cumulative, shape, dropout,
                [&](const HeadView& head, int64_t first, int64_t column) {
                  float* query = query_key_value_gradient + first * 3 * hidden + column;
                  workspace().backward(head, output_gradient + first * hidden + column, hidden, query,
                                       query + hidden, query + 2 * hidden);
                });
}

}  // namespace xlembed::kernels
