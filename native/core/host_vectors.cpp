#include <algorithm>

#include "core/blocks.h"
#include "core/search_threads.h"
#include "core/vector_store.h"

namespace xlembed {
namespace {

// In float32, with or without a narrow copy that a search reads first, or in narrow numbers alone.
class HostVectors : public VectorStore {
 public:
  HostVectors(int64_t dimensions, std::optional<kernels::Narrow> narrow, bool keeps_float32)
      : dimensions_(dimensions),
        rows_per_block_(Blocks<float>::rows_per_block(dimensions * sizeof(float))),
        // A narrow copy is read in order; the float32 vectors beside it then only a row here and there.
        layout_(!keeps_float32 ? kernels::Layout::narrow
                : narrow       ? kernels::Layout::rows
                               : kernels::Layout::panels) {
    if (narrow) narrow_ = kernels::NarrowCorpus{*narrow, nullptr, 0, 0};
  }

  void add(const float* vectors, int64_t rows) override {
    if (keeps_float32()) {
      vectors_.reserve(rows_ + rows, rows_per_block_, dimensions_);
      kernels::write_vectors(vectors, rows_, rows, corpus(), all_threads());
    }
    if (narrow_) {
      narrow_words_.reserve(rows_ + rows, rows_per_block_, words());
      narrow_->blocks = narrow_words_.addresses();
      kernels::write_narrow(vectors, rows_, rows, corpus(), all_threads(), *narrow_);
    }
    rows_ += rows;
  }

  void remove(const int32_t* rows, int64_t count) override {
    rows_ = close_gaps(rows, count, rows_, [this](int64_t from, int64_t to) {
      if (keeps_float32()) {
        copy(from, const_cast<float*>(kernels::address(corpus(), to)), kernels::stride(corpus()));
      }
      if (narrow_) {
        copy_in_panels(kernels::address(corpus(), *narrow_, from), kernels::address(corpus(), *narrow_, to),
                       words());
      }
    });
  }

  std::vector<float> vectors(int64_t first, int64_t count) const override {
    std::vector<float> result(count * dimensions_);
    for (int64_t row = 0; row < count; ++row) {
      float* vector = &result[row * dimensions_];
      if (keeps_float32()) {
        copy(first + row, vector, 1);
      } else {
        kernels::read_row(corpus(), first + row, vector);
      }
    }
    return result;
  }

  void search(const float* queries, int64_t count, int64_t k, const kernels::Subset& subset, float* scores,
              int32_t* rows) const override {
    if (narrow_ && subset.all()) {
      const int threads = search_threads(rows_ * words(), count);
      kernels::top_k_narrow(queries, count, corpus(), *narrow_, k, threads, scores, rows);
    } else {
      const int threads = search_threads((subset.all() ? rows_ : subset.count) * dimensions_, count);
      kernels::top_k(queries, count, corpus(), subset, k, threads, scores, rows);
    }
  }

  void ranks(const float* queries, int64_t count, const int32_t* relevant, const int32_t* offsets,
             int32_t* ranks) const override {
    kernels::ranks(queries, count, corpus(), relevant, offsets, all_threads(), ranks);
  }

 private:
  bool keeps_float32() const { return layout_ != kernels::Layout::narrow; }
  int64_t words() const { return narrow_ ? kernels::narrow_words(narrow_->type, dimensions_) : 0; }

  kernels::Corpus corpus() const {
    return {vectors_.addresses(), rows_per_block_, rows_,
            dimensions_,          layout_,         narrow_ ? &*narrow_ : nullptr};
  }

  void copy(int64_t row, float* to, int64_t to_stride) const {
    const float* from = kernels::address(corpus(), row);
    const int64_t from_stride = kernels::stride(corpus());
    for (int64_t d = 0; d < dimensions_; ++d) to[d * to_stride] = from[d * from_stride];
  }

  int64_t dimensions_;
  int64_t rows_per_block_;
  kernels::Layout layout_;
  int64_t rows_ = 0;
  Blocks<float> vectors_;
  Blocks<uint32_t> narrow_words_;
  std::optional<kernels::NarrowCorpus> narrow_;
};

}  // namespace

std::unique_ptr<VectorStore> host_vectors(int64_t dimensions, std::optional<kernels::Narrow> narrow) {
  return std::make_unique<HostVectors>(dimensions, narrow, /*keeps_float32=*/true);
}

std::unique_ptr<VectorStore> narrow_host_vectors(int64_t dimensions, kernels::Narrow narrow) {
  return std::make_unique<HostVectors>(dimensions, narrow, /*keeps_float32=*/false);
}

}  // namespace xlembed
