// A JavaScript object that owns a share of a C++ object.
#pragma once

#include <napi.h>

#include <memory>
#include <string>
#include <vector>

#include "addon/arguments.h"
#include "addon/task.h"

namespace xlembed::addon {

// Bytes that the garbage collector is told of: a handle is small, what it holds may not be, and is freed when
// the handle is collected. For the JavaScript thread.
class HeldMemory {
 public:
  void set(Napi::Env env, int64_t bytes) {
    if (let_go_ || bytes == bytes_) return;
    Napi::MemoryManagement::AdjustExternalMemory(env, bytes - bytes_);
    bytes_ = bytes;
  }
  // What work that still runs says later does not count.
  void let_go(Napi::Env env) {
    set(env, 0);
    let_go_ = true;
  }
  int64_t bytes() const { return bytes_; }

 private:
  int64_t bytes_ = 0;
  bool let_go_ = false;
};

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
    self->memory_->set(handle.Env(), Self::bytes(*self->object_));
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
    memory_->let_go(info.Env());
    drop();
    return info.Env().Undefined();
  }

  // Called when the handle is collected. Freeing gigabytes would stop the event loop for a while.
  void Finalize(Napi::Env env) override {
    const bool is_large = memory_->bytes() >= kLarge;
    memory_->let_go(env);
    if (is_large) drop();
  }

 protected:
  // What an object takes; 0 for one that does not tell, and is small.
  static int64_t bytes(const Object& object) {
    if constexpr (requires { object.bytes(); }) return object.bytes();
    return 0;
  }

  // For work that has changed how much the object takes, and gives the bytes.
  auto tell_memory() const {
    return [memory = memory_](Napi::Env env, int64_t& bytes) {
      memory->set(env, bytes);
      return env.Undefined();
    };
  }

 private:
  static constexpr int64_t kLarge = int64_t{1} << 20;

  void drop() {
    if (object_)
      Executor::for_device(device_).submit([object = std::move(object_)]() mutable { object.reset(); });
    object_.reset();
  }

  inline static thread_local Napi::FunctionReference constructor_;
  std::shared_ptr<Object> object_;
  std::string device_;
  std::shared_ptr<HeldMemory> memory_ = std::make_shared<HeldMemory>();
};

}  // namespace xlembed::addon
