// Where tensors lie in files (TensorSource, TensorTarget and ParameterInfo of src/native.ts).
#pragma once

#include <vector>

#include "addon/arguments.h"
#include "core/parameters.h"

namespace xlembed::addon {

std::vector<TensorSource> parse_sources(const std::vector<Napi::Value>& values);
std::vector<TensorTarget> parse_targets(const Napi::Value& value);

// Names, shapes and types.
Napi::Array describe_tensors(Napi::Env env, const std::vector<NamedTensor>& tensors);

}  // namespace xlembed::addon
