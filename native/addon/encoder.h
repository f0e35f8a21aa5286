// NativeEncoder of src/native.ts.
#pragma once

#include "addon/handle.h"
#include "core/encoder.h"

namespace xlembed::addon {

class EncoderHandle : public Handle<EncoderHandle, Encoder> {
 public:
  static constexpr const char* kName = "NativeEncoder";
  using Handle::Handle;
  static void register_in(Napi::Env env, Napi::Object exports);

 private:
  Napi::Value encode(const Napi::CallbackInfo& info);
  Napi::Value dimensions(const Napi::CallbackInfo& info);
  Napi::Value parameters(const Napi::CallbackInfo& info);
  Napi::Value write_parameters(const Napi::CallbackInfo& info);
  Napi::Value read_parameters(const Napi::CallbackInfo& info);
  Napi::Value add_adapters(const Napi::CallbackInfo& info);
  Napi::Value adapter_parameters(const Napi::CallbackInfo& info);
  Napi::Value write_adapters(const Napi::CallbackInfo& info);
  Napi::Value merge_adapters(const Napi::CallbackInfo& info);
};

}  // namespace xlembed::addon
