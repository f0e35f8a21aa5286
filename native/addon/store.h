// NativeStore of src/native.ts.
#pragma once

#include "addon/handle.h"
#include "core/store.h"

namespace xlembed::addon {

class StoreHandle : public Handle<StoreHandle, Store> {
 public:
  static constexpr const char* kName = "NativeStore";
  using Handle::Handle;
  static void register_in(Napi::Env env, Napi::Object exports);

 private:
  Napi::Value port(const Napi::CallbackInfo& info);
  Napi::Value add(const Napi::CallbackInfo& info);
  Napi::Value set(const Napi::CallbackInfo& info);
  Napi::Value find(const Napi::CallbackInfo& info);
};

}  // namespace xlembed::addon
