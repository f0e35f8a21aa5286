#include "addon/script_module.h"

#include <ATen/core/Dict.h>
#include <ATen/core/function_schema.h>
#include <ATen/core/jit_type.h>

#include "addon/tensor.h"
#include "core/encoder.h"
#include "core/script_embedding.h"

namespace xlembed::addon {
namespace {

Napi::Object tagged(Napi::Env env, const char* tag, const Napi::Value& value) {
  Napi::Object object = Napi::Object::New(env);
  object.Set(tag, value);
  return object;
}

// NativeScriptValue: one key says what it is.
Napi::Object to_javascript(Napi::Env env, const c10::IValue& value);

Napi::Array entry(Napi::Env env, const std::string& name, const c10::IValue& value) {
  Napi::Array pair = Napi::Array::New(env, 2);
  pair.Set(uint32_t{0}, name);
  pair.Set(uint32_t{1}, to_javascript(env, value));
  return pair;
}

Napi::Object tuple_to_javascript(Napi::Env env, const c10::IValue& value) {
  const auto& elements = value.toTupleRef().elements();
  const auto type = value.type()->cast<c10::TupleType>();
  Napi::Array items = Napi::Array::New(env, elements.size());
  for (uint32_t i = 0; i < items.Length(); ++i) {
    if (type->schema()) {
      items.Set(i, entry(env, type->schema()->arguments()[i].name(), elements[i]));
    } else {
      items.Set(i, to_javascript(env, elements[i]));
    }
  }
  return tagged(env, type->schema() ? "entries" : "items", items);
}

Napi::Object to_javascript(Napi::Env env, const c10::IValue& value) {
  if (value.isTensor()) return tagged(env, "tensor", TensorHandle::wrap(value.toTensor()));
  if (value.isTuple()) return tuple_to_javascript(env, value);
  if (value.isList()) {
    Napi::Array items = Napi::Array::New(env);
    for (const c10::IValue& item : value.toListRef()) items.Set(items.Length(), to_javascript(env, item));
    return tagged(env, "items", items);
  }
  if (value.isGenericDict()) {
    Napi::Array entries = Napi::Array::New(env);
    for (const auto& pair : value.toGenericDict()) {
      if (!pair.key().isString())
        throw CodedError("MODEL_UNSUPPORTED", "an output with keys that are not strings");
      entries.Set(entries.Length(), entry(env, pair.key().toStringRef(), pair.value()));
    }
    return tagged(env, "entries", entries);
  }
  if (value.isNone()) return tagged(env, "value", env.Null());
  if (value.isBool()) return tagged(env, "value", Napi::Boolean::New(env, value.toBool()));
  if (value.isDouble()) return tagged(env, "value", Napi::Number::New(env, value.toDouble()));
  if (value.isInt()) return tagged(env, "value", Napi::Number::New(env, static_cast<double>(value.toInt())));
  if (value.isString()) return tagged(env, "value", Napi::String::New(env, value.toStringRef()));
  throw CodedError("MODEL_UNSUPPORTED", "an output of type " + value.type()->annotation_str());
}

Napi::Value load_script_module(const Napi::CallbackInfo& info) {
  const Fields options(info[0]);
  const at::Device device = parse_device(options.text("device"));
  return run_task(
      info.Env(), device.str(),
      [path = options.text("path"), freeze = options.boolean("freeze"), device] {
        return std::make_shared<ScriptModule>(path, device, freeze);
      },
      [](Napi::Env, std::shared_ptr<ScriptModule>& module) {
        return ScriptModuleHandle::create(module, module->device().str());
      });
}

ScriptEmbeddingOptions parse_embedding_options(const Fields& fields) {
  return {.output_name = fields.text("outputName"),
          .output_index = fields.integer("outputIndex"),
          .pooling = fields.text("pooling"),
          .normalize = fields.boolean("normalize"),
          .pad_id = fields.integer("padId")};
}

}  // namespace

void ScriptModuleHandle::register_in(Napi::Env env, Napi::Object exports) {
  define(env, {InstanceAccessor<&ScriptModuleHandle::methods>("methods"),
               InstanceMethod<&ScriptModuleHandle::call>("call"),
               InstanceMethod<&ScriptModuleHandle::embed>("embed")});
  exports.Set("loadScriptModule", Napi::Function::New(env, load_script_module));
}

Napi::Value ScriptModuleHandle::methods(const Napi::CallbackInfo& info) {
  const auto module = object();
  Napi::Array names = Napi::Array::New(info.Env());
  for (const std::string& name : module->methods()) names.Set(names.Length(), name);
  return names;
}

Napi::Value ScriptModuleHandle::call(const Napi::CallbackInfo& info) {
  std::vector<at::Tensor> inputs;
  for (const Napi::Value& value : array_items(info[1], "inputs")) {
    inputs.push_back(*TensorHandle::from(value)->object());
  }
  return run_task(
      info.Env(), device(),
      [module = object(), method = info[0].As<Napi::String>().Utf8Value(), inputs = std::move(inputs)] {
        return module->run(method, inputs);
      },
      [](Napi::Env env, c10::IValue& output) { return to_javascript(env, output); });
}

Napi::Value ScriptModuleHandle::embed(const Napi::CallbackInfo& info) {
  const Fields batch(info[0]);
  return run_task(
      info.Env(), device(),
      [module = object(), ids = int32_values(batch.value("inputIds"), "inputIds"),
       cumulative = int32_values(batch.value("cumulativeSeqLengths"), "cumulativeSeqLengths"),
       options = parse_embedding_options(Fields(info[1]))] {
        return xlembed::embed(*module, ids, cumulative, options);
      },
      [](Napi::Env env, ScriptEmbeddings& embeddings) {
        Napi::Object result = Napi::Object::New(env);
        result.Set("embeddings", typed_array<Napi::Float32Array>(env, embeddings.values));
        result.Set("dimensions", static_cast<double>(embeddings.dimensions));
        return result;
      });
}

}  // namespace xlembed::addon
