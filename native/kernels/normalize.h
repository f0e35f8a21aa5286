// Rows brought to unit length, as torch.nn.functional.normalize does.
//   forward:  y = x / max(|x|, 1e-12)
//   backward: dx = (g - y (y . g)) / |x|, and g / 1e-12 where |x| is below that
// T is float or bfloat16; the sums are float32.
#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"
#include "kernels/stream.h"

namespace xlembed::kernels {

inline constexpr float normalize_epsilon = 1e-12f;

// input, output (rows, D); norms (rows): |x|, kept for the backward pass
template <typename T>
void normalize_forward(const T* input, int64_t rows, int64_t dimensions, T* output, float* norms);

// input, output_gradient, input_gradient (rows, D). Takes x rather than y: in bfloat16 y is already rounded.
template <typename T>
void normalize_backward(const T* input, const float* norms, const T* output_gradient, int64_t rows,
                        int64_t dimensions, T* input_gradient);

namespace cuda {

template <typename T>
void normalize_forward(const T* input, int64_t rows, int64_t dimensions, T* output, float* norms,
                       CudaStream stream);
template <typename T>
void normalize_backward(const T* input, const float* norms, const T* output_gradient, int64_t rows,
                        int64_t dimensions, T* input_gradient, CudaStream stream);

}  // namespace cuda
}  // namespace xlembed::kernels
