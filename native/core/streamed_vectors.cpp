// Vectors that do not fit on the GPU: they stay in the host's memory, row after row, and pass through two
// pinned buffers. While the GPU searches one piece the next one is copied, and the one after that is brought
// to pinned memory. A piece's k best are merged with those of the pieces before: the results are those of a
// search that has all on the device.
#include "core/blocks.h"
#include "core/device_store.h"
#include "core/error.h"
#include "core/search_threads.h"
#include "core/vector_store.h"

#ifdef XLEMBED_WITH_CUDA

#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstring>
#include <future>
#include <limits>

#include "kernels/best_k.h"

namespace xlembed {
namespace {

constexpr int64_t kQueryBlock = 1024;
constexpr int64_t kLargestPiece = int64_t{256} << 20;  // bytes
constexpr int kBuffers = 2;

class StreamedVectors : public VectorStore {
 public:
  // A piece is on the device three times: two buffers that fill and the panels that are searched.
  StreamedVectors(int64_t dimensions, at::Device device, int64_t budget_bytes)
      : dimensions_(dimensions), device_(device) {
    const int64_t row_bytes = dimensions * static_cast<int64_t>(sizeof(float));
    const int64_t bytes = std::min(kLargestPiece, budget_bytes / (kBuffers + 1));
    piece_rows_ = std::max<int64_t>(1, bytes / row_bytes / kernels::kPanelRows) * kernels::kPanelRows;
  }

  void add(const float* vectors, int64_t rows) override {
    while (static_cast<int64_t>(blocks_.size()) * piece_rows_ < rows_ + rows) {
      const size_t bytes = (piece_rows_ * dimensions_ * sizeof(float) + 63) / 64 * 64;
      auto* block = static_cast<float*>(std::aligned_alloc(64, bytes));
      if (block == nullptr) {
        throw CodedError("OUT_OF_MEMORY",
                         "the index cannot grow to " + std::to_string(rows_ + rows) + " rows");
      }
      std::memset(block, 0, bytes);
      blocks_.emplace_back(block);
      addresses_.push_back(block);
    }
    kernels::write_vectors(vectors, rows_, rows, corpus(), all_threads());
    rows_ += rows;
  }

  void remove(const int32_t* rows, int64_t count) override {
    rows_ = close_gaps(rows, count, rows_, [this](int64_t from, int64_t to) {
      std::copy_n(row_at(from), dimensions_, row_at(to));
    });
  }

  std::vector<float> vectors(int64_t first, int64_t count) const override {
    std::vector<float> result(count * dimensions_);
    for (int64_t r = 0; r < count; ++r) std::copy_n(row_at(first + r), dimensions_, &result[r * dimensions_]);
    return result;
  }

  // Few rows, and ranks, are left to the CPU, whose scores have the same bits.
  void search(const float* queries, int64_t count, int64_t k, const kernels::Subset& subset, float* scores,
              int32_t* rows) const override {
    if (!subset.all()) {
      kernels::top_k(queries, count, corpus(), subset, k, all_threads(), scores, rows);
      return;
    }
    require_device_k(k, device_);
    for (int64_t begin = 0; begin < count; begin += kQueryBlock) {
      search_block(queries + begin * dimensions_, std::min(kQueryBlock, count - begin), k, scores + begin * k,
                   rows + begin * k);
    }
  }

  void ranks(const float* queries, int64_t count, const int32_t* relevant, const int32_t* offsets,
             int32_t* ranks) const override {
    kernels::ranks(queries, count, corpus(), relevant, offsets, all_threads(), ranks);
  }

 private:
  // One of the buffers that take turns.
  struct Buffer {
    at::Tensor pinned, rows;           // (piece, D) on the host and on the device
    at::cuda::CUDAEvent copied, used;  // rows are here; rows have been read
  };
  struct Free {
    void operator()(float* memory) const { std::free(memory); }
  };

  kernels::Corpus corpus() const {
    return {addresses_.data(), piece_rows_, rows_, dimensions_, kernels::Layout::rows};
  }
  float* row_at(int64_t row) const { return const_cast<float*>(kernels::address(corpus(), row)); }
  int64_t pieces() const { return (rows_ + piece_rows_ - 1) / piece_rows_; }
  int64_t rows_of(int64_t piece) const { return std::min(piece_rows_, rows_ - piece * piece_rows_); }

