#include "core/flat_index.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "core/error.h"

namespace xlembed {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kBlockBytes = size_t{64} << 20;  // the index grows by this much at a time

size_t round_up(size_t bytes, size_t step) { return (bytes + step - 1) / step * step; }

void require_usable(const float* vectors, int64_t count, int64_t dimensions, const char* what) {
  const int64_t row = kernels::first_unusable_row(vectors, count, dimensions);
  if (row == count) return;
  throw CodedError("INVALID_ARGUMENT", std::string(what) + " " + std::to_string(row) +
                                           " holds NaN, infinity or values too large to score");
}

int threads() { return std::max(1, at::get_num_threads()); }

}  // namespace

void FlatIndex::Free::operator()(float* memory) const { std::free(memory); }

FlatIndex::FlatIndex(int64_t dimensions, at::Device device)
    : dimensions_(dimensions),
      panels_per_block_(
          std::max<int64_t>(1, kBlockBytes / (dimensions * kernels::kPanelRows * sizeof(float)))) {
  if (!device.is_cpu()) {
    throw CodedError("DEVICE_UNAVAILABLE", "flat index on device " + device.str() + ": only cpu is built");
  }
}

void FlatIndex::reserve(int64_t rows) {
  const size_t bytes =
      round_up(panels_per_block_ * dimensions_ * kernels::kPanelRows * sizeof(float), kHugePage);
  while (static_cast<int64_t>(blocks_.size()) * panels_per_block_ * kernels::kPanelRows < rows) {
    void* memory = std::aligned_alloc(kHugePage, bytes);
    if (memory == nullptr) {
      throw CodedError("OUT_OF_MEMORY", "the index cannot grow to " + std::to_string(rows) + " rows");
    }
    // A scan touches every page once: large pages spare it the address translation.
    madvise(memory, bytes, MADV_HUGEPAGE);
    std::memset(memory, 0, bytes);
    blocks_.emplace_back(static_cast<float*>(memory));
    addresses_.push_back(blocks_.back().get());
  }
}

float* FlatIndex::panel(int64_t p) {
  return blocks_[p / panels_per_block_].get() + p % panels_per_block_ * dimensions_ * kernels::kPanelRows;
}

kernels::Panels FlatIndex::panels() const {
  return {addresses_.data(), panels_per_block_, rows_, dimensions_};
}

void FlatIndex::add(const float* vectors, int64_t rows) {
  require_usable(vectors, rows, dimensions_, "vector");
  reserve(rows_ + rows);
  const int64_t first_panel = rows_ / kernels::kPanelRows;
  const int64_t end_panel = (rows_ + rows + kernels::kPanelRows - 1) / kernels::kPanelRows;
  at::parallel_for(first_panel, end_panel, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const int64_t first = std::max(rows_, p * kernels::kPanelRows);
      const int64_t last = std::min(rows_ + rows, (p + 1) * kernels::kPanelRows);
      kernels::write_panel_rows(vectors + (first - rows_) * dimensions_, last - first, dimensions_,
                                first - p * kernels::kPanelRows, panel(p));
    }
  });
  rows_ += rows;
}

SearchResult FlatIndex::search(const float* queries, int64_t count, int64_t k) const {
  require_usable(queries, count, dimensions_, "query");
  SearchResult result{std::vector<float>(count * k), std::vector<int32_t>(count * k)};
  kernels::top_k(queries, count, panels(), k, threads(), result.scores.data(), result.ids.data());
  return result;
}

std::vector<int32_t> FlatIndex::ranks(const float* queries, int64_t count, const int32_t* ids,
                                      const int32_t* offsets) const {
  require_usable(queries, count, dimensions_, "query");
  std::vector<int32_t> ranks(offsets[count]);
  kernels::ranks(queries, count, panels(), ids, offsets, threads(), ranks.data());
  return ranks;
}

}  // namespace xlembed
