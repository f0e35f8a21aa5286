// Vectors on a GPU in narrow numbers alone.
#include "core/device_store.h"

#ifdef XLEMBED_WITH_CUDA

namespace xlembed {
namespace {

class NarrowDeviceVectors : public DeviceStore {
 public:
  NarrowDeviceVectors(int64_t dimensions, at::Device device, kernels::Narrow type, int64_t rows_per_block)
      : DeviceStore(dimensions, device, rows_per_block),
        type_(type),
        row_bytes_(kernels::cuda::stored_row_bytes(type, dimensions)),
        bounds_(at::zeros({2}, options(at::kFloat))) {}

 protected:
  void append(const at::Tensor& vectors) override {
    const int64_t count = vectors.size(0);
    reserve(rows_ + count);
    if (count > 0) {
      kernels::cuda::write_stored(vectors.const_data_ptr<float>(), rows_, count, corpus(), stream());
    }
    rows_ += count;
  }

  // (n, row_bytes)
  at::Tensor held(const at::Tensor& numbers) const override {
    return gather(blocks_, numbers, row_bytes_, at::kByte);
  }

  void append_held(const at::Tensor& held) override {
    const int64_t count = held.size(0);
    reserve(rows_ + count);
    for (int64_t done = 0; done < count;) {
      const int64_t row = rows_ + done, at = row % rows_per_block_;
      const int64_t some = std::min(count - done, rows_per_block_ - at);
      blocks_[row / rows_per_block_].narrow(0, at, some).copy_(held.narrow(0, done, some));
      done += some;
    }
    rows_ += count;
  }

  at::Tensor widened(const at::Tensor& held) const override {
    if (type_ == kernels::Narrow::bfloat16) {
      return held.view(at::kBFloat16).narrow(1, 0, dimensions_).to(at::kFloat).contiguous();
    }
    const at::Tensor integers = held.narrow(1, 0, dimensions_).view(at::kChar).to(at::kFloat);
    const at::Tensor scales = held.narrow(1, row_bytes_ - 16, 4).contiguous().view(at::kFloat);
    return integers.mul(scales).contiguous();
  }

  std::unique_ptr<DeviceStore> part(int64_t rows) const override {
    auto some = std::make_unique<NarrowDeviceVectors>(dimensions_, device_, type_, rows);
    some->bounds_ = bounds_;
    return some;
  }

  void search_block(const at::Tensor& queries, int64_t k, const at::Tensor& scores,
                    const at::Tensor& rows) const override {
    const at::Tensor workspace = this->workspace(queries.size(0));
    kernels::cuda::top_k_stored(queries.const_data_ptr<float>(), queries.size(0), corpus(), k,
                                workspace.data_ptr(), scores.mutable_data_ptr<float>(),
                                rows.mutable_data_ptr<int32_t>(), stream());
  }

  void rank_block(const at::Tensor& queries, const at::Tensor& relevant, const int32_t* offsets,
                  const at::Tensor& scores, const at::Tensor& ranks) const override {
    const at::Tensor workspace = this->workspace(queries.size(0));
    kernels::cuda::ranks_stored(queries.const_data_ptr<float>(), queries.size(0), corpus(),
                                relevant.const_data_ptr<int32_t>(), offsets, workspace.data_ptr(),
                                scores.mutable_data_ptr<float>(), ranks.mutable_data_ptr<int32_t>(),
                                stream());
  }

 private:
  void reserve(int64_t rows) {
    while (static_cast<int64_t>(blocks_.size()) * rows_per_block_ < rows) {
      blocks_.push_back(at::zeros({rows_per_block_, row_bytes_}, options(at::kByte)));
    }
    if (!lists_all(addresses_, blocks_)) addresses_ = addresses_of(blocks_).to(device_);
  }

  at::Tensor workspace(int64_t queries) const {
    return at::empty({kernels::cuda::top_k_stored_workspace_bytes(queries, dimensions_)}, options(at::kByte));
  }

  kernels::cuda::StoredCorpus corpus() const {
    return {
        type_,           addresses_.defined() ? static_cast<char* const*>(addresses_.data_ptr()) : nullptr,
        rows_per_block_, rows_,
        dimensions_,     bounds_.mutable_data_ptr<float>()};
  }

  kernels::Narrow type_;
  int64_t row_bytes_;
  at::Tensor bounds_;               // (2)
  std::vector<at::Tensor> blocks_;  // each (rows_per_block_, row_bytes_) bytes
  at::Tensor addresses_;            // of the blocks, on the device
};

}  // namespace

std::unique_ptr<VectorStore> narrow_device_vectors(int64_t dimensions, at::Device device,
                                                   kernels::Narrow narrow, int64_t block_bytes) {
  const int64_t rows = block_bytes / kernels::cuda::stored_row_bytes(narrow, dimensions);
  return std::make_unique<NarrowDeviceVectors>(dimensions, device, narrow, rows);
}

}  // namespace xlembed

#endif
