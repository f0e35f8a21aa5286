// The signs of vectors, on a GPU.
#include "core/device_store.h"

#ifdef XLEMBED_WITH_CUDA

#include "kernels/quantize.h"
#include "kernels/top_k_binary.h"

namespace xlembed {
namespace {

class BinaryDeviceVectors : public DeviceStore {
 public:
  BinaryDeviceVectors(int64_t dimensions, at::Device device, int64_t rows_per_block)
      : DeviceStore(dimensions, device, rows_per_block) {}

 protected:
  void append(const at::Tensor& vectors) override { append_held(packed(vectors)); }

  // (n, ceil(D / 8)) bytes
  at::Tensor held(const at::Tensor& numbers) const override {
    return gather(blocks_, numbers, kernels::binary_words(dimensions_), at::kInt)
        .view(at::kByte)
        .narrow(1, 0, kernels::binary_bytes(dimensions_))
        .contiguous();
  }

  void append_held(const at::Tensor& held) override {
    const int64_t count = held.size(0);
    while (static_cast<int64_t>(blocks_.size()) * rows_per_block_ < rows_ + count) {
      blocks_.push_back(at::zeros(
          {rows_per_block_ / kernels::kPanelRows, kernels::binary_words(dimensions_), kernels::kPanelRows},
          options(at::kInt)));
      addresses_.push_back(static_cast<uint32_t*>(blocks_.back().data_ptr()));
    }
    kernels::cuda::write_binary(held.const_data_ptr<uint8_t>(), rows_, count, corpus(), stream());
    rows_ += count;
  }

  // Signs: +1 and -1.
  at::Tensor widened(const at::Tensor& held) const override {
    const at::Tensor places = at::tensor({128, 64, 32, 16, 8, 4, 2, 1}, at::kByte).to(device_);
    const at::Tensor bits =
        held.unsqueeze(2).bitwise_and(places).ne(0).view({held.size(0), held.size(1) * 8});
    return bits.narrow(1, 0, dimensions_).to(at::kFloat).mul(2).sub(1).contiguous();
  }

  std::unique_ptr<DeviceStore> part(int64_t rows) const override {
    return std::make_unique<BinaryDeviceVectors>(dimensions_, device_, rows);
  }

  void search_block(const at::Tensor& queries, int64_t k, const at::Tensor& scores,
                    const at::Tensor& rows) const override {
    const at::Tensor q = packed(queries);
    const at::Tensor workspace = at::empty({kernels::cuda::top_k_list_bytes(q.size(0))}, options(at::kByte));
    kernels::cuda::top_k_binary(q.const_data_ptr<uint8_t>(), q.size(0), corpus(), k, workspace.data_ptr(),
                                scores.mutable_data_ptr<float>(), rows.mutable_data_ptr<int32_t>(), stream());
  }

  void rank_block(const at::Tensor& queries, const at::Tensor& relevant, const int32_t* offsets,
                  const at::Tensor& scores, const at::Tensor& ranks) const override {
    const at::Tensor q = packed(queries);
    kernels::cuda::ranks_binary(q.const_data_ptr<uint8_t>(), q.size(0), corpus(),
                                relevant.const_data_ptr<int32_t>(), offsets, scores.mutable_data_ptr<float>(),
                                ranks.mutable_data_ptr<int32_t>(), stream());
  }

 private:
  // vectors (n, D) -> their sign bits (n, ceil(D / 8))
  at::Tensor packed(const at::Tensor& vectors) const {
    const int64_t count = vectors.size(0);
    const at::Tensor bits = at::empty({count, kernels::binary_bytes(dimensions_)}, options(at::kByte));
    kernels::cuda::quantize_binary(vectors.const_data_ptr<float>(), count, dimensions_,
                                   bits.mutable_data_ptr<uint8_t>(), stream());
    return bits;
  }

  kernels::BinaryCorpus corpus() const { return {addresses_.data(), rows_per_block_, rows_, dimensions_}; }

  std::vector<at::Tensor> blocks_;  // each (rows_per_block_ / 48, W, 48) int32
  std::vector<uint32_t*> addresses_;
};

}  // namespace

std::unique_ptr<VectorStore> binary_device_vectors(int64_t dimensions, at::Device device,
                                                   int64_t block_bytes) {
  const int64_t rows = block_bytes / (kernels::binary_words(dimensions) * 4);
  return std::make_unique<BinaryDeviceVectors>(dimensions, device, rows);
}

}  // namespace xlembed

#endif
