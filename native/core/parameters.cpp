#include "core/parameters.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <unordered_map>

#include "core/error.h"
#include "core/file.h"

namespace xlembed {
namespace {

// Bytes of a file range that are in memory at once while a tensor is converted or sent to a device.
constexpr int64_t kChunkBytes = int64_t{16} << 20;

std::string shape_text(at::IntArrayRef shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + ")";
}

void read_into(const at::Tensor& tensor, const TensorSource& source) {
  const File file = File::open_to_read(source.path);
  at::Tensor flat = tensor.view(-1);
  if (tensor.device().is_cpu() && tensor.scalar_type() == source.dtype) {
    file.read(flat.mutable_data_ptr(), flat.nbytes(), source.offset);
    tensor.unsafeGetTensorImpl()->bump_version();  // as every operation of libtorch does that writes
    return;
  }
  const int64_t item = static_cast<int64_t>(at::elementSize(source.dtype));
  const int64_t rows = kChunkBytes / item;
  at::Tensor chunk = at::empty({std::min(rows, flat.numel())}, source.dtype);
  for (int64_t first = 0; first < flat.numel(); first += rows) {
    const int64_t count = std::min(rows, flat.numel() - first);
    file.read(chunk.mutable_data_ptr(), count * item, source.offset + first * item);
    flat.narrow(0, first, count).copy_(chunk.narrow(0, 0, count));
  }
}

void write_from(const at::Tensor& tensor, const TensorTarget& target) {
  const File file = File::open_to_write(target.path);
  const at::Tensor flat = tensor.detach().contiguous().view(-1);
  const int64_t item = static_cast<int64_t>(at::elementSize(target.dtype));
  const int64_t rows = kChunkBytes / item;
  for (int64_t first = 0; first < flat.numel(); first += rows) {
    const int64_t count = std::min(rows, flat.numel() - first);
    const at::Tensor chunk = flat.narrow(0, first, count).to(at::kCPU, target.dtype).contiguous();
    file.write(chunk.const_data_ptr(), count * item, target.offset + first * item);
  }
}

}  // namespace

void read_tensors(const std::vector<NamedTensor>& tensors, const std::vector<TensorSource>& sources) {
  const at::NoGradGuard no_grad;
  std::unordered_map<std::string, const TensorSource*> by_name;
  for (const TensorSource& source : sources) by_name[source.name] = &source;
  for (const NamedTensor& parameter : tensors) {
    const auto found = by_name.find(parameter.name);
    if (found == by_name.end()) throw CodedError("TENSOR_MISSING", "no weights for " + parameter.name);
    const TensorSource& source = *found->second;
    if (parameter.tensor.sizes() != at::IntArrayRef(source.shape)) {
      throw CodedError("TENSOR_SHAPE_MISMATCH", "expected shape " + shape_text(parameter.tensor.sizes()) +
                                                    " for " + parameter.name + ", received " +
                                                    shape_text(source.shape));
    }
    read_into(parameter.tensor, source);
  }
}

void write_tensors(const std::vector<NamedTensor>& tensors, const std::vector<TensorTarget>& targets) {
  std::unordered_map<std::string, const NamedTensor*> by_name;
  for (const NamedTensor& tensor : tensors) by_name[tensor.name] = &tensor;
  for (const TensorTarget& target : targets) {
    const auto found = by_name.find(target.name);
    if (found == by_name.end()) throw CodedError("TENSOR_MISSING", "there is no tensor " + target.name);
    write_from(found->second->tensor, target);
  }
}

Parameters::Parameters(at::Device device, at::ScalarType dtype) : options_(at::device(device).dtype(dtype)) {}

at::Tensor Parameters::add(const std::string& name, at::IntArrayRef shape, Initialisation initialisation) {
  at::Tensor tensor = at::empty(shape, options_);
  named_.push_back({name, tensor, initialisation});
  leaves_.push_back({name, tensor, initialisation == Initialisation::normal});
  return tensor;
}

at::Tensor Parameters::add_stacked(const std::string& name, const std::vector<std::string>& parts,
                                   at::IntArrayRef part_shape, Initialisation initialisation) {
  std::vector<int64_t> shape = part_shape.vec();
  const int64_t rows = shape[0];
  shape[0] *= static_cast<int64_t>(parts.size());
  at::Tensor tensor = at::empty(shape, options_);
  for (size_t part = 0; part < parts.size(); ++part) {
    named_.push_back(
        {parts[part], tensor.narrow(0, static_cast<int64_t>(part) * rows, rows), initialisation});
  }
  leaves_.push_back({name, tensor, initialisation == Initialisation::normal});
  return tensor;
}

void Parameters::initialise(uint64_t seed, double range) {
  const at::NoGradGuard no_grad;
  at::Generator generator = at::detail::createCPUGenerator(seed);
  for (const NamedTensor& parameter : named_) {
    switch (parameter.initialisation) {
      case Initialisation::zeros:
        parameter.tensor.zero_();
        break;
      case Initialisation::ones:
        parameter.tensor.fill_(1);
        break;
      case Initialisation::normal: {
        const at::Tensor draw = at::empty(parameter.tensor.sizes(), at::kFloat);
        parameter.tensor.copy_(draw.normal_(0, range, generator));
        break;
      }
    }
  }
}

void Parameters::require_gradients() {
  for (Leaf& leaf : leaves_) leaf.tensor.requires_grad_(true);
}

int64_t Parameters::version() const {
  int64_t version = 0;
  for (const Leaf& leaf : leaves_) version += leaf.tensor._version();
  return version;
}

int64_t Parameters::bytes() const {
  int64_t bytes = 0;
  for (const Leaf& leaf : leaves_) bytes += static_cast<int64_t>(leaf.tensor.nbytes());
  return bytes;
}

}  // namespace xlembed
