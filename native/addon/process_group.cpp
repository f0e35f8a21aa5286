#include "addon/process_group.h"

#include "addon/store.h"
#include "core/encoder.h"

namespace xlembed::addon {
namespace {

ProcessGroupOptions parse_options(const Fields& fields) {
  return {.name = fields.text("name"),
          .rank = fields.integer("rank"),
          .size = fields.integer("size"),
          .device = parse_device(fields.text("device")),
          .interface = fields.text("interface"),
          .loopback = fields.boolean("loopback"),
          .timeout = std::chrono::milliseconds(fields.integer("timeout_ms"))};
}

Napi::Value create_process_group(const Napi::CallbackInfo& info) {
  const ProcessGroupOptions options = parse_options(Fields(info[1]));
  const std::string device = options.device.str();
  return run_task(
      info.Env(), device,
      [store = StoreHandle::from(info[0])->object(), options] {
        return std::make_shared<ProcessGroup>(*store, options);
      },
      [device](Napi::Env, std::shared_ptr<ProcessGroup>& group) {
        return ProcessGroupHandle::create(std::move(group), device);
      });
}

}  // namespace

void ProcessGroupHandle::register_in(Napi::Env env, Napi::Object exports) {
  define(env, {});
  exports.Set("createProcessGroup", Napi::Function::New(env, create_process_group));
}

}  // namespace xlembed::addon
