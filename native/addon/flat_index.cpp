#include "addon/flat_index.h"

#include "core/encoder.h"

namespace xlembed::addon {
namespace {

std::optional<kernels::Narrow> parse_scan(const std::string& scan) {
  if (scan == "float32") return std::nullopt;
  if (scan == "bfloat16") return kernels::Narrow::bfloat16;
  if (scan == "int8") return kernels::Narrow::int8;
  throw CodedError("INVALID_ARGUMENT", "expected scan float32, bfloat16 or int8, received " + scan);
}

Storage parse_storage(const std::string& storage) {
  if (storage == "float32") return Storage::float32;
  if (storage == "bfloat16") return Storage::bfloat16;
  if (storage == "int8") return Storage::int8;
  if (storage == "binary") return Storage::binary;
  throw CodedError("INVALID_ARGUMENT",
                   "expected storage float32, bfloat16, int8 or binary, received " + storage);
}

Napi::Value create_flat_index(const Napi::CallbackInfo& info) {
  const int64_t dimensions = info[0].As<Napi::Number>().Int64Value();
  const at::Device device = parse_device(info[1].As<Napi::String>());
  const auto narrow = parse_scan(info[2].As<Napi::String>());
  const Storage storage = parse_storage(info[3].As<Napi::String>());
  auto index = storage == Storage::float32 ? std::make_shared<FlatIndex>(dimensions, device, narrow)
                                           : std::make_shared<FlatIndex>(dimensions, device, storage);
  return FlatIndexHandle::create(std::move(index), device.str());
}

Napi::Value map_flat_index(const Napi::CallbackInfo& info) {
  const Fields fields(info[0]);
  const int64_t rows = fields.integer("rows"), dimensions = fields.integer("dimensions");
  auto store = mapped_vectors(fields.text("path"), fields.integer("offset"), rows, dimensions);
  return FlatIndexHandle::create(std::make_shared<FlatIndex>(dimensions, std::move(store), rows), "cpu");
}

Napi::Value search_result(Napi::Env env, const SearchResult& result) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("scores", typed_array<Napi::Float32Array>(env, result.scores));
  object.Set("ids", typed_array<Napi::Int32Array>(env, result.ids));
  return object;
}

}  // namespace

void FlatIndexHandle::register_in(Napi::Env env, Napi::Object exports) {
  define(
      env,
      {InstanceAccessor<&FlatIndexHandle::size>("size"),
       InstanceAccessor<&FlatIndexHandle::dimensions>("dimensions"),
       InstanceMethod<&FlatIndexHandle::add>("add"), InstanceMethod<&FlatIndexHandle::remove>("remove"),
       InstanceMethod<&FlatIndexHandle::vectors>("vectors"),
       InstanceMethod<&FlatIndexHandle::search>("search"), InstanceMethod<&FlatIndexHandle::ranks>("ranks")});
  exports.Set("createFlatIndex", Napi::Function::New(env, create_flat_index));
  exports.Set("mapFlatIndex", Napi::Function::New(env, map_flat_index));
}

Napi::Value FlatIndexHandle::size(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(object()->size()));
}

Napi::Value FlatIndexHandle::dimensions(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(object()->dimensions()));
}

Napi::Value FlatIndexHandle::add(const Napi::CallbackInfo& info) {
  return run_task(
      info.Env(), device(),
      [index = object(), vectors = float32_values(info[0], "vectors")] {
        index->add(vectors.data(), static_cast<int64_t>(vectors.size()) / index->dimensions());
        return index->bytes();
      },
      tell_memory());
}

Napi::Value FlatIndexHandle::remove(const Napi::CallbackInfo& info) {
  return run_task(
      info.Env(), device(),
      [index = object(), rows = int32_values(info[0], "rows")] {
        index->remove(rows.data(), static_cast<int64_t>(rows.size()));
        return Nothing{};
      },
      undefined);
}

Napi::Value FlatIndexHandle::vectors(const Napi::CallbackInfo& info) {
  const int64_t first = info[0].As<Napi::Number>().Int64Value(),
                count = info[1].As<Napi::Number>().Int64Value();
  return run_task(
      info.Env(), device(), [index = object(), first, count] { return index->vectors(first, count); },
      [](Napi::Env env, std::vector<float>& vectors) {
        return typed_array<Napi::Float32Array>(env, vectors);
      });
}

Napi::Value FlatIndexHandle::search(const Napi::CallbackInfo& info) {
  const bool all = info[2].IsUndefined();
  return run_task(
      info.Env(), device(),
      [index = object(), queries = float32_values(info[0], "queries"),
       k = info[1].As<Napi::Number>().Int64Value(), all,
       rows = all ? std::vector<int32_t>() : int32_values(info[2], "rows")] {
        const kernels::Subset subset{rows.data(), all ? -1 : static_cast<int64_t>(rows.size())};
        return index->search(queries.data(), static_cast<int64_t>(queries.size()) / index->dimensions(), k,
                             subset);
      },
      search_result);
}

Napi::Value FlatIndexHandle::ranks(const Napi::CallbackInfo& info) {
  return run_task(
      info.Env(), device(),
      [index = object(), queries = float32_values(info[0], "queries"),
       ids = int32_values(info[1], "relevantIds"), offsets = int32_values(info[2], "relevantOffsets")] {
        return index->ranks(queries.data(), static_cast<int64_t>(queries.size()) / index->dimensions(),
                            ids.data(), offsets.data());
      },
      [](Napi::Env env, std::vector<int32_t>& ranks) { return typed_array<Napi::Int32Array>(env, ranks); });
}

}  // namespace xlembed::addon
