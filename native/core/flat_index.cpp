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
      rows_per_block_(round_up(kBlockBytes / (dimensions * sizeof(float)) + 1, kernels::kPanelRows)) {
  if (!device.is_cpu()) {
    throw CodedError("DEVICE_UNAVAILABLE", "flat index on device " + device.str() + ": only cpu is built");
  }
}

void FlatIndex::reserve(int64_t rows) {
  const size_t bytes = round_up(rows_per_block_ * dimensions_ * sizeof(float), kHugePage);
  while (static_cast<int64_t>(blocks_.size()) * rows_per_block_ < rows) {
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

kernels::Corpus FlatIndex::corpus() const {
  return {addresses_.data(), rows_per_block_, rows_, dimensions_, kernels::Layout::panels};
}

void FlatIndex::add(const float* vectors, int64_t rows) {
  require_usable(vectors, rows, dimensions_, "vector");
  const int64_t before = rows_;
  reserve(before + rows);
  kernels::write_vectors(vectors, before, rows, corpus(), threads());
  rows_ = before + rows;
}

void FlatIndex::remove(const int32_t* rows, int64_t count) {
  if (count == 0) return;
  std::vector<float> vector(dimensions_);
  const int64_t step = kernels::stride(corpus());
  int64_t kept = rows[0], removed = 0;
  for (int64_t row = kept; row < rows_; ++row) {
    if (removed < count && rows[removed] == row) {
      ++removed;
      continue;
    }
    const float* from = address(row);
    float* to = address(kept++);
    for (int64_t d = 0; d < dimensions_; ++d) to[d * step] = from[d * step];
  }
  rows_ = kept;
}

std::vector<float> FlatIndex::vectors(int64_t first, int64_t count) const {
  std::vector<float> result(count * dimensions_);
  const kernels::Corpus from = corpus();
  const int64_t step = kernels::stride(from);
  for (int64_t row = 0; row < count; ++row) {
    const float* x = kernels::address(from, first + row);
    for (int64_t d = 0; d < dimensions_; ++d) result[row * dimensions_ + d] = x[d * step];
  }
  return result;
}

SearchResult FlatIndex::search(const float* queries, int64_t count, int64_t k,
                               const kernels::Subset& subset) const {
  require_usable(queries, count, dimensions_, "query");
  SearchResult result{std::vector<float>(count * k), std::vector<int32_t>(count * k)};
  kernels::top_k(queries, count, corpus(), subset, k, threads(), result.scores.data(), result.ids.data());
  return result;
}

std::vector<int32_t> FlatIndex::ranks(const float* queries, int64_t count, const int32_t* ids,
                                      const int32_t* offsets) const {
  require_usable(queries, count, dimensions_, "query");
  std::vector<int32_t> ranks(offsets[count]);
  kernels::ranks(queries, count, corpus(), ids, offsets, threads(), ranks.data());
  return ranks;
}

}  // namespace xlembed
