// The sums that linear layers are held against.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "kernels/bfloat16.h"

// What a layer makes of a value before it multiplies: the reference takes the same.
template <typename Input>
float as_multiplied(float value) {
  if constexpr (std::is_same_v<Input, xlembed::kernels::bfloat16>)
    return to_float(xlembed::kernels::round_to_bfloat16(value));
  return value;
}

// sum_k x_k w_k in float64, and of the sizes of its terms: what rounding errors are measured by.
struct Sum {
  double value = 0, size = 0;
};

template <typename Input = float>
Sum product(const float* x, const float* w, int64_t count, double start) {
  Sum sum{start, std::fabs(start)};
  for (int64_t k = 0; k < count; ++k) {
    const double term = static_cast<double>(as_multiplied<Input>(x[k])) * as_multiplied<Input>(w[k]);
    sum.value += term;
    sum.size += std::fabs(term);
  }
  return sum;
}
