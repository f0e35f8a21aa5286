#include "addon/info.h"

#include <ATen/Version.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <torch/version.h>

#include <atomic>

#include "addon/arguments.h"
#include "addon/task.h"
#include "core/faiss_index.h"
#include "core/memory.h"
#include "kernels/amx.h"

namespace xlembed::addon {
namespace {

// What setThreads() asked for; 0: libtorch's own choice.
std::atomic<int> chosen_threads = 0;

Napi::Value info(const Napi::CallbackInfo& call) {
  Napi::Object object = Napi::Object::New(call.Env());
  object.Set("libtorch", TORCH_VERSION);
  object.Set("cuda", at::hasCUDA());
  object.Set("cudaDevices", at::hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0);
  object.Set("threads", chosen_threads > 0 ? chosen_threads.load() : at::get_num_threads());
  object.Set("cpuCapability", at::get_cpu_capability() + (kernels::amx_granted() ? ", AMX" : ""));
  object.Set("compiler", "g++ " __VERSION__);
  object.Set("faiss", FaissIndex::version());
  return object;
}

// The thread count belongs to the executor's OpenMP pool, so it is set there.
Napi::Value set_threads(const Napi::CallbackInfo& call) {
  const int threads = call[0].As<Napi::Number>().Int32Value();
  return run_task(
      call.Env(), "cpu",
      [threads] {
        at::set_num_threads(threads);
        chosen_threads = threads;
        return Nothing{};
      },
      undefined);
}

Napi::Value return_freed_memory(const Napi::CallbackInfo& call) {
  return run_task(
      call.Env(), "memory",
      [] {
        xlembed::return_freed_memory();
        return Nothing{};
      },
      undefined);
}

}  // namespace

void register_info(Napi::Env env, Napi::Object exports) {
  exports.Set("info", Napi::Function::New(env, info));
  exports.Set("setThreads", Napi::Function::New(env, set_threads));
  exports.Set("returnFreedMemory", Napi::Function::New(env, return_freed_memory));
}

}  // namespace xlembed::addon
