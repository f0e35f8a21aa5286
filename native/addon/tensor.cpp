#include "addon/tensor.h"

#include <array>
#include <cstring>

#include "core/encoder.h"

namespace xlembed::addon {
namespace {

// Smaller results are copied: memory that JavaScript borrows is returned only when the event loop turns.
constexpr size_t kSmallestShared = size_t{64} << 10;  // bytes

struct ElementType {
  const char* name;
  at::ScalarType torch;
  napi_typedarray_type array;
};

// float16 and bfloat16 have no typed array everywhere: data() widens them.
constexpr std::array<ElementType, 10> kElementTypes = {{
    {"float32", at::kFloat, napi_float32_array},
    {"float64", at::kDouble, napi_float64_array},
    {"int64", at::kLong, napi_bigint64_array},
    {"int32", at::kInt, napi_int32_array},
    {"int16", at::kShort, napi_int16_array},
    {"int8", at::kChar, napi_int8_array},
    {"uint8", at::kByte, napi_uint8_array},
    {"bool", at::kBool, napi_uint8_array},
    {"float16", at::kHalf, napi_float32_array},
    {"bfloat16", at::kBFloat16, napi_float32_array},
}};

const ElementType& element_type(at::ScalarType torch) {
  for (const ElementType& type : kElementTypes) {
    if (type.torch == torch) return type;
  }
  throw CodedError("MODEL_UNSUPPORTED", std::string("a tensor of dtype ") + at::toString(torch));
}

const ElementType& element_type(const std::string& name) {
  for (const ElementType& type : kElementTypes) {
    if (name == type.name) return type;
  }
  throw CodedError("INVALID_ARGUMENT", "expected a dtype of tensors, received " + name);
}

Napi::Value create_tensor(const Napi::CallbackInfo& info) {
  const auto array = info[0].As<Napi::TypedArray>();
  std::vector<int64_t> shape;
  for (const Napi::Value& size : array_items(info[1], "shape"))
    shape.push_back(size.As<Napi::Number>().Int64Value());
  const at::Tensor tensor = at::empty(shape, element_type(info[2].As<Napi::String>()).torch);
  if (array.ByteLength() != tensor.nbytes()) {
    throw CodedError("INVALID_ARGUMENT",
                     "expected " + std::to_string(tensor.nbytes()) + " bytes for the shape");
  }
  // TypedArray::ArrayBuffer() would refuse shared memory; napi_get_typedarray_info does not.
  void* source = nullptr;
  napi_get_typedarray_info(info.Env(), array, nullptr, nullptr, &source, nullptr, nullptr);
  if (tensor.nbytes() > 0) std::memcpy(tensor.mutable_data_ptr(), source, tensor.nbytes());
  return TensorHandle::wrap(tensor);
}

Napi::ArrayBuffer array_buffer(Napi::Env env, const at::Tensor& tensor) {
  const size_t bytes = tensor.nbytes();
  if (bytes < kSmallestShared) {
    Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, bytes);
    if (bytes > 0) std::memcpy(buffer.Data(), tensor.const_data_ptr(), bytes);
    return buffer;
  }
  auto* share = new at::Tensor(tensor);
  return Napi::ArrayBuffer::New(
      env, share->mutable_data_ptr(), bytes, [](Napi::Env, void*, at::Tensor* held) { delete held; }, share);
}

Napi::Value typed_array_over(Napi::Env env, const at::Tensor& tensor) {
  const napi_typedarray_type type = element_type(tensor.scalar_type()).array;
  napi_value array = nullptr;
  const napi_status status = napi_create_typedarray(env, type, static_cast<size_t>(tensor.numel()),
                                                    array_buffer(env, tensor), 0, &array);
  NAPI_THROW_IF_FAILED(env, status, Napi::Value());
  return {env, array};
}

bool is_half(at::ScalarType dtype) { return dtype == at::kHalf || dtype == at::kBFloat16; }

}  // namespace

void TensorHandle::register_in(Napi::Env env, Napi::Object exports) {
  define(env,
         {InstanceAccessor<&TensorHandle::shape>("shape"), InstanceAccessor<&TensorHandle::dtype>("dtype"),
          InstanceAccessor<&TensorHandle::device_name>("device"), InstanceMethod<&TensorHandle::data>("data"),
          InstanceMethod<&TensorHandle::to>("to")});
  exports.Set("createTensor", Napi::Function::New(env, create_tensor));
}

Napi::Object TensorHandle::wrap(const at::Tensor& tensor) {
  element_type(tensor.scalar_type());
  return create(std::make_shared<at::Tensor>(tensor.detach()), tensor.device().str());
}

Napi::Value TensorHandle::shape(const Napi::CallbackInfo& info) {
  const auto tensor = object();
  Napi::Array sizes = Napi::Array::New(info.Env(), static_cast<size_t>(tensor->dim()));
  for (uint32_t d = 0; d < sizes.Length(); ++d) sizes.Set(d, static_cast<double>(tensor->size(d)));
  return sizes;
}

Napi::Value TensorHandle::dtype(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), element_type(object()->scalar_type()).name);
}

Napi::Value TensorHandle::device_name(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), device());
}

Napi::Value TensorHandle::data(const Napi::CallbackInfo& info) {
  return run_task(
      info.Env(), device(),
      [tensor = object()] {
        const at::NoGradGuard no_grad;
        const at::ScalarType dtype = is_half(tensor->scalar_type()) ? at::kFloat : tensor->scalar_type();
        return tensor->to(at::kCPU, dtype).contiguous();
      },
      [](Napi::Env env, at::Tensor& tensor) { return typed_array_over(env, tensor); });
}

Napi::Value TensorHandle::to(const Napi::CallbackInfo& info) {
  const at::Device target = parse_device(info[0].As<Napi::String>());
  const at::ScalarType dtype = element_type(info[1].As<Napi::String>()).torch;
  return run_task(
      info.Env(), device(),
      [tensor = object(), target, dtype] {
        const at::NoGradGuard no_grad;
        return tensor->to(target, dtype);
      },
      [](Napi::Env, at::Tensor& tensor) -> Napi::Value { return TensorHandle::wrap(tensor); });
}

}  // namespace xlembed::addon
