// Products of matrices with float32 sums, for the CPU: C = A . B or C += A . B.
//   float32:  as every BLAS computes it
//   fixed16:  the operands become integers of 16 bits (fixed16.h) with a step for each row of A and column of
//   B and every 384 values of their depth
//   narrow:   in bfloat16 by a matrix unit (product_bfloat16.h) where the processor has one, else fixed16
// Every element is summed in the same order whatever the number of threads. The scheme is K. Goto's and R.
// van de Geijn's (Anatomy of high-performance matrix multiplication, 2008): packed panels, sums in registers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/aligned_vector.h"
#include "kernels/bfloat16.h"

namespace xlembed::kernels {

// Element (i, j) at data[i * row_stride + j * column_stride]; one of the strides is 1.
template <typename T>
struct Matrix {
  const T* data;
  int64_t row_stride;
  int64_t column_stride;
  Matrix transposed() const { return {data, column_stride, row_stride}; }
};

struct ProductShape {
  int64_t rows;     // of A and C
  int64_t columns;  // of B and C
  int64_t depth;    // columns of A, rows of B
};

// What the operands are packed into: kept from one product to the next, because memory fresh from the system
// costs as much as the packing.
struct ProductMemory {
  AlignedVector<std::byte> left, right;
};

// c (rows, columns), row r at c + r * stride. Throws std::bad_alloc.
void multiply_float32(const Matrix<float>& a, const Matrix<float>& b, ProductShape shape, float* c,
                      int64_t stride, bool add, ProductMemory& memory);

// Left and Right are float or bfloat16. What is not finite makes its row or column NaN.
template <typename Left, typename Right>
void multiply_fixed16(const Matrix<Left>& a, const Matrix<Right>& b, ProductShape shape, float* c,
                      int64_t stride, bool add, ProductMemory& memory);

template <typename Left, typename Right>
void multiply_narrow(const Matrix<Left>& a, const Matrix<Right>& b, ProductShape shape, float* c,
                     int64_t stride, bool add, ProductMemory& memory);

}  // namespace xlembed::kernels