  // Brings a piece to pinned memory and starts its copy; runs beside the thread that searches.
  void upload(int64_t piece, Buffer& buffer, const c10::cuda::CUDAStream& stream) const {
    const c10::cuda::CUDAStreamGuard guard(stream);
    buffer.copied.synchronize();  // of the piece before the last: pinned memory is free
    const int64_t rows = rows_of(piece);
    const float* const pinned = buffer.pinned.const_data_ptr<float>();
    kernels::write_vectors(addresses_[piece], 0, rows,
                           {&pinned, piece_rows_, rows, dimensions_, kernels::Layout::rows}, all_threads());
    buffer.used.block(stream);
    buffer.rows.narrow(0, 0, rows).copy_(buffer.pinned.narrow(0, 0, rows), /*non_blocking=*/true);
    buffer.copied.record(stream);
  }

  void search_block(const float* queries, int64_t count, int64_t k, float* scores, int32_t* rows) const;

  int64_t dimensions_;
  at::Device device_;
  int64_t piece_rows_;
  int64_t rows_ = 0;
  std::vector<std::unique_ptr<float, Free>> blocks_;  // each (piece_rows_, D)
  std::vector<const float*> addresses_;
};

// best (Q) lists in order, and a piece's (Q, k), whose rows are later ones: the k best of both.
void merge(std::vector<std::vector<kernels::Candidate>>& best, const at::Tensor& scores,
           const at::Tensor& rows, int64_t first_row, int64_t k) {
  std::vector<kernels::Candidate> found, merged;
  for (size_t q = 0; q < best.size(); ++q) {
    found.clear();
    const float* score = scores.const_data_ptr<float>() + q * k;
    const int32_t* row = rows.const_data_ptr<int32_t>() + q * k;
    for (int64_t i = 0; i < k && row[i] >= 0; ++i) {
      found.push_back({score[i], static_cast<int32_t>(first_row + row[i])});
    }
    merged.resize(best[q].size() + found.size());
    std::merge(best[q].begin(), best[q].end(), found.begin(), found.end(), merged.begin(), kernels::better);
    merged.resize(std::min<size_t>(merged.size(), k));
    best[q].swap(merged);
  }
}

void StreamedVectors::search_block(const float* queries, int64_t count, int64_t k, float* scores,
                                   int32_t* rows) const {
  const c10::cuda::CUDAGuard guard(device_);
  const at::TensorOptions floats = at::TensorOptions(device_).dtype(at::kFloat);
  const auto compute = c10::cuda::getCurrentCUDAStream(device_.index());
  const auto copies = c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device_.index());
  Buffer buffers[kBuffers];
  for (Buffer& buffer : buffers) {
    buffer.pinned = at::empty({piece_rows_, dimensions_}, at::TensorOptions(at::kFloat).pinned_memory(true));
    buffer.rows = at::empty({piece_rows_, dimensions_}, floats);
    buffer.rows.record_stream(copies);  // an exception may let go of it while it is written
    buffer.used.record(compute);        // whatever had this memory before is done with it
  }
  const at::Tensor panels = at::zeros({piece_rows_, dimensions_}, floats);
  const float* const block = panels.const_data_ptr<float>();
  const at::Tensor q =
      at::from_blob(const_cast<float*>(queries), {count, dimensions_}, at::kFloat).to(device_);
  const at::Tensor workspace =
      at::empty({kernels::cuda::top_k_workspace_bytes(count, dimensions_)}, floats.dtype(at::kByte));
  const at::Tensor found_scores = at::empty({count, k}, floats);
  const at::Tensor found_rows = at::empty({count, k}, floats.dtype(at::kInt));
  std::vector<std::vector<kernels::Candidate>> best(count);
  std::future<void> next;
  const auto start = [&](int64_t piece) {
    if (piece >= pieces()) return;
    next = std::async(std::launch::async, [&, piece] { upload(piece, buffers[piece % kBuffers], copies); });
  };
  start(0);
  for (int64_t piece = 0; piece < pieces(); ++piece) {
    Buffer& buffer = buffers[piece % kBuffers];
    next.get();
    start(piece + 1);
    buffer.copied.block(compute);
    const kernels::Corpus part{&block, piece_rows_, rows_of(piece), dimensions_, kernels::Layout::panels};
    kernels::cuda::write_vectors(buffer.rows.const_data_ptr<float>(), 0, part.rows, part, compute.stream());
    buffer.used.record(compute);
    kernels::cuda::top_k(q.const_data_ptr<float>(), count, part, k, workspace.data_ptr(),
                         found_scores.mutable_data_ptr<float>(), found_rows.mutable_data_ptr<int32_t>(),
                         compute.stream());
    merge(best, found_scores.cpu(), found_rows.cpu(), piece * piece_rows_, k);
  }
  copies.synchronize();
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < k; ++j) {
      const bool is_found = j < static_cast<int64_t>(best[i].size());
      scores[i * k + j] = is_found ? best[i][j].score : -std::numeric_limits<float>::infinity();
      rows[i * k + j] = is_found ? best[i][j].row : -1;
    }
  }
}

