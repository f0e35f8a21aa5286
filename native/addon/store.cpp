#include "addon/store.h"

namespace xlembed::addon {
namespace {

Napi::Value open_store(const Napi::CallbackInfo& info) {
  const Fields options(info[0]);
  return run_task(
      info.Env(), Executor::kNetwork,
      [host = options.text("host"), port = static_cast<uint16_t>(options.integer("port")),
       serve = options.boolean("serve"), timeout = std::chrono::milliseconds(options.integer("timeout_ms"))] {
        return std::make_shared<Store>(host, port, serve, timeout);
      },
      [](Napi::Env, std::shared_ptr<Store>& store) {
        return StoreHandle::create(std::move(store), Executor::kNetwork);
      });
}

}  // namespace

void StoreHandle::register_in(Napi::Env env, Napi::Object exports) {
  define(env, {InstanceAccessor<&StoreHandle::port>("port"), InstanceMethod<&StoreHandle::add>("add"),
               InstanceMethod<&StoreHandle::set>("set"), InstanceMethod<&StoreHandle::find>("find")});
  exports.Set("openStore", Napi::Function::New(env, open_store));
}

Napi::Value StoreHandle::port(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), object()->port());
}

Napi::Value StoreHandle::add(const Napi::CallbackInfo& info) {
  return run_task(
      info.Env(), device(),
      [store = object(), key = info[0].As<Napi::String>().Utf8Value(),
       amount = info[1].As<Napi::Number>().Int64Value()] { return store->add(key, amount); },
      [](Napi::Env env, int64_t& sum) { return Napi::Number::New(env, static_cast<double>(sum)); });
}

Napi::Value StoreHandle::set(const Napi::CallbackInfo& info) {
  return run_task(
      info.Env(), device(),
      [store = object(), key = info[0].As<Napi::String>().Utf8Value(),
       text = info[1].As<Napi::String>().Utf8Value()] {
        store->set(key, text);
        return Nothing{};
      },
      undefined);
}

Napi::Value StoreHandle::find(const Napi::CallbackInfo& info) {
  return run_task(
      info.Env(), device(),
      [store = object(), key = info[0].As<Napi::String>().Utf8Value()] { return store->find(key); },
      [](Napi::Env env, std::optional<std::string>& text) {
        return text ? Napi::String::New(env, *text) : env.Undefined();
      });
}

}  // namespace xlembed::addon
