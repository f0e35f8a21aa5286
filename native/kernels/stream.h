// cudaStream_t without CUDA's headers, so that one declaration serves files with and without them.
#pragma once

struct CUstream_st;

namespace xlembed::kernels {

using CudaStream = CUstream_st*;

}  // namespace xlembed::kernels
