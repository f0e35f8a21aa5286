// NativeTrainer of src/native.ts.
#pragma once

#include "addon/handle.h"
#include "core/trainer.h"

namespace xlembed::addon {

class TrainerHandle : public Handle<TrainerHandle, Trainer> {
 public:
  static constexpr const char* kName = "NativeTrainer";
  using Handle::Handle;
  static void register_in(Napi::Env env, Napi::Object exports);

 private:
  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value evaluate(const Napi::CallbackInfo& info);
  Napi::Value state(const Napi::CallbackInfo& info);
  Napi::Value fingerprint(const Napi::CallbackInfo& info);
  Napi::Value write_state(const Napi::CallbackInfo& info);
  Napi::Value read_state(const Napi::CallbackInfo& info);
};

}  // namespace xlembed::addon
