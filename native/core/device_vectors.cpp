#include "core/error.h"
#include "core/vector_store.h"

#ifdef XLEMBED_WITH_CUDA

#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <string>

namespace xlembed {
namespace {

constexpr int64_t kBlockBytes = int64_t{256} << 20;
constexpr int64_t kQueryBlock = 1024;  // queries whose lists are held at a time: 64 KB each

template <typename T>
at::Tensor to_device(const T* values, at::IntArrayRef shape, at::ScalarType type, at::Device device) {
  return at::from_blob(const_cast<T*>(values), shape, type).to(device);
}

template <typename T>
void to_host(const at::Tensor& tensor, T* values) {
  at::from_blob(values, tensor.sizes(), tensor.scalar_type()).copy_(tensor);
}

cudaStream_t stream(at::Device device) { return c10::cuda::getCurrentCUDAStream(device.index()).stream(); }

class DeviceVectors : public VectorStore {
 public:
  DeviceVectors(int64_t dimensions, at::Device device, int64_t rows_per_block)
      : dimensions_(dimensions),
        device_(device),
        rows_per_block_((rows_per_block / kernels::kPanelRows + 1) * kernels::kPanelRows) {}

  void add(const float* vectors, int64_t rows) override;
  void remove(const int32_t* rows, int64_t count) override;
  std::vector<float> vectors(int64_t first, int64_t count) const override;
  void search(const float* queries, int64_t count, int64_t k, const kernels::Subset& subset, float* scores,
              int32_t* rows) const override;
  void ranks(const float* queries, int64_t count, const int32_t* relevant, const int32_t* offsets,
             int32_t* ranks) const override;

 private:
  void append(const at::Tensor& vectors);
  at::Tensor rows(const at::Tensor& numbers) const;
  kernels::Corpus corpus() const {
    return {addresses_.data(), rows_per_block_, rows_, dimensions_, kernels::Layout::panels};
  }

