// JavaScript values to C++ ones. TypeScript has validated them: a wrong type here is a programming error,
// which node-addon-api turns into an exception that names the field.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "core/error.h"
#include "core/torch.h"

namespace xlembed::addon {

inline std::vector<Napi::Value> array_items(const Napi::Value& value, const char* name) {
  if (!value.IsArray()) throw CodedError("INVALID_ARGUMENT", std::string("expected an array for ") + name);
  const auto array = value.As<Napi::Array>();
  std::vector<Napi::Value> items;
  for (uint32_t i = 0; i < array.Length(); ++i) items.push_back(array.Get(i));
  return items;
}

class Fields {
 public:
  explicit Fields(const Napi::Value& value) : object_(require(value)) {}

  double number(const char* name) const { return get(name, napi_number, "a number").As<Napi::Number>(); }
  int64_t integer(const char* name) const {
    return get(name, napi_number, "a number").As<Napi::Number>().Int64Value();
  }
  bool boolean(const char* name) const { return get(name, napi_boolean, "a boolean").As<Napi::Boolean>(); }
  std::string text(const char* name) const { return get(name, napi_string, "a string").As<Napi::String>(); }
  double number_or(const char* name, double fallback) const { return has(name) ? number(name) : fallback; }
  std::string text_or(const char* name, const std::string& fallback) const {
    return has(name) ? text(name) : fallback;
  }
  // Empty when there is no such field.
  std::vector<double> numbers(const char* name) const {
    std::vector<double> values;
    if (!has(name)) return values;
    for (const Napi::Value& item : list(name)) values.push_back(item.As<Napi::Number>());
    return values;
  }
  Napi::Value value(const char* name) const { return object_.Get(name); }
  bool has(const char* name) const { return !object_.Get(name).IsUndefined(); }
  std::vector<Napi::Value> list(const char* name) const { return array_items(object_.Get(name), name); }

 private:
  static Napi::Object require(const Napi::Value& value) {
    if (!value.IsObject()) throw CodedError("INVALID_ARGUMENT", "expected an object");
    return value.As<Napi::Object>();
  }
  Napi::Value get(const char* name, napi_valuetype type, const char* expected) const {
    const Napi::Value found = object_.Get(name);
    if (found.Type() != type) {
      throw CodedError("INVALID_ARGUMENT", std::string("expected ") + expected + " for " + name);
    }
    return found;
  }
  Napi::Object object_;
};

inline std::vector<int32_t> int32_values(const Napi::Value& value, const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) {
    throw CodedError("INVALID_ARGUMENT", std::string("expected an Int32Array for ") + name);
  }
  const auto array = value.As<Napi::Int32Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

inline std::vector<float> float32_values(const Napi::Value& value, const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float32_array) {
    throw CodedError("INVALID_ARGUMENT", std::string("expected a Float32Array for ") + name);
  }
  const auto array = value.As<Napi::Float32Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

template <typename Array, typename T>
Array typed_array(Napi::Env env, const std::vector<T>& values) {
  Array array = Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

inline at::ScalarType parse_dtype(const std::string& text) {
  if (text == "float32") return at::kFloat;
  if (text == "bfloat16") return at::kBFloat16;
  if (text == "float16") return at::kHalf;
  throw CodedError("INVALID_ARGUMENT", "expected dtype float32, bfloat16 or float16, received " + text);
}

inline const char* dtype_name(at::ScalarType dtype) {
  if (dtype == at::kBFloat16) return "bfloat16";
  return dtype == at::kHalf ? "float16" : "float32";
}

}  // namespace xlembed::addon
