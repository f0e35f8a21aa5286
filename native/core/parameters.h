// Named tensors of a model: what files call them, and the leaves that the optimizer sees.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/torch.h"

namespace xlembed {

enum class Initialisation { normal, zeros, ones };

// A tensor under its name in files; `tensor` may be a view into a leaf that joins several (query, key,
// value).
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
  Initialisation initialisation = Initialisation::zeros;
};

// What is trained: one gradient, one optimizer state.
struct Leaf {
  std::string name;
  at::Tensor tensor;
  bool decay;  // false for biases and LayerNorm
};

struct TensorSource {
  std::string name;
  std::string path;
  int64_t offset;  // bytes
  std::vector<int64_t> shape;
  at::ScalarType dtype;
};

struct TensorTarget {
  std::string name;
  std::string path;
  int64_t offset;  // bytes
  at::ScalarType dtype;
};

// Fills every tensor from the file range of its name, converting to its dtype. Throws TENSOR_MISSING,
// TENSOR_SHAPE_MISMATCH, FILE_READ_FAILED.
void read_tensors(const std::vector<NamedTensor>& tensors, const std::vector<TensorSource>& sources);

// Writes tensors in place into existing files. Throws TENSOR_MISSING, FILE_WRITE_FAILED.
void write_tensors(const std::vector<NamedTensor>& tensors, const std::vector<TensorTarget>& targets);

class Parameters {
 public:
  Parameters(at::Device device, at::ScalarType dtype);

  // One leaf under one name.
  at::Tensor add(const std::string& name, at::IntArrayRef shape, Initialisation initialisation);

  // One leaf that stacks equal shapes along dimension 0, each part under its own name.
  at::Tensor add_stacked(const std::string& name, const std::vector<std::string>& parts,
                         at::IntArrayRef part_shape, Initialisation initialisation);

  void load(const std::vector<TensorSource>& sources) { read_tensors(named_, sources); }
  void write(const std::vector<TensorTarget>& targets) const { write_tensors(named_, targets); }

  // N(0, range) for weights, zeros for biases, ones for LayerNorm; the same bits on every device.
  void initialise(uint64_t seed, double range);

  void require_gradients();

  // Grows when a tensor is written to.
  int64_t version() const;

  int64_t bytes() const;

  const std::vector<NamedTensor>& named() const { return named_; }
  const std::vector<Leaf>& leaves() const { return leaves_; }

 private:
  at::TensorOptions options_;
  std::vector<NamedTensor> named_;
  std::vector<Leaf> leaves_;
};

}  // namespace xlembed
