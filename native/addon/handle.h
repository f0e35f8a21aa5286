// A JavaScript object that owns a share of a C++ object.
#pragma once

#include <napi.h>

#include <memory>
#include <string>
#include <vector>

#include "addon/arguments.h"
#include "addon/task.h"

namespace xlembed::addon {

// Self derives from Handle<Self, Object> and names its class as `static constexpr const char* kName`.
template <typename Self, typename Object>
class Handle : public Napi::ObjectWrap<Self> {
 public:
  explicit Handle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Self>(info) {}

  // Called once in every environment (main thread, worker), which is a thread of its own.
  static void define(Napi::Env env, std::vector<Napi::ClassPropertyDescriptor<Self>> properties) {
    using Method = Napi::Value (Self::*)(const Napi::CallbackInfo&);
    properties.push_back(Self::InstanceMethod("dispose", static_cast<Method>(&Handle::dispose)));
    constructor_ = Napi::Persistent(Napi::ObjectWrap<Self>::DefineClass(env, Self::kName, properties));
    constructor_.SuppressDestruct();
  }

  // A new handle for an object that lives on `device`.
  static Napi::Object create(std::shared_ptr<Object> object, const std::string& device) {
    const Napi::Object handle = constructor_.New({});
    Self* self = Napi::ObjectWrap<Self>::Unwrap(handle);
    self->object_ = std::move(object);
    self->device_ = device;
    return handle;
  }

  // The handle given as an argument. Throws INVALID_ARGUMENT for anything else.
  static Self* from(const Napi::Value& value) {
    if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(constructor_.Value())) {
      throw CodedError("INVALID_ARGUMENT", std::string("expected a ") + Self::kName);
    }
    return Napi::ObjectWrap<Self>::Unwrap(value.As<Napi::Object>());
  }

  // A share of the object, for work that may outlive dispose(). Throws DISPOSED.
  std::shared_ptr<Object> object() const {
    if (!object_) throw CodedError("DISPOSED", std::string("this ") + Self::kName + " was disposed");
    return object_;
  }
  const std::string& device() const { return device_; }

  // Drops this share; what the object holds is freed on its device's thread once running work has ended.
  Napi::Value dispose(const Napi::CallbackInfo& info) {
    if (object_)
      Executor::for_device(device_).submit([object = std::move(object_)]() mutable { object.reset(); });
    object_.reset();
    return info.Env().Undefined();
  }

 private:
  inline static thread_local Napi::FunctionReference constructor_;
  std::shared_ptr<Object> object_;
  std::string device_;
};

}  // namespace xlembed::addon
