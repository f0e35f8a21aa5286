// NativeScriptModule of src/native.ts.
#pragma once

#include "addon/handle.h"
#include "core/script_module.h"

namespace xlembed::addon {

class ScriptModuleHandle : public Handle<ScriptModuleHandle, ScriptModule> {
 public:
  static constexpr const char* kName = "NativeScriptModule";
  using Handle::Handle;
  static void register_in(Napi::Env env, Napi::Object exports);

 private:
  Napi::Value methods(const Napi::CallbackInfo& info);
  Napi::Value call(const Napi::CallbackInfo& info);
  Napi::Value embed(const Napi::CallbackInfo& info);
};

}  // namespace xlembed::addon
