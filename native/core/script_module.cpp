#include "core/script_module.h"

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <filesystem>
#include <unordered_map>

#include "core/error.h"
#include "core/memory.h"

namespace xlembed {
namespace {

// TorchScript reports all there is to report in exceptions of many types; memory keeps its own.
template <typename Work>
auto with_code(const char* code, const std::string& subject, Work work) {
  try {
    return work();
  } catch (const CodedError&) {
    throw;
  } catch (const std::exception& error) {
    if (is_out_of_memory(error)) throw;
    const auto* torch = dynamic_cast<const c10::Error*>(&error);
    throw CodedError(code, subject + ": " + (torch ? torch->what_without_backtrace() : error.what()));
  }
}

std::vector<std::string> method_names(const torch::jit::Module& module) {
  std::vector<std::string> names;
  for (const torch::jit::Method& method : module.get_methods()) names.push_back(method.name());
  std::sort(names.begin(), names.end());
  return names;
}

// Tracing writes the device it ran on into the program, for each tensor that is made there: on a GPU these,
// too, must be made on it.
void make_tensors_on(const torch::jit::Module& module, at::Device device) {
  for (const torch::jit::Module& part : module.modules()) {
    for (const torch::jit::Method& method : part.get_methods()) {
      for (torch::jit::Node* node : torch::jit::findAllNodes(*method.graph(), c10::prim::Constant, true)) {
        if (node->output()->type()->kind() == c10::TypeKind::DeviceObjType) {
          node->s_(c10::attr::value, device.str());
        }
      }
    }
  }
}

torch::jit::Module load_module(const std::string& path, at::Device device, bool freeze) {
  torch::jit::Module module = torch::jit::load(path, device);
  module.eval();
  if (!device.is_cpu()) make_tensors_on(module, device);
  if (!freeze) return module;
  std::vector<std::string> kept = method_names(module);
  std::erase(kept, "forward");  // kept in any case
  return torch::jit::freeze(module, kept);
}

}  // namespace

struct ScriptModule::Program {
  torch::jit::Module module;

  torch::jit::Method method(const std::string& name) const {
    if (const auto found = module.find_method(name)) return *found;
    std::string known;
    for (const std::string& other : method_names(module)) known += (known.empty() ? "" : ", ") + other;
    throw CodedError("SCRIPT_METHOD_MISSING", "no method " + name + " in this module, it has: " + known);
  }
};

ScriptModule::ScriptModule(const std::string& path, at::Device device, bool freeze)
    : device_(device),
      program_(with_code("SCRIPT_INVALID", path,
                         [&] { return std::make_unique<Program>(load_module(path, device, freeze)); })),
      methods_(method_names(program_->module)) {
  std::error_code gone_since;
  const auto bytes = std::filesystem::file_size(path, gone_since);
  if (!gone_since) bytes_ = static_cast<int64_t>(bytes);
}

ScriptModule::~ScriptModule() = default;

std::vector<std::string> ScriptModule::arguments(const std::string& method) const {
  std::vector<std::string> names;
  const torch::jit::Method found = program_->method(method);
  for (const c10::Argument& argument : found.function().getSchema().arguments())
    names.push_back(argument.name());
  names.erase(names.begin());  // self
  return names;
}

c10::IValue ScriptModule::run(const std::string& method, const std::vector<at::Tensor>& inputs,
                              const NamedTensors& named) const {
  const at::NoGradGuard no_grad;
  const torch::jit::Method found = program_->method(method);
  std::vector<c10::IValue> stack{program_->module._ivalue()};
  std::unordered_map<std::string, c10::IValue> keywords;
  for (const at::Tensor& input : inputs) stack.emplace_back(input.to(device_));
  for (const auto& [name, input] : named) keywords.emplace(name, input.to(device_));
  with_code("INVALID_ARGUMENT", method, [&] {
    found.function().getSchema().checkAndNormalizeInputs(stack, keywords);
    return 0;
  });
  return with_code("SCRIPT_FAILED", method, [&] { return found.function()(std::move(stack)); });
}

}  // namespace xlembed
