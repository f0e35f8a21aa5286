#include "addon/faiss_index.h"

namespace xlembed::addon {
namespace {

// Labels cross as float64: whole numbers below 2^53.
constexpr int64_t kLabelLimit = int64_t{1} << 53;

std::vector<int64_t> label_values(const Napi::Value& value) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array) {
    throw CodedError("INVALID_ARGUMENT", "expected a Float64Array for labels");
  }
  const auto array = value.As<Napi::Float64Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

Napi::Value label_array(Napi::Env env, const std::vector<int64_t>& labels) {
  for (const int64_t label : labels) {
    if (label < -1 || label >= kLabelLimit) {
      throw CodedError("MALFORMED_FILE",
                       "expected labels from 0 to 2^53 - 1, received " + std::to_string(label));
    }
  }
  return typed_array<Napi::Float64Array>(env, std::vector<double>(labels.begin(), labels.end()));
}

Napi::Value handle_of(Napi::Env, std::shared_ptr<FaissIndex>& index) {
  return FaissIndexHandle::create(index, "cpu");
}

Napi::Value create_faiss_index(const Napi::CallbackInfo& info) {
  const int64_t dimensions = info[0].As<Napi::Number>().Int64Value();
  const std::string factory = info[1].As<Napi::String>(), metric = info[2].As<Napi::String>();
  return run_task(
      info.Env(), "cpu",
      [=] {
        return FaissIndex::create(
            dimensions, factory, metric == "l2" ? FaissIndex::Metric::l2 : FaissIndex::Metric::inner_product);
      },
      handle_of);
}

Napi::Value load_faiss_index(const Napi::CallbackInfo& info) {
  const std::string path = info[0].As<Napi::String>();
  const bool memory_map = info[1].As<Napi::Boolean>();
  return run_task(info.Env(), "cpu", [=] { return FaissIndex::read(path, memory_map); }, handle_of);
}

}  // namespace

void FaissIndexHandle::register_in(Napi::Env env, Napi::Object exports) {
  define(env,
         {InstanceAccessor<&FaissIndexHandle::size>("size"),
          InstanceAccessor<&FaissIndexHandle::dimensions>("dimensions"),
          InstanceAccessor<&FaissIndexHandle::trained>("trained"),
          InstanceAccessor<&FaissIndexHandle::metric>("metric"),
          InstanceMethod<&FaissIndexHandle::train>("train"), InstanceMethod<&FaissIndexHandle::add>("add"),
          InstanceMethod<&FaissIndexHandle::remove>("remove"),
          InstanceMethod<&FaissIndexHandle::labels>("labels"),
          InstanceMethod<&FaissIndexHandle::set_parameter>("setParameter"),
          InstanceMethod<&FaissIndexHandle::search>("search"),
          InstanceMethod<&FaissIndexHandle::write>("write")});
  exports.Set("createFaissIndex", Napi::Function::New(env, create_faiss_index));
  exports.Set("loadFaissIndex", Napi::Function::New(env, load_faiss_index));
}

Napi::Value FaissIndexHandle::size(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(object()->size()));
}

Napi::Value FaissIndexHandle::dimensions(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(object()->dimensions()));
}

Napi::Value FaissIndexHandle::trained(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), object()->trained());
}

Napi::Value FaissIndexHandle::metric(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), object()->metric() == FaissIndex::Metric::l2 ? "l2" : "inner_product");
}

Napi::Value FaissIndexHandle::train(const Napi::CallbackInfo& info) {
  return run_task(
      info.Env(), device(),
      [index = object(), vectors = float32_values(info[0], "vectors")] {
        index->train(vectors.data(), static_cast<int64_t>(vectors.size()) / index->dimensions());
        return Nothing{};
      },
      undefined);
}

Napi::Value FaissIndexHandle::add(const Napi::CallbackInfo& info) {
  return run_task(
      info.Env(), device(),
      [index = object(), vectors = float32_values(info[0], "vectors"), labels = label_values(info[1])] {
        index->add(vectors.data(), labels.data(), static_cast<int64_t>(labels.size()));
        return index->bytes();
      },
      tell_memory());
}

Napi::Value FaissIndexHandle::remove(const Napi::CallbackInfo& info) {
  return run_task(
      info.Env(), device(),
      [index = object(), labels = label_values(info[0])] {
        return index->remove(labels.data(), static_cast<int64_t>(labels.size()));
      },
      [](Napi::Env env, int64_t& removed) { return Napi::Number::New(env, static_cast<double>(removed)); });
}

Napi::Value FaissIndexHandle::labels(const Napi::CallbackInfo& info) {
  return run_task(info.Env(), device(), [index = object()] { return index->labels(); }, label_array);
}

Napi::Value FaissIndexHandle::set_parameter(const Napi::CallbackInfo& info) {
  const std::string name = info[0].As<Napi::String>();
  const double value = info[1].As<Napi::Number>();
  return run_task(
      info.Env(), device(),
      [index = object(), name, value] {
        index->set_parameter(name, value);
        return Nothing{};
      },
      undefined);
}

Napi::Value FaissIndexHandle::search(const Napi::CallbackInfo& info) {
  return run_task(
      info.Env(), device(),
      [index = object(), queries = float32_values(info[0], "queries"),
       k = info[1].As<Napi::Number>().Int64Value()] {
        return index->search(queries.data(), static_cast<int64_t>(queries.size()) / index->dimensions(), k);
      },
      [](Napi::Env env, FaissResult& result) {
        Napi::Object object = Napi::Object::New(env);
        object.Set("scores", typed_array<Napi::Float32Array>(env, result.scores));
        object.Set("labels", label_array(env, result.labels));
        return object;
      });
}

Napi::Value FaissIndexHandle::write(const Napi::CallbackInfo& info) {
  const std::string path = info[0].As<Napi::String>();
  return run_task(
      info.Env(), device(),
      [index = object(), path] {
        index->write(path);
        return Nothing{};
      },
      undefined);
}

}  // namespace xlembed::addon
