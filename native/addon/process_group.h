// NativeProcessGroup of src/native.ts.
#pragma once

#include "addon/handle.h"
#include "core/process_group.h"

namespace xlembed::addon {

class ProcessGroupHandle : public Handle<ProcessGroupHandle, ProcessGroup> {
 public:
  static constexpr const char* kName = "NativeProcessGroup";
  using Handle::Handle;
  static void register_in(Napi::Env env, Napi::Object exports);
};

}  // namespace xlembed::addon