  int64_t dimensions_;
  at::Device device_;
  int64_t rows_per_block_;
  int64_t rows_ = 0;
  std::vector<at::Tensor> blocks_;  // each (rows_per_block_ / 48, D, 48)
  std::vector<const float*> addresses_;
};

void DeviceVectors::append(const at::Tensor& vectors) {
  const int64_t end = rows_ + vectors.size(0);
  while (static_cast<int64_t>(blocks_.size()) * rows_per_block_ < end) {
    blocks_.push_back(at::zeros({rows_per_block_ / kernels::kPanelRows, dimensions_, kernels::kPanelRows},
                                at::TensorOptions(device_).dtype(at::kFloat)));
    addresses_.push_back(blocks_.back().const_data_ptr<float>());
  }
  kernels::cuda::write_vectors(vectors.const_data_ptr<float>(), rows_, vectors.size(0), corpus(),
                               stream(device_));
  rows_ = end;
}

void DeviceVectors::add(const float* vectors, int64_t rows) {
  const c10::cuda::CUDAGuard guard(device_);
  append(to_device(vectors, {rows, dimensions_}, at::kFloat, device_));
}

// numbers (n) int64 on the device, ascending -> (n, D)
at::Tensor DeviceVectors::rows(const at::Tensor& numbers) const {
  const at::Tensor block = numbers.div(rows_per_block_, "floor"), within = numbers.remainder(rows_per_block_);
  std::vector<at::Tensor> found;
  for (size_t b = 0; b < blocks_.size(); ++b) {
    const at::Tensor here = within.masked_select(block.eq(static_cast<int64_t>(b)));
    const at::Tensor panel = here.div(kernels::kPanelRows, "floor"),
                     lane = here.remainder(kernels::kPanelRows);
    found.push_back(blocks_[b].transpose(1, 2).index({panel, lane}));
  }
  if (found.empty()) return at::empty({0, dimensions_}, at::TensorOptions(device_).dtype(at::kFloat));
  return at::cat(found).contiguous();
}

void DeviceVectors::remove(const int32_t* rows, int64_t count) {
  if (count == 0) return;
  const c10::cuda::CUDAGuard guard(device_);
  const at::Tensor gone = to_device(rows, {count}, at::kInt, device_).to(at::kLong);
  const at::Tensor keep = at::ones({rows_}, at::TensorOptions(device_).dtype(at::kBool));
  keep.index_fill_(0, gone, false);
  const int64_t first = rows[0];
  const at::Tensor later = keep.slice(0, first).nonzero().flatten().add(first);
  const at::Tensor moved = this->rows(later);
  rows_ = first;
  append(moved);
}

std::vector<float> DeviceVectors::vectors(int64_t first, int64_t count) const {
  const c10::cuda::CUDAGuard guard(device_);
  std::vector<float> result(count * dimensions_);
  to_host(rows(at::arange(first, first + count, at::TensorOptions(device_).dtype(at::kLong))), result.data());
  return result;
}

void DeviceVectors::search(const float* queries, int64_t count, int64_t k, const kernels::Subset& subset,
                           float* scores, int32_t* rows) const {
  if (k > kernels::cuda::top_k_list / 4) {
    throw CodedError("INVALID_ARGUMENT", "expected k of at most " +
                                             std::to_string(kernels::cuda::top_k_list / 4) + " on " +
                                             device_.str() + ", received " + std::to_string(k));
  }
  const c10::cuda::CUDAGuard guard(device_);
  if (!subset.all()) {
    DeviceVectors part(dimensions_, device_, subset.count);
    part.append(this->rows(to_device(subset.rows, {subset.count}, at::kInt, device_).to(at::kLong)));
    part.search(queries, count, k, {}, scores, rows);
    for (int64_t i = 0; i < count * k; ++i) rows[i] = rows[i] < 0 ? -1 : subset.rows[rows[i]];
    return;
  }
  const auto options = at::TensorOptions(device_);
  for (int64_t begin = 0; begin < count; begin += kQueryBlock) {
    const int64_t some = std::min(kQueryBlock, count - begin);
    const at::Tensor q = to_device(queries + begin * dimensions_, {some, dimensions_}, at::kFloat, device_);
    const at::Tensor workspace =
        at::empty({kernels::cuda::top_k_workspace_bytes(some, dimensions_)}, options.dtype(at::kByte));
    const at::Tensor found_scores = at::empty({some, k}, options.dtype(at::kFloat));
    const at::Tensor found_rows = at::empty({some, k}, options.dtype(at::kInt));
    kernels::cuda::top_k(q.const_data_ptr<float>(), some, corpus(), k, workspace.data_ptr(),
                         found_scores.mutable_data_ptr<float>(), found_rows.mutable_data_ptr<int32_t>(),
                         stream(device_));
    to_host(found_scores, scores + begin * k);
    to_host(found_rows, rows + begin * k);
  }
}

void DeviceVectors::ranks(const float* queries, int64_t count, const int32_t* relevant,
                          const int32_t* offsets, int32_t* ranks) const {
  const c10::cuda::CUDAGuard guard(device_);
  const int64_t total = offsets[count];
  const auto options = at::TensorOptions(device_);
  const at::Tensor q = to_device(queries, {count, dimensions_}, at::kFloat, device_);
  const at::Tensor rows = to_device(relevant, {total}, at::kInt, device_);
  const at::Tensor bounds = to_device(offsets, {count + 1}, at::kInt, device_);
  const at::Tensor workspace =
      at::empty({kernels::cuda::top_k_workspace_bytes(count, dimensions_)}, options.dtype(at::kByte));
  const at::Tensor scores = at::empty({total}, options.dtype(at::kFloat));
  const at::Tensor found = at::empty({total}, options.dtype(at::kInt));
  kernels::cuda::ranks(q.const_data_ptr<float>(), count, corpus(), rows.const_data_ptr<int32_t>(),
                       bounds.const_data_ptr<int32_t>(), workspace.data_ptr(),
                       scores.mutable_data_ptr<float>(), found.mutable_data_ptr<int32_t>(), stream(device_));
  to_host(found, ranks);
}

}  // namespace

std::unique_ptr<VectorStore> device_vectors(int64_t dimensions, at::Device device) {
  return std::make_unique<DeviceVectors>(dimensions, device, kBlockBytes / (dimensions * 4));
}

}  // namespace xlembed

#else

namespace xlembed {

std::unique_ptr<VectorStore> device_vectors(int64_t, at::Device device) {
  throw CodedError("DEVICE_UNAVAILABLE", device.str() + ": this build searches on the CPU only");
}

}  // namespace xlembed

#endif
