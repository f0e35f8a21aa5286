#include "kernels/adamw.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace xlembed::kernels {

AdamwFactors adamw_factors(const AdamwStep& step) {
  const double t = static_cast<double>(step.step);
  return {
      .decay = static_cast<float>(1 - step.learning_rate * step.weight_decay),
      .first_share = static_cast<float>(1 - step.beta1),
      .second_kept = static_cast<float>(step.beta2),
      .second_share = static_cast<float>(1 - step.beta2),
      .step_size = static_cast<float>(step.learning_rate / (1 - std::pow(step.beta1, t))),
      .second_factor = static_cast<float>(std::sqrt(1 - std::pow(step.beta2, t))),
      .epsilon = static_cast<float>(step.epsilon),
      .gradient_scale = static_cast<float>(step.gradient_scale),
  };
}

// 28 bytes move per element and little is computed: the memory sets the speed.
void adamw_step(float* parameter, const float* gradient, float* first_moment, float* second_moment,
                int64_t count, const AdamwStep& step) {
  const AdamwFactors f = adamw_factors(step);
#pragma omp parallel for simd schedule(static) if (parallel : count > 32768)
  for (int64_t k = 0; k < count; ++k) {
    const float g = gradient[k] * f.gradient_scale;
    const float m = first_moment[k] + f.first_share * (g - first_moment[k]);
    const float v = f.second_kept * second_moment[k] + f.second_share * g * g;
    first_moment[k] = m;
    second_moment[k] = v;
    parameter[k] = parameter[k] * f.decay - f.step_size * m / (std::sqrt(v) / f.second_factor + f.epsilon);
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
