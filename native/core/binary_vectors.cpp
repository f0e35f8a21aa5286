#include <algorithm>

#include "core/blocks.h"
#include "core/search_threads.h"
#include "core/vector_store.h"
#include "kernels/quantize.h"
#include "kernels/top_k_binary.h"

namespace xlembed {
namespace {

class BinaryVectors : public VectorStore {
 public:
  explicit BinaryVectors(int64_t dimensions)
      : dimensions_(dimensions),
        rows_per_block_(Blocks<uint32_t>::rows_per_block(kernels::binary_words(dimensions) * 4)) {}

  void add(const float* vectors, int64_t rows) override {
    blocks_.reserve(rows_ + rows, rows_per_block_, kernels::binary_words(dimensions_));
    kernels::write_binary(packed(vectors, rows).data(), rows_, rows, corpus(), all_threads());
    rows_ += rows;
  }

  void remove(const int32_t* rows, int64_t count) override {
    rows_ = close_gaps(rows, count, rows_, [this](int64_t from, int64_t to) {
      copy_in_panels(kernels::address(corpus(), from), kernels::address(corpus(), to),
                     kernels::binary_words(dimensions_));
    });
  }

  // Signs: +1 and -1.
  std::vector<float> vectors(int64_t first, int64_t count) const override {
    std::vector<float> result(count * dimensions_);
    for (int64_t row = 0; row < count; ++row) {
      const uint32_t* words = kernels::address(corpus(), first + row);
      for (int64_t d = 0; d < dimensions_; ++d) {
        const uint32_t byte = words[d / 32 * kernels::kPanelRows] >> (d / 8 % 4 * 8);
        result[row * dimensions_ + d] = (byte >> (7 - d % 8) & 1) != 0 ? 1.f : -1.f;
      }
    }
    return result;
  }

  void search(const float* queries, int64_t count, int64_t k, const kernels::Subset& subset, float* scores,
              int32_t* rows) const override {
    const int64_t words = (subset.all() ? rows_ : subset.count) * kernels::binary_words(dimensions_);
    kernels::top_k_binary(packed(queries, count).data(), count, corpus(), subset, k,
                          search_threads(words, count), scores, rows);
  }

  void ranks(const float* queries, int64_t count, const int32_t* relevant, const int32_t* offsets,
             int32_t* ranks) const override {
    kernels::ranks_binary(packed(queries, count).data(), count, corpus(), relevant, offsets, all_threads(),
                          ranks);
  }

 private:
  kernels::BinaryCorpus corpus() const { return {blocks_.addresses(), rows_per_block_, rows_, dimensions_}; }

  std::vector<uint8_t> packed(const float* vectors, int64_t count) const {
    std::vector<uint8_t> bits(count * kernels::binary_bytes(dimensions_));
    kernels::quantize_binary(vectors, count, dimensions_, bits.data());
    return bits;
  }

  int64_t dimensions_;
  int64_t rows_per_block_;
  int64_t rows_ = 0;
  Blocks<uint32_t> blocks_;
};

}  // namespace

std::unique_ptr<VectorStore> binary_vectors(int64_t dimensions) {
  return std::make_unique<BinaryVectors>(dimensions);
}

}  // namespace xlembed