// On the device as long as they fit there.
class FittingVectors : public VectorStore {
 public:
  FittingVectors(int64_t dimensions, at::Device device, bool narrow, int64_t budget_bytes)
      : dimensions_(dimensions),
        device_(device),
        narrow_(narrow),
        budget_bytes_(budget_bytes),
        store_(device_vectors(dimensions, device, narrow)) {}

  void add(const float* vectors, int64_t rows) override {
    // Not at the beginning: an index is made on another thread than the device's own, which this may stop.
    if (budget_bytes_ == 0) budget_bytes_ = free_bytes(device_) / 10 * 8;
    const int64_t bytes_per_row = dimensions_ * (narrow_ ? 6 : 4);
    if (!is_streamed_ && (rows_ + rows) * bytes_per_row > budget_bytes_) leave_device();
    store_->add(vectors, rows);
    rows_ += rows;
  }
  void remove(const int32_t* rows, int64_t count) override {
    store_->remove(rows, count);
    rows_ -= count;
  }
  std::vector<float> vectors(int64_t first, int64_t count) const override {
    return store_->vectors(first, count);
  }
  void search(const float* queries, int64_t count, int64_t k, const kernels::Subset& subset, float* scores,
              int32_t* rows) const override {
    store_->search(queries, count, k, subset, scores, rows);
  }
  void ranks(const float* queries, int64_t count, const int32_t* relevant, const int32_t* offsets,
             int32_t* ranks) const override {
    store_->ranks(queries, count, relevant, offsets, ranks);
  }

 private:
  // What libtorch keeps of what was freed is free, too.
  static int64_t free_bytes(at::Device device) {
    const c10::cuda::CUDAGuard guard(device);
    c10::cuda::CUDACachingAllocator::emptyCache();
    size_t free = 0, total = 0;
    C10_CUDA_CHECK(cudaMemGetInfo(&free, &total));
    return static_cast<int64_t>(free);
  }

  void leave_device() {
    constexpr int64_t piece = 65536;
    auto streamed = std::make_unique<StreamedVectors>(dimensions_, device_, budget_bytes_);
    for (int64_t first = 0; first < rows_; first += piece) {
      const int64_t count = std::min(piece, rows_ - first);
      streamed->add(store_->vectors(first, count).data(), count);
    }
    store_ = std::move(streamed);
    is_streamed_ = true;
  }

  int64_t dimensions_;
  at::Device device_;
  bool narrow_;
  int64_t budget_bytes_;
  int64_t rows_ = 0;
  bool is_streamed_ = false;
  std::unique_ptr<VectorStore> store_;
};

}  // namespace

std::unique_ptr<VectorStore> fitting_vectors(int64_t dimensions, at::Device device, bool narrow,
                                             int64_t budget_bytes) {
  return std::make_unique<FittingVectors>(dimensions, device, narrow, budget_bytes);
}

}  // namespace xlembed

#else

namespace xlembed {

std::unique_ptr<VectorStore> fitting_vectors(int64_t dimensions, at::Device device, bool narrow, int64_t) {
  return device_vectors(dimensions, device, narrow);
}

}  // namespace xlembed

#endif
