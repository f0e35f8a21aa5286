#include "core/flat_index.h"

#include <algorithm>
#include <string>

#include "core/error.h"
#include "kernels/top_k_binary.h"

namespace xlembed {
namespace {

void require_usable(const float* vectors, int64_t count, int64_t dimensions, const char* what) {
  const int64_t row = kernels::first_unusable_row(vectors, count, dimensions);
  if (row == count) return;
  throw CodedError("INVALID_ARGUMENT", std::string(what) + " " + std::to_string(row) +
                                           " holds NaN, infinity or values too large to score");
}

std::unique_ptr<VectorStore> store_on(at::Device device, int64_t dimensions,
                                      std::optional<kernels::Narrow> narrow, int64_t budget_bytes) {
  if (device.is_cpu()) return host_vectors(dimensions, narrow);
  if (device.is_cuda() && narrow != kernels::Narrow::int8) {
    return fitting_vectors(dimensions, device, narrow.has_value(), budget_bytes);
  }
  throw CodedError("DEVICE_UNAVAILABLE", "there is no such search for device " + device.str());
}

std::unique_ptr<VectorStore> store_on(at::Device device, int64_t dimensions, Storage storage) {
  if (storage == Storage::float32) return store_on(device, dimensions, {}, /*budget_bytes=*/0);
  if (storage == Storage::binary) {
    return device.is_cpu() ? binary_vectors(dimensions) : binary_device_vectors(dimensions, device);
  }
  const kernels::Narrow narrow =
      storage == Storage::bfloat16 ? kernels::Narrow::bfloat16 : kernels::Narrow::int8;
  return device.is_cpu() ? narrow_host_vectors(dimensions, narrow)
                         : narrow_device_vectors(dimensions, device, narrow);
}

int64_t bytes_per_row(int64_t dimensions, Storage storage) {
  if (storage == Storage::binary) return kernels::binary_words(dimensions) * 4;
  if (storage == Storage::float32) return dimensions * 4;
  return storage == Storage::bfloat16 ? dimensions * 2 : dimensions;
}

int64_t bytes_per_row(int64_t dimensions, std::optional<kernels::Narrow> narrow) {
  return dimensions * 4 + (narrow ? dimensions * (narrow == kernels::Narrow::bfloat16 ? 2 : 1) : 0);
}

}  // namespace

FlatIndex::FlatIndex(int64_t dimensions, at::Device device, std::optional<kernels::Narrow> narrow,
                     int64_t budget_bytes)
    : dimensions_(dimensions),
      row_bytes_(bytes_per_row(dimensions, narrow)),
      store_(store_on(device, dimensions, narrow, budget_bytes)) {}

FlatIndex::FlatIndex(int64_t dimensions, at::Device device, Storage storage)
    : dimensions_(dimensions),
      row_bytes_(bytes_per_row(dimensions, storage)),
      store_(store_on(device, dimensions, storage)) {}

void FlatIndex::add(const float* vectors, int64_t rows) {
  require_usable(vectors, rows, dimensions_, "vector");
  store_->add(vectors, rows);
  rows_ += rows;
  most_rows_ = std::max(most_rows_, size());
}

void FlatIndex::remove(const int32_t* rows, int64_t count) {
  if (count == 0) return;
  store_->remove(rows, count);
  rows_ -= count;
}

SearchResult FlatIndex::search(const float* queries, int64_t count, int64_t k,
                               const kernels::Subset& subset) const {
  require_usable(queries, count, dimensions_, "query");
  SearchResult result{std::vector<float>(count * k), std::vector<int32_t>(count * k)};
  store_->search(queries, count, k, subset, result.scores.data(), result.ids.data());
  return result;
}

std::vector<int32_t> FlatIndex::ranks(const float* queries, int64_t count, const int32_t* ids,
                                      const int32_t* offsets) const {
  require_usable(queries, count, dimensions_, "query");
  std::vector<int32_t> ranks(offsets[count]);
  store_->ranks(queries, count, ids, offsets, ranks.data());
  return ranks;
}

}  // namespace xlembed
