// NativeFlatIndex of src/native.ts.
#pragma once

#include "addon/handle.h"
#include "core/flat_index.h"

namespace xlembed::addon {

class FlatIndexHandle : public Handle<FlatIndexHandle, FlatIndex> {
 public:
  static constexpr const char* kName = "NativeFlatIndex";
  using Handle::Handle;
  static void register_in(Napi::Env env, Napi::Object exports);

 private:
  Napi::Value size(const Napi::CallbackInfo& info);
  Napi::Value dimensions(const Napi::CallbackInfo& info);
  Napi::Value add(const Napi::CallbackInfo& info);
  Napi::Value remove(const Napi::CallbackInfo& info);
  Napi::Value vectors(const Napi::CallbackInfo& info);
  Napi::Value search(const Napi::CallbackInfo& info);
  Napi::Value ranks(const Napi::CallbackInfo& info);
};

}  // namespace xlembed::addon
