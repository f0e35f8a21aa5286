// Where a flat index keeps its vectors and searches them: host_vectors.cpp for the CPU, device_vectors.cpp
// for a GPU. FlatIndex checks arguments; all pointers are to host memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
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

std::unique_ptr<VectorStore> host_vectors(int64_t dimensions, std::optional<kernels::Narrow> narrow);

// On a GPU; with `narrow`, a search reads a bfloat16 copy first. Throws DEVICE_UNAVAILABLE in a build without
// CUDA.
std::unique_ptr<VectorStore> device_vectors(int64_t dimensions, at::Device device, bool narrow);

// The same while they take no more than budget_bytes of the GPU's memory (0: 80 % of what is free now); from
// then on in the host's memory, streamed through the GPU by each search, in float32.
std::unique_ptr<VectorStore> fitting_vectors(int64_t dimensions, at::Device device, bool narrow,
                                             int64_t budget_bytes);

}  // namespace xlembed
