// What require() of the addon gives: one registration per handle (NativeAddon of src/native.ts).
#include <napi.h>

#include <cstdlib>

#include "addon/benchmark.h"
#include "addon/encoder.h"
#include "addon/faiss_index.h"
#include "addon/flat_index.h"
#include "addon/info.h"
#include "addon/process_group.h"
#include "addon/script_module.h"
#include "addon/store.h"
#include "addon/tensor.h"
#include "addon/trainer.h"

namespace xlembed::addon {
namespace {

// Before libtorch allocates its first tensor: those of 2 MB and more then lie in huge pages where the system
// has them (c10/core/impl/alloc_cpu.cpp). A large result comes from the system anew each time, and one page
// fault for every 4 KB takes longer than filling it. Who has set the variable keeps it.
[[maybe_unused]] const int huge_pages = setenv("THP_MEM_ALLOC_ENABLE", "1", /*overwrite=*/0);

// Before libtorch makes a process group: by default a thread of its own ends the process where an exchange
// over NCCL fails or takes too long, while who waits for it waits on. So the wait ends, and throws.
[[maybe_unused]] const int blocking_wait = setenv("TORCH_NCCL_BLOCKING_WAIT", "1", /*overwrite=*/0);

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  register_info(env, exports);
  EncoderHandle::register_in(env, exports);
  TrainerHandle::register_in(env, exports);
  FlatIndexHandle::register_in(env, exports);
  FaissIndexHandle::register_in(env, exports);
  TensorHandle::register_in(env, exports);
  ScriptModuleHandle::register_in(env, exports);
  KernelBenchmarkHandle::register_in(env, exports);
  StoreHandle::register_in(env, exports);
  ProcessGroupHandle::register_in(env, exports);
  return exports;
}

NODE_API_MODULE(xlembed, initialise)

}  // namespace
}  // namespace xlembed::addon
