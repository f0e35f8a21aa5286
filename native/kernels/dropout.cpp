#include "kernels/dropout.h"

namespace xlembed::kernels {

template <typename T>
void dropout(const T* input, const int32_t* keys, int64_t rows, int64_t columns, const DropoutRule& rule,
             T* output) {
#pragma omp parallel for schedule(static) if (rows * columns > 32768)
  for (int64_t r = 0; r < rows; ++r) {
    const T* x = input + r * columns;
    T* y = output + r * columns;
    const uint32_t row = dropout_row(keys[r], rule.site);
#pragma omp simd
    for (int64_t c = 0; c < columns; ++c) {
      const bool keeps = dropout_keeps(row, static_cast<uint32_t>(c), rule.threshold);
      store(y + c, keeps ? to_float(x[c]) * rule.scale : 0.0f);
    }
  }
}

template void dropout(const float*, const int32_t*, int64_t, int64_t, const DropoutRule&, float*);
template void dropout(const bfloat16*, const int32_t*, int64_t, int64_t, const DropoutRule&, bfloat16*);

}  // namespace xlembed::kernels
