// Where a flat index keeps its vectors and searches them. FlatIndex checks arguments; all pointers are to
// host memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/torch.h"
#include "kernels/top_k.h"
#include "kernels/top_k_narrow.h"

namespace xlembed {

class VectorStore {
 public:
  virtual ~VectorStore() = default;

  // vectors (rows, D), appended
  virtual void add(const float* vectors, int64_t rows) = 0;
  // rows ascending; later rows move up
  virtual void remove(const int32_t* rows, int64_t count) = 0;
  // (count, D): the vectors from row `first` on
  virtual std::vector<float> vectors(int64_t first, int64_t count) const = 0;
  // scores and rows (Q, k)
  virtual void search(const float* queries, int64_t count, int64_t k, const kernels::Subset& subset,
                      float* scores, int32_t* rows) const = 0;
  virtual void ranks(const float* queries, int64_t count, const int32_t* relevant, const int32_t* offsets,
                     int32_t* ranks) const = 0;
};

// In memory, for the CPU.
std::unique_ptr<VectorStore> host_vectors(int64_t dimensions, std::optional<kernels::Narrow> narrow);

// In narrow numbers alone, for the CPU: the results over the vectors that these stand for, bit by bit.
std::unique_ptr<VectorStore> narrow_host_vectors(int64_t dimensions, kernels::Narrow narrow);

// Their signs alone, for the CPU: scores are inner products of signs, each +1 or -1.
std::unique_ptr<VectorStore> binary_vectors(int64_t dimensions);

// Left in a file, from byte `offset` (a multiple of 4) on, row after row; for the CPU and read-only
// (INDEX_READ_ONLY). Throws FILE_READ_FAILED and, when the file is or becomes shorter, MALFORMED_FILE.
std::unique_ptr<VectorStore> mapped_vectors(const std::string& path, int64_t offset, int64_t rows,
                                            int64_t dimensions);

// Of a GPU's memory, which vectors take block by block.
inline constexpr int64_t vector_block_bytes = int64_t{256} << 20;

// On a GPU; with `narrow`, a search reads a bfloat16 copy first. Throws DEVICE_UNAVAILABLE in a build without
// CUDA.
std::unique_ptr<VectorStore> device_vectors(int64_t dimensions, at::Device device, bool narrow,
                                            int64_t block_bytes = vector_block_bytes);

// What narrow_host_vectors() and binary_vectors() give, on a GPU; all must fit in its memory (OUT_OF_MEMORY).
std::unique_ptr<VectorStore> narrow_device_vectors(int64_t dimensions, at::Device device,
                                                   kernels::Narrow narrow,
                                                   int64_t block_bytes = vector_block_bytes);
std::unique_ptr<VectorStore> binary_device_vectors(int64_t dimensions, at::Device device,
                                                   int64_t block_bytes = vector_block_bytes);

// What device_vectors() gives while they take no more than budget_bytes of the GPU's memory (0: 80 % of what
// is free when the first come); from then on in the host's memory, streamed through the GPU by each search,
// in float32.
std::unique_ptr<VectorStore> fitting_vectors(int64_t dimensions, at::Device device, bool narrow,
                                             int64_t budget_bytes);

}  // namespace xlembed
