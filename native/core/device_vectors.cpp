#include "core/device_store.h"
#include "core/error.h"
#include "core/vector_store.h"

#ifdef XLEMBED_WITH_CUDA

namespace xlembed {
namespace {

// In float32 panels, with or without a bfloat16 copy that a search reads first.
class DeviceVectors : public DeviceStore {
 public:
  DeviceVectors(int64_t dimensions, at::Device device, int64_t rows_per_block, bool narrow)
      : DeviceStore(dimensions, device, rows_per_block) {
    if (narrow) narrow_.bounds = at::zeros({2}, options(at::kFloat));
  }

 protected:
  void append(const at::Tensor& vectors) override;
  at::Tensor held(const at::Tensor& numbers) const override {
    return gather(blocks_, numbers, dimensions_, at::kFloat);
  }
  void append_held(const at::Tensor& held) override { append(held); }
  at::Tensor widened(const at::Tensor& held) const override { return held; }
  std::unique_ptr<DeviceStore> part(int64_t rows) const override {
    return std::make_unique<DeviceVectors>(dimensions_, device_, rows, /*narrow=*/false);
  }
  void search_block(const at::Tensor& queries, int64_t k, const at::Tensor& scores,
                    const at::Tensor& rows) const override;
  void rank_block(const at::Tensor& queries, const at::Tensor& relevant, const int32_t* offsets,
                  const at::Tensor& scores, const at::Tensor& ranks) const override;

 private:
  void reserve(int64_t rows);
  kernels::Corpus corpus() const {
    return {addresses_.data(), rows_per_block_, rows_, dimensions_, kernels::Layout::panels};
  }

  std::vector<at::Tensor> blocks_;  // each (rows_per_block_ / 48, D, 48)
  std::vector<const float*> addresses_;

  // Of an index that reads a bfloat16 copy first; `bounds` is undefined otherwise.
  struct Narrow {
    at::Tensor bounds;               // (2)
    std::vector<at::Tensor> blocks;  // each (rows_per_block_, narrow_width(D))
    at::Tensor addresses;            // (2, blocks): of `blocks` and of blocks_, on the device
  };
  Narrow narrow_;
};

void DeviceVectors::reserve(int64_t rows) {
  while (static_cast<int64_t>(blocks_.size()) * rows_per_block_ < rows) {
    // Both before either is kept: there may be memory for one.
    const at::Tensor block = at::zeros(
        {rows_per_block_ / kernels::kPanelRows, dimensions_, kernels::kPanelRows}, options(at::kFloat));
    if (narrow_.bounds.defined()) {
      narrow_.blocks.push_back(
          at::zeros({rows_per_block_, kernels::cuda::narrow_width(dimensions_)}, options(at::kBFloat16)));
    }
    blocks_.push_back(block);
    addresses_.push_back(block.const_data_ptr<float>());
  }
  if (!narrow_.bounds.defined() || lists_all(narrow_.addresses, blocks_)) return;
  narrow_.addresses = at::stack({addresses_of(narrow_.blocks), addresses_of(blocks_)}).to(device_);
}

void DeviceVectors::append(const at::Tensor& vectors) {
  const int64_t count = vectors.size(0);
  reserve(rows_ + count);
  const float* values = vectors.const_data_ptr<float>();
  kernels::cuda::write_vectors(values, rows_, count, corpus(), stream());
  if (narrow_.bounds.defined() && count > 0) {
    kernels::cuda::write_narrow(values, rows_, count, dimensions_, rows_per_block_,
                                static_cast<kernels::bfloat16* const*>(narrow_.addresses[0].data_ptr()),
                                narrow_.bounds.mutable_data_ptr<float>(), stream());
  }
  rows_ += count;
}

void DeviceVectors::search_block(const at::Tensor& queries, int64_t k, const at::Tensor& scores,
                                 const at::Tensor& rows) const {
  const float* q = queries.const_data_ptr<float>();
  const int64_t count = queries.size(0);
  auto* found_scores = scores.mutable_data_ptr<float>();
  auto* found_rows = rows.mutable_data_ptr<int32_t>();
  if (!narrow_.addresses.defined()) {
    const at::Tensor workspace =
        at::empty({kernels::cuda::top_k_workspace_bytes(count, dimensions_)}, options(at::kByte));
    kernels::cuda::top_k(q, count, corpus(), k, workspace.data_ptr(), found_scores, found_rows, stream());
    return;
  }
  const at::Tensor workspace =
      at::empty({kernels::cuda::top_k_narrow_workspace_bytes(count, dimensions_)}, options(at::kByte));
  const kernels::cuda::NarrowCorpus narrow{
      static_cast<const kernels::bfloat16* const*>(narrow_.addresses[0].data_ptr()),
      static_cast<const float* const*>(narrow_.addresses[1].data_ptr()),
      narrow_.bounds.const_data_ptr<float>()};
  kernels::cuda::top_k_narrow(q, count, corpus(), narrow, k, workspace.data_ptr(), found_scores, found_rows,
                              stream());
}

void DeviceVectors::rank_block(const at::Tensor& queries, const at::Tensor& relevant, const int32_t* offsets,
                               const at::Tensor& scores, const at::Tensor& ranks) const {
  const int64_t count = queries.size(0);
  const at::Tensor workspace =
      at::empty({kernels::cuda::top_k_workspace_bytes(count, dimensions_)}, options(at::kByte));
  kernels::cuda::ranks(queries.const_data_ptr<float>(), count, corpus(), relevant.const_data_ptr<int32_t>(),
                       offsets, workspace.data_ptr(), scores.mutable_data_ptr<float>(),
                       ranks.mutable_data_ptr<int32_t>(), stream());
}

}  // namespace

std::unique_ptr<VectorStore> device_vectors(int64_t dimensions, at::Device device, bool narrow,
                                            int64_t block_bytes) {
  return std::make_unique<DeviceVectors>(dimensions, device, block_bytes / (dimensions * 4), narrow);
}

}  // namespace xlembed

#else

namespace xlembed {

std::unique_ptr<VectorStore> device_vectors(int64_t, at::Device device, bool, int64_t) {
  throw CodedError("DEVICE_UNAVAILABLE", device.str() + ": this build searches on the CPU only");
}
std::unique_ptr<VectorStore> narrow_device_vectors(int64_t dimensions, at::Device device, kernels::Narrow,
                                                   int64_t) {
  return device_vectors(dimensions, device, false);
}
std::unique_ptr<VectorStore> binary_device_vectors(int64_t dimensions, at::Device device, int64_t) {
  return device_vectors(dimensions, device, false);
}

}  // namespace xlembed

#endif
