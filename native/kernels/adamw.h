// One step of AdamW (I. Loshchilov and F. Hutter, arXiv 1711.05101) in one pass over a parameter, with the
// arithmetic of torch.optim.AdamW, g' = gradient_scale * g:
//   p -= lr * weight_decay * p
//   m += (1 - beta1) (g' - m)
//   v  = beta2 v + (1 - beta2) g'^2
//   p -= lr / (1 - beta1^step) * m / (sqrt(v) / sqrt(1 - beta2^step) + epsilon)
#pragma once

#include <math.h>

#include <cmath>
#include <cstdint>

#include "kernels/bfloat16.h"
#include "kernels/stream.h"

namespace xlembed::kernels {

struct AdamwStep {
  double learning_rate;
  double beta1;
  double beta2;
  double epsilon;
  double weight_decay;
  int64_t step;           // 1 for the first
  double gradient_scale;  // for clipping: min(1, max_norm / norm)
};

// parameter, gradient, first_moment m, second_moment v: (count)
void adamw_step(float* parameter, const float* gradient, float* first_moment, float* second_moment,
                int64_t count, const AdamwStep& step);

// sum of values^2 in float64, over fixed blocks added in a fixed order: the same bits for any number of
// threads.
double squared_norm(const float* values, int64_t count);

// The factors of a step that are the same for every element, rounded to float32 once.
struct AdamwFactors {
  float decay;          // 1 - lr * weight_decay
  float first_share;    // 1 - beta1
  float second_kept;    // beta2
  float second_share;   // 1 - beta2
  float step_size;      // lr / (1 - beta1^step)
  float second_factor;  // sqrt(1 - beta2^step)
  float epsilon;
  float gradient_scale;
};

inline AdamwFactors adamw_factors(const AdamwStep& step) {
  const double t = static_cast<double>(step.step);
  return {static_cast<float>(1 - step.learning_rate * step.weight_decay),
          static_cast<float>(1 - step.beta1),
          static_cast<float>(step.beta2),
          static_cast<float>(1 - step.beta2),
          static_cast<float>(step.learning_rate / (1 - std::pow(step.beta1, t))),
          static_cast<float>(std::sqrt(1 - std::pow(step.beta2, t))),
          static_cast<float>(step.epsilon),
          static_cast<float>(step.gradient_scale)};
}

// The formula above for one element.
XLEMBED_BOTH void adamw_element(const AdamwFactors& f, float gradient, float* p, float* m, float* v) {
  const float g = gradient * f.gradient_scale;
  *m += f.first_share * (g - *m);
  *v = f.second_kept * *v + f.second_share * g * g;
  *p = *p * f.decay - f.step_size * *m / (sqrtf(*v) / f.second_factor + f.epsilon);
}

namespace cuda {

void adamw_step(float* parameter, const float* gradient, float* first_moment, float* second_moment,
                int64_t count, const AdamwStep& step, CudaStream stream);

// Blocks of the device's sum; the caller provides that many float64 as workspace.
inline constexpr int squared_norm_blocks = 512;

// Adds sum of values^2 to *total (device memory).
void squared_norm(const float* values, int64_t count, double* workspace, double* total, CudaStream stream);

}  // namespace cuda
}  // namespace xlembed::kernels
