#include "addon/files.h"

namespace xlembed::addon {

std::vector<TensorSource> parse_sources(const std::vector<Napi::Value>& values) {
  std::vector<TensorSource> sources;
  for (const Napi::Value& value : values) {
    const Fields source(value);
    std::vector<int64_t> shape;
    for (const Napi::Value& size : source.list("shape"))
      shape.push_back(size.As<Napi::Number>().Int64Value());
    sources.push_back({source.text("name"), source.text("path"), source.integer("offset"), std::move(shape),
                       parse_dtype(source.text("dtype"))});
  }
  return sources;
}

std::vector<TensorTarget> parse_targets(const Napi::Value& value) {
  std::vector<TensorTarget> targets;
  for (const Napi::Value& item : array_items(value, "targets")) {
    const Fields target(item);
    targets.push_back({target.text("name"), target.text("path"), target.integer("offset"),
                       parse_dtype(target.text("dtype"))});
  }
  return targets;
}

Napi::Array describe_tensors(Napi::Env env, const std::vector<NamedTensor>& tensors) {
  Napi::Array list = Napi::Array::New(env, tensors.size());
  for (uint32_t i = 0; i < tensors.size(); ++i) {
    const at::IntArrayRef sizes = tensors[i].tensor.sizes();
    Napi::Array shape = Napi::Array::New(env, sizes.size());
    for (uint32_t d = 0; d < sizes.size(); ++d) shape.Set(d, static_cast<double>(sizes[d]));
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", tensors[i].name);
    entry.Set("shape", shape);
    entry.Set("dtype", dtype_name(tensors[i].tensor.scalar_type()));
    list.Set(i, entry);
  }
  return list;
}

}  // namespace xlembed::addon
