#include "core/device_store.h"

#ifdef XLEMBED_WITH_CUDA

namespace xlembed {

at::Tensor addresses_of(const std::vector<at::Tensor>& blocks) {
  const at::Tensor result = at::empty({static_cast<int64_t>(blocks.size())}, at::kLong);
  for (size_t b = 0; b < blocks.size(); ++b) {
    result.mutable_data_ptr<int64_t>()[b] = reinterpret_cast<int64_t>(blocks[b].const_data_ptr());
  }
  return result;
}

int64_t device_rows_per_block(int64_t rows) {
  return (rows / kernels::cuda::narrow_tile_rows + 1) * kernels::cuda::narrow_tile_rows;
}

void require_device_k(int64_t k, at::Device device) {
  const int64_t most = kernels::cuda::top_k_list / 4;
  if (k <= most) return;
  throw CodedError("INVALID_ARGUMENT", "expected k of at most " + std::to_string(most) + " on " +
                                           device.str() + ", received " + std::to_string(k));
}

int64_t DeviceStore::piece_rows() const {
  return std::max<int64_t>(1, (int64_t{64} << 20) / (4 * std::max<int64_t>(1, dimensions_)));
}

void DeviceStore::append_rows(const DeviceStore& from, const at::Tensor& numbers) {
  const int64_t piece = piece_rows(), count = numbers.size(0);
  for (int64_t first = 0; first < count; first += piece) {
    append_held(from.held(numbers.narrow(0, first, std::min(piece, count - first))));
  }
}

void DeviceStore::add(const float* vectors, int64_t rows) {
  const c10::cuda::CUDAGuard guard(device_);
  const int64_t piece = piece_rows();
  const int64_t before = rows_;
  try {
    for (int64_t first = 0; first < rows; first += piece) {
      const int64_t some = std::min(piece, rows - first);
      append(to_device(vectors + first * dimensions_, {some, dimensions_}, at::kFloat, device_));
    }
  } catch (...) {
    rows_ = before;
    throw;
  }
}

void DeviceStore::remove(const int32_t* rows, int64_t count) {
  if (count == 0) return;
  const c10::cuda::CUDAGuard guard(device_);
  const at::Tensor gone = to_device(rows, {count}, at::kInt, device_).to(at::kLong);
  const at::Tensor keep = at::ones({rows_}, options(at::kBool));
  keep.index_fill_(0, gone, false);
  const int64_t first = rows[0], before = rows_;
  const at::Tensor moved = keep.slice(0, first).nonzero().flatten().add(first);
  rows_ = first;
  try {
    append_rows(*this, moved);
  } catch (...) {
    if (rows_ == first) rows_ = before;  // the memory of the first piece serves the others
    throw;
  }
}

std::vector<float> DeviceStore::vectors(int64_t first, int64_t count) const {
  const c10::cuda::CUDAGuard guard(device_);
  std::vector<float> result(count * dimensions_);
  to_host(widened(held(at::arange(first, first + count, options(at::kLong)))), result.data());
  return result;
}

void DeviceStore::search(const float* queries, int64_t count, int64_t k, const kernels::Subset& subset,
                         float* scores, int32_t* rows) const {
  require_device_k(k, device_);
  const c10::cuda::CUDAGuard guard(device_);
  if (!subset.all()) {
    const std::unique_ptr<DeviceStore> some = part(subset.count);
    some->append_rows(*this, to_device(subset.rows, {subset.count}, at::kInt, device_).to(at::kLong));
    some->search(queries, count, k, {}, scores, rows);
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

void DeviceStore::ranks(const float* queries, int64_t count, const int32_t* relevant, const int32_t* offsets,
                        int32_t* ranks) const {
  const c10::cuda::CUDAGuard guard(device_);
  const int64_t total = offsets[count];
  const at::Tensor rows = to_device(relevant, {total}, at::kInt, device_);
  const at::Tensor limits = to_device(offsets, {count + 1}, at::kInt, device_);
  const at::Tensor scores = at::empty({total}, options(at::kFloat));
  const at::Tensor found = at::empty({total}, options(at::kInt));
  for (int64_t begin = 0; begin < count; begin += kQueryBlock) {
    const int64_t some = std::min(kQueryBlock, count - begin);
    const at::Tensor q = to_device(queries + begin * dimensions_, {some, dimensions_}, at::kFloat, device_);
    rank_block(q, rows, limits.const_data_ptr<int32_t>() + begin, scores, found);
  }
  to_host(found, ranks);
}

at::Tensor DeviceStore::gather(const std::vector<at::Tensor>& blocks, const at::Tensor& numbers,
                               int64_t width, at::ScalarType type) const {
  // Where each block's numbers end.
  const auto count = static_cast<int64_t>(blocks.size());
  const at::Tensor behind = at::arange(1, count + 1, options(at::kLong)).mul(rows_per_block_);
  const at::Tensor ends = at::searchsorted(numbers, behind).to(at::kCPU);
  std::vector<at::Tensor> found;
  for (int64_t b = 0, first = 0, end; b < count; ++b, first = end) {
    end = ends.const_data_ptr<int64_t>()[b];
    if (end == first) continue;
    const at::Tensor& block = blocks[static_cast<size_t>(b)];
    const at::Tensor here = numbers.narrow(0, first, end - first).sub(b * rows_per_block_);
    if (block.dim() == 2) {
      found.push_back(block.index_select(0, here));
      continue;
    }
    const at::Tensor panel = here.div(kernels::kPanelRows, "floor"),
                     lane = here.remainder(kernels::kPanelRows);
    found.push_back(block.transpose(1, 2).index({panel, lane}));
  }
  if (found.empty()) return at::empty({0, width}, options(type));
  return (found.size() == 1 ? found[0] : at::cat(found)).contiguous();
}

}  // namespace xlembed

#endif
