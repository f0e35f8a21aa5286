// One vector per sequence out of one vector per token, over sequences laid end to end.
//   mean:  pooled_b = sum over the sequence's tokens of hidden_t / length
//   first: pooled_b = hidden of the sequence's first token
//   max:   pooled_bd = largest hidden_td of the sequence (equal values: the first token's)
// Sequence b holds tokens cumulative[b] .. cumulative[b + 1]; an empty one gives zeros and takes no gradient.
// T is float or bfloat16; sums are kept in float32. The backward functions write every element of
// hidden_gradient.
#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"
#include "kernels/stream.h"

namespace xlembed::kernels {

struct PoolShape {
  int64_t sequences;   // B
  int64_t tokens;      // T, cumulative[B]
  int64_t dimensions;  // D
};

// hidden (T, D), cumulative (B + 1), pooled (B, D)
template <typename T>
void pool_mean_forward(const T* hidden, const int32_t* cumulative, PoolShape shape, T* pooled);
template <typename T>
void pool_mean_backward(const T* pooled_gradient, const int32_t* cumulative, PoolShape shape,
                        T* hidden_gradient);

template <typename T>
void pool_first_forward(const T* hidden, const int32_t* cumulative, PoolShape shape, T* pooled);
template <typename T>
void pool_first_backward(const T* pooled_gradient, const int32_t* cumulative, PoolShape shape,
                         T* hidden_gradient);

// winners (B, D): the token that gave each maximum, -1 for an empty sequence
template <typename T>
void pool_max_forward(const T* hidden, const int32_t* cumulative, PoolShape shape, T* pooled,
                      int32_t* winners);
template <typename T>
void pool_max_backward(const T* pooled_gradient, const int32_t* winners, const int32_t* cumulative,
                       PoolShape shape, T* hidden_gradient);

namespace cuda {

template <typename T>
void pool_mean_forward(const T* hidden, const int32_t* cumulative, PoolShape shape, T* pooled,
                       CudaStream stream);
template <typename T>
void pool_mean_backward(const T* pooled_gradient, const int32_t* cumulative, PoolShape shape,
                        T* hidden_gradient, CudaStream stream);
template <typename T>
void pool_first_forward(const T* hidden, const int32_t* cumulative, PoolShape shape, T* pooled,
                        CudaStream stream);
template <typename T>
void pool_first_backward(const T* pooled_gradient, const int32_t* cumulative, PoolShape shape,
                         T* hidden_gradient, CudaStream stream);
template <typename T>
void pool_max_forward(const T* hidden, const int32_t* cumulative, PoolShape shape, T* pooled,
                      int32_t* winners, CudaStream stream);
template <typename T>
void pool_max_backward(const T* pooled_gradient, const int32_t* winners, const int32_t* cumulative,
                       PoolShape shape, T* hidden_gradient, CudaStream stream);

}  // namespace cuda
}  // namespace xlembed::kernels
