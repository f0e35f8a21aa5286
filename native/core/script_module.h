// A TorchScript program: loaded, frozen, run. TorchScript's headers stay in script_module.cpp.
#pragma once

#include <ATen/core/ivalue.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/torch.h"

namespace xlembed {

class ScriptModule {
 public:
  using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

  // Loads what torch.jit.save wrote, in evaluation mode. Frozen, its weights are constants of its graph. The
  // file holds code that run() executes: it must come from a source that is trusted. Throws SCRIPT_INVALID.
  ScriptModule(const std::string& path, at::Device device, bool freeze);
  ~ScriptModule();

  const std::vector<std::string>& methods() const { return methods_; }

  // Names of a method's arguments, self left out. Throws SCRIPT_METHOD_MISSING.
  std::vector<std::string> arguments(const std::string& method) const;

  // Calls a method without gradients; tensors are moved to the module's device. Throws SCRIPT_METHOD_MISSING,
  // INVALID_ARGUMENT for arguments that the method does not take, SCRIPT_FAILED for what it raises.
  c10::IValue run(const std::string& method, const std::vector<at::Tensor>& inputs,
                  const NamedTensors& named = {}) const;

  at::Device device() const { return device_; }
  int64_t bytes() const { return bytes_; }  // of its file, nearly all of which are weights

 private:
  struct Program;  // torch::jit::Module

  at::Device device_;
  int64_t bytes_ = 0;
  std::unique_ptr<Program> program_;
  std::vector<std::string> methods_;
};

}  // namespace xlembed
