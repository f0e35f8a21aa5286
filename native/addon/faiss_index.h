// NativeFaissIndex of src/native.ts.
#pragma once

#include "addon/handle.h"
#include "core/faiss_index.h"

namespace xlembed::addon {

class FaissIndexHandle : public Handle<FaissIndexHandle, FaissIndex> {
 public:
  static constexpr const char* kName = "NativeFaissIndex";
  using Handle::Handle;
  static void register_in(Napi::Env env, Napi::Object exports);

 private:
  Napi::Value size(const Napi::CallbackInfo& info);
  Napi::Value dimensions(const Napi::CallbackInfo& info);
  Napi::Value trained(const Napi::CallbackInfo& info);
  Napi::Value metric(const Napi::CallbackInfo& info);
  Napi::Value train(const Napi::CallbackInfo& info);
  Napi::Value add(const Napi::CallbackInfo& info);
  Napi::Value remove(const Napi::CallbackInfo& info);
  Napi::Value labels(const Napi::CallbackInfo& info);
  Napi::Value set_parameter(const Napi::CallbackInfo& info);
  Napi::Value search(const Napi::CallbackInfo& info);
  Napi::Value write(const Napi::CallbackInfo& info);
};

}  // namespace xlembed::addon
