// Products (product.h) of bfloat16 numbers by a matrix unit: operands rounded to nearest, sums in float32.
// Numbers below 2^-126 count as zero.
#pragma once

#include "kernels/amx.h"
#include "kernels/product.h"

#if defined(XLEMBED_AMX)

namespace xlembed::kernels {

// As multiply_fixed16; amx_granted().
template <typename Left, typename Right>
void multiply_bfloat16(const Matrix<Left>& a, const Matrix<Right>& b, ProductShape shape, float* c,
                       int64_t stride, bool add, ProductMemory& memory);

}  // namespace xlembed::kernels
#endif
