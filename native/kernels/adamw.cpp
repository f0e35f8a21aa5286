#include "kernels/adamw.h"

#include <algorithm>
#include <vector>

namespace xlembed::kernels {

// 28 bytes move per element and little is computed: the memory sets the speed.
void adamw_step(float* parameter, const float* gradient, float* first_moment, float* second_moment,
                int64_t count, const AdamwStep& step) {
  const AdamwFactors f = adamw_factors(step);
#pragma omp parallel for simd schedule(static) if (parallel : count > 32768)
  for (int64_t k = 0; k < count; ++k) {
    adamw_element(f, gradient[k], parameter + k, first_moment + k, second_moment + k);
  }
}

double squared_norm(const float* values, int64_t count) {
  constexpr int64_t block = 16384;
  const int64_t blocks = (count + block - 1) / block;
  std::vector<double> parts(blocks);
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t end = std::min(count, (b + 1) * block);
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t k = b * block; k < end; ++k) sum += static_cast<double>(values[k]) * values[k];
    parts[b] = sum;
  }
  double total = 0;
  for (const double part : parts) total += part;
  return total;
}

}  // namespace xlembed::kernels
