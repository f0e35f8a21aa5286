#include <algorithm>

#include "core/blocks.h"
#include "core/vector_store.h"

namespace xlembed {
namespace {

int threads() { return std::max(1, at::get_num_threads()); }

class HostVectors : public VectorStore {
 public:
  HostVectors(int64_t dimensions, std::optional<kernels::Narrow> narrow)
      : dimensions_(dimensions), rows_per_block_(Blocks<float>::rows_per_block(dimensions * sizeof(float))) {
    if (narrow) narrow_ = kernels::NarrowCorpus{*narrow, nullptr, 0, 0};
  }

  void add(const float* vectors, int64_t rows) override {
    vectors_.reserve(rows_ + rows, rows_per_block_, dimensions_);
    if (narrow_) {
      narrow_words_.reserve(rows_ + rows, rows_per_block_, kernels::narrow_words(narrow_->type, dimensions_));
    }
    kernels::write_vectors(vectors, rows_, rows, corpus(), threads());
    write_narrow(rows_, rows);
    rows_ += rows;
  }

  void remove(const int32_t* rows, int64_t count) override {
    int64_t kept = rows[0], removed = 0;
    for (int64_t row = kept; row < rows_; ++row) {
      if (removed < count && rows[removed] == row) {
        ++removed;
      } else {
        copy(row, const_cast<float*>(kernels::address(corpus(), kept++)), kernels::stride(corpus()));
      }
    }
    write_narrow(rows[0], kept - rows[0]);
    rows_ = kept;
  }

  std::vector<float> vectors(int64_t first, int64_t count) const override {
    std::vector<float> result(count * dimensions_);
    for (int64_t row = 0; row < count; ++row) copy(first + row, &result[row * dimensions_], 1);
    return result;
  }

  void search(const float* queries, int64_t count, int64_t k, const kernels::Subset& subset, float* scores,
              int32_t* rows) const override {
    if (narrow_ && subset.all()) {
      kernels::top_k_narrow(queries, count, corpus(), *narrow_, k, threads(), scores, rows);
    } else {
      kernels::top_k(queries, count, corpus(), subset, k, threads(), scores, rows);
    }
  }

  void ranks(const float* queries, int64_t count, const int32_t* relevant, const int32_t* offsets,
             int32_t* ranks) const override {
    kernels::ranks(queries, count, corpus(), relevant, offsets, threads(), ranks);
  }

 private:
  // A narrow copy is read in order; the float32 vectors beside it then only a row here and there.
  kernels::Corpus corpus() const {
    return {vectors_.addresses(), rows_per_block_, rows_, dimensions_,
            narrow_ ? kernels::Layout::rows : kernels::Layout::panels};
  }

  void copy(int64_t row, float* to, int64_t to_stride) const {
    const float* from = kernels::address(corpus(), row);
    const int64_t from_stride = kernels::stride(corpus());
    for (int64_t d = 0; d < dimensions_; ++d) to[d * to_stride] = from[d * from_stride];
  }

  void write_narrow(int64_t first, int64_t count) {
    if (!narrow_) return;
    narrow_->blocks = narrow_words_.addresses();
    kernels::write_narrow(corpus(), first, count, threads(), *narrow_);
  }

  int64_t dimensions_;
  int64_t rows_per_block_;
  int64_t rows_ = 0;
  Blocks<float> vectors_;
  Blocks<uint32_t> narrow_words_;
  std::optional<kernels::NarrowCorpus> narrow_;
};

}  // namespace

std::unique_ptr<VectorStore> host_vectors(int64_t dimensions, std::optional<kernels::Narrow> narrow) {
  return std::make_unique<HostVectors>(dimensions, narrow);
}

}  // namespace xlembed
