// What the stores on a GPU share: vectors go there and come back, rows are gathered to be removed or to be
// searched alone. A store says in which form it holds them: (rows, ..), one row of the tensor to a vector.
#pragma once

#ifdef XLEMBED_WITH_CUDA

#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <string>

#include "core/error.h"
#include "core/vector_store.h"
#include "kernels/top_k_narrow.h"

namespace xlembed {

template <typename T>
at::Tensor to_device(const T* values, at::IntArrayRef shape, at::ScalarType type, at::Device device) {
  return at::from_blob(const_cast<T*>(values), shape, type).to(device);
}

template <typename T>
void to_host(const at::Tensor& tensor, T* values) {
  at::from_blob(values, tensor.sizes(), tensor.scalar_type()).copy_(tensor);
}

// The addresses of some blocks as numbers.
at::Tensor addresses_of(const std::vector<at::Tensor>& blocks);

// Whether there are as many addresses (.., blocks), undefined at first, as blocks: a block may have come for
// which there was no memory to list it.
inline bool lists_all(const at::Tensor& addresses, const std::vector<at::Tensor>& blocks) {
  return static_cast<size_t>(addresses.defined() ? addresses.size(-1) : 0) == blocks.size();
}

// Rows of a piece of memory of so many bytes, in whole tiles of every kernel.
int64_t device_rows_per_block(int64_t rows);

// Throws INVALID_ARGUMENT for more than a GPU's lists hold.
void require_device_k(int64_t k, at::Device device);

class DeviceStore : public VectorStore {
 public:
  DeviceStore(int64_t dimensions, at::Device device, int64_t rows_per_block)
      : dimensions_(dimensions), device_(device), rows_per_block_(device_rows_per_block(rows_per_block)) {}

  void add(const float* vectors, int64_t rows) override;
  void remove(const int32_t* rows, int64_t count) override;
  std::vector<float> vectors(int64_t first, int64_t count) const override;
  void search(const float* queries, int64_t count, int64_t k, const kernels::Subset& subset, float* scores,
              int32_t* rows) const override;
  void ranks(const float* queries, int64_t count, const int32_t* relevant, const int32_t* offsets,
             int32_t* ranks) const override;

 protected:
  // Queries whose lists are held at a time: 64 KB each.
  static constexpr int64_t kQueryBlock = 1024;

  // vectors (rows, D) float32 on the device, appended
  virtual void append(const at::Tensor& vectors) = 0;
  // (n) int64 on the device, ascending -> what is held of these rows
  virtual at::Tensor held(const at::Tensor& numbers) const = 0;
  // Appends what held() gave.
  virtual void append_held(const at::Tensor& held) = 0;
  // What held() gave -> (n, D) float32
  virtual at::Tensor widened(const at::Tensor& held) const = 0;
  // An empty store of the same kind, for `rows` rows.
  virtual std::unique_ptr<DeviceStore> part(int64_t rows) const = 0;
  // queries (Q, D) -> scores, rows (Q, k), all on the device
  virtual void search_block(const at::Tensor& queries, int64_t k, const at::Tensor& scores,
                            const at::Tensor& rows) const = 0;
  // relevant and scores (all), offsets (Q + 1) into them -> ranks (all)
  virtual void rank_block(const at::Tensor& queries, const at::Tensor& relevant, const int32_t* offsets,
                          const at::Tensor& scores, const at::Tensor& ranks) const = 0;

  at::TensorOptions options(at::ScalarType type) const { return at::TensorOptions(device_).dtype(type); }
  cudaStream_t stream() const { return c10::cuda::getCurrentCUDAStream(device_.index()).stream(); }

  // The rows with these ascending numbers, each of `width` places: out of blocks (rows_per_block, width) or,
  // as panels, (rows_per_block / 48, width, 48).
  at::Tensor gather(const std::vector<at::Tensor>& blocks, const at::Tensor& numbers, int64_t width,
                    at::ScalarType type) const;

  int64_t dimensions_;
  at::Device device_;
  int64_t rows_per_block_;
  int64_t rows_ = 0;

 private:
  // Rows that are on the device a second time, on their way: 64 MB.
  int64_t piece_rows() const;
  // Appends the rows of a store with these ascending numbers; of this one as they move up.
  void append_rows(const DeviceStore& from, const at::Tensor& numbers);
};

}  // namespace xlembed

#endif
