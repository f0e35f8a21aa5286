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
  DeviceVectors(int64_t dimensions, at::Device device, int64_t rows_per_block, bool narrow)
      : dimensions_(dimensions),
        device_(device),
        rows_per_block_((rows_per_block / kernels::cuda::narrow_tile_rows + 1) *
                        kernels::cuda::narrow_tile_rows) {
    if (narrow) narrow_.bounds = at::zeros({2}, options(at::kFloat));
  }

  void add(const float* vectors, int64_t rows) override;
  void remove(const int32_t* rows, int64_t count) override;
  std::vector<float> vectors(int64_t first, int64_t count) const override;
  void search(const float* queries, int64_t count, int64_t k, const kernels::Subset& subset, float* scores,
              int32_t* rows) const override;
  void ranks(const float* queries, int64_t count, const int32_t* relevant, const int32_t* offsets,
             int32_t* ranks) const override;

 private:
  at::TensorOptions options(at::ScalarType type) const { return at::TensorOptions(device_).dtype(type); }
  void reserve(int64_t rows);
  void append(const at::Tensor& vectors);
  at::Tensor rows(const at::Tensor& numbers) const;
  void search_block(const at::Tensor& queries, int64_t k, const at::Tensor& scores,
                    const at::Tensor& rows) const;
  kernels::Corpus corpus() const {
    return {addresses_.data(), rows_per_block_, rows_, dimensions_, kernels::Layout::panels};
  }

  int64_t dimensions_;
  at::Device device_;
  int64_t rows_per_block_;
  int64_t rows_ = 0;
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

// The addresses of some blocks as numbers.
at::Tensor addresses_of(const std::vector<at::Tensor>& blocks) {
  const at::Tensor result = at::empty({static_cast<int64_t>(blocks.size())}, at::kLong);
  for (size_t b = 0; b < blocks.size(); ++b) {
    result.mutable_data_ptr<int64_t>()[b] = reinterpret_cast<int64_t>(blocks[b].const_data_ptr());
  }
  return result;
}

void DeviceVectors::reserve(int64_t rows) {
  if (static_cast<int64_t>(blocks_.size()) * rows_per_block_ >= rows) return;
  while (static_cast<int64_t>(blocks_.size()) * rows_per_block_ < rows) {
    blocks_.push_back(at::zeros({rows_per_block_ / kernels::kPanelRows, dimensions_, kernels::kPanelRows},
                                options(at::kFloat)));
    addresses_.push_back(blocks_.back().const_data_ptr<float>());
    if (!narrow_.bounds.defined()) continue;
    narrow_.blocks.push_back(
        at::zeros({rows_per_block_, kernels::cuda::narrow_width(dimensions_)}, options(at::kBFloat16)));
  }
  if (!narrow_.bounds.defined()) return;
  narrow_.addresses = at::stack({addresses_of(narrow_.blocks), addresses_of(blocks_)}).to(device_);
}

void DeviceVectors::append(const at::Tensor& vectors) {
  const int64_t count = vectors.size(0);
  reserve(rows_ + count);
  const float* values = vectors.const_data_ptr<float>();
  kernels::cuda::write_vectors(values, rows_, count, corpus(), stream(device_));
  if (narrow_.bounds.defined() && count > 0) {
    kernels::cuda::write_narrow(values, rows_, count, dimensions_, rows_per_block_,
                                static_cast<kernels::bfloat16* const*>(narrow_.addresses[0].data_ptr()),
                                narrow_.bounds.mutable_data_ptr<float>(), stream(device_));
  }
  rows_ += count;
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
    DeviceVectors part(dimensions_, device_, subset.count, /*narrow=*/false);
    part.append(this->rows(to_device(subset.rows, {subset.count}, at::kInt, device_).to(at::kLong)));
    part.search(queries, count, k, {}, scores, rows);
    for (int64_t i = 0; i < count * k; ++i) rows[i] = rows[i] < 0 ? -1 : subset.rows[rows[i]];
    return;
  }
  for (int64_t begin = 0; begin < count; begin += kQueryBlock) {
    const int64_t some = std::min(kQueryBlock, count - begin);
    const at::Tensor q = to_device(queries + begin * dimensions_, {some, dimensions_}, at::kFloat, device_);
    const at::Tensor found_scores = at::empty({some, k}, options(at::kFloat));
    const at::Tensor found_rows = at::empty({some, k}, options(at::kInt));
    search_block(q, k, found_scores, found_rows);
    to_host(found_scores, scores + begin * k);
    to_host(found_rows, rows + begin * k);
  }
}

