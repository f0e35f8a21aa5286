// Calls a kernel on the device that a tensor lives on. The CUDA twin of an op has the CPU version's
// parameters and then the stream, which is libtorch's current one: kernels and libtorch's own work stay in
// order without waiting.
#pragma once

#include "core/error.h"
#include "core/torch.h"
#include "kernels/bfloat16.h"

#ifdef XLEMBED_WITH_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#define XLEMBED_LAUNCH(tensor, kernel, ...)                                                             \
  do {                                                                                                  \
    if ((tensor).is_cuda()) {                                                                           \
      ::xlembed::kernels::cuda::kernel(__VA_ARGS__,                                                     \
                                       at::cuda::getCurrentCUDAStream((tensor).get_device()).stream()); \
      C10_CUDA_KERNEL_LAUNCH_CHECK();                                                                   \
    } else {                                                                                            \
      ::xlembed::require_cpu(tensor);                                                                   \
      ::xlembed::kernels::kernel(__VA_ARGS__);                                                          \
    }                                                                                                   \
  } while (false)
#else
#define XLEMBED_LAUNCH(tensor, kernel, ...)  \
  do {                                       \
    ::xlembed::require_cpu(tensor);          \
    ::xlembed::kernels::kernel(__VA_ARGS__); \
  } while (false)
#endif

namespace xlembed {

inline void require_cpu(const at::Tensor& tensor) {
  if (tensor.is_cpu()) return;
  throw CodedError("DEVICE_UNAVAILABLE", tensor.device().str() + ": this build has kernels for the CPU only");
}

inline const kernels::bfloat16* as_kernel_type(const at::BFloat16* data) {
  return reinterpret_cast<const kernels::bfloat16*>(data);
}
inline kernels::bfloat16* as_kernel_type(at::BFloat16* data) {
  return reinterpret_cast<kernels::bfloat16*>(data);
}
inline const float* as_kernel_type(const float* data) { return data; }
inline float* as_kernel_type(float* data) { return data; }

// A dense tensor's elements as the kernels take them; T is float or at::BFloat16.
template <typename T>
auto elements(const at::Tensor& tensor) {
  return as_kernel_type(tensor.const_data_ptr<T>());
}
template <typename T>
auto mutable_elements(const at::Tensor& tensor) {
  return as_kernel_type(tensor.mutable_data_ptr<T>());
}

// Types that the kernels read and write themselves; others pass through float32.
inline bool is_kernel_dtype(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kBFloat16;
}

}  // namespace xlembed
