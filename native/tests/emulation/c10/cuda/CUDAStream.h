// libtorch's streams on the CPU, where the emulated kernels have run when their launch returns.
#pragma once

#include <c10/core/Device.h>

#include "kernels/stream.h"

using cudaStream_t = xlembed::kernels::CudaStream;

namespace c10::cuda {

struct CUDAStream {
  cudaStream_t stream() const { return nullptr; }
};
inline CUDAStream getCurrentCUDAStream(DeviceIndex) { return {}; }

}  // namespace c10::cuda