// queries (Q, D) -> scores, rows (Q, k), all on the device
void DeviceVectors::search_block(const at::Tensor& queries, int64_t k, const at::Tensor& scores,
                                 const at::Tensor& rows) const {
  const float* q = queries.const_data_ptr<float>();
  const int64_t count = queries.size(0);
  auto* found_scores = scores.mutable_data_ptr<float>();
  auto* found_rows = rows.mutable_data_ptr<int32_t>();
  if (!narrow_.addresses.defined()) {
    const at::Tensor workspace =
        at::empty({kernels::cuda::top_k_workspace_bytes(count, dimensions_)}, options(at::kByte));
    kernels::cuda::top_k(q, count, corpus(), k, workspace.data_ptr(), found_scores, found_rows,
                         stream(device_));
    return;
  }
  const at::Tensor workspace =
      at::empty({kernels::cuda::top_k_narrow_workspace_bytes(count, dimensions_)}, options(at::kByte));
  const kernels::cuda::NarrowCorpus narrow{
      static_cast<const kernels::bfloat16* const*>(narrow_.addresses[0].data_ptr()),
      static_cast<const float* const*>(narrow_.addresses[1].data_ptr()),
      narrow_.bounds.const_data_ptr<float>()};
  kernels::cuda::top_k_narrow(q, count, corpus(), narrow, k, workspace.data_ptr(), found_scores, found_rows,
                              stream(device_));
}

void DeviceVectors::ranks(const float* queries, int64_t count, const int32_t* relevant,
                          const int32_t* offsets, int32_t* ranks) const {
  const c10::cuda::CUDAGuard guard(device_);
  const int64_t total = offsets[count];
  const at::Tensor rows = to_device(relevant, {total}, at::kInt, device_);
  const at::Tensor bounds = to_device(offsets, {count + 1}, at::kInt, device_);
  const at::Tensor scores = at::empty({total}, options(at::kFloat));
  const at::Tensor found = at::empty({total}, options(at::kInt));
  const at::Tensor workspace = at::empty(
      {kernels::cuda::top_k_workspace_bytes(std::min(kQueryBlock, count), dimensions_)}, options(at::kByte));
  for (int64_t begin = 0; begin < count; begin += kQueryBlock) {
    const int64_t some = std::min(kQueryBlock, count - begin);
    const at::Tensor q = to_device(queries + begin * dimensions_, {some, dimensions_}, at::kFloat, device_);
    kernels::cuda::ranks(q.const_data_ptr<float>(), some, corpus(), rows.const_data_ptr<int32_t>(),
                         bounds.const_data_ptr<int32_t>() + begin, workspace.data_ptr(),
                         scores.mutable_data_ptr<float>(), found.mutable_data_ptr<int32_t>(),
                         stream(device_));
  }
  to_host(found, ranks);
}

}  // namespace

std::unique_ptr<VectorStore> device_vectors(int64_t dimensions, at::Device device, bool narrow) {
  return std::make_unique<DeviceVectors>(dimensions, device, kBlockBytes / (dimensions * 4), narrow);
}

}  // namespace xlembed

#else

namespace xlembed {

std::unique_ptr<VectorStore> device_vectors(int64_t, at::Device device, bool) {
  throw CodedError("DEVICE_UNAVAILABLE", device.str() + ": this build searches on the CPU only");
}

}  // namespace xlembed

#endif
