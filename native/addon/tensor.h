// NativeTensor of src/native.ts.
#pragma once

#include "addon/handle.h"
#include "core/torch.h"

namespace xlembed::addon {

class TensorHandle : public Handle<TensorHandle, at::Tensor> {
 public:
  static constexpr const char* kName = "NativeTensor";
  using Handle::Handle;
  static void register_in(Napi::Env env, Napi::Object exports);

  // A handle for a tensor of a type that JavaScript can have. Throws MODEL_UNSUPPORTED.
  static Napi::Object wrap(const at::Tensor& tensor);

  static int64_t bytes(const at::Tensor& tensor) { return static_cast<int64_t>(tensor.nbytes()); }

 private:
  Napi::Value shape(const Napi::CallbackInfo& info);
  Napi::Value dtype(const Napi::CallbackInfo& info);
  Napi::Value device_name(const Napi::CallbackInfo& info);
  Napi::Value data(const Napi::CallbackInfo& info);
  Napi::Value to(const Napi::CallbackInfo& info);
};

}  // namespace xlembed::addon
