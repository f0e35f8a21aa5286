#include <omp.h>

#include <cmath>

#include "check.h"
#include "device.h"
#include "kernels/adamw.h"

namespace {

using device::Array;
using device::Kind;
using xlembed::kernels::AdamwStep;

const int64_t counts[] = {0, 1, 7, 31, 33, 1000, 100'003};

// Ten steps of torch.optim.AdamW's single-tensor formula in float64 beside the kernel's.
void ten_steps_match_float64() {
  for (const Kind kind : device::all()) {
    for (const int64_t count : counts) {
      Array<float> p(kind, device::random<float>(count, 1));
      Array<float> m(kind, std::vector<float>(count)), v(kind, std::vector<float>(count));
      std::vector<double> P(p.get().begin(), p.get().end()), M(count), V(count);
      for (int64_t t = 1; t <= 10; ++t) {
        const AdamwStep step{.learning_rate = 3e-3,
                             .beta1 = 0.9,
                             .beta2 = 0.999,
                             .epsilon = 1e-8,
                             .weight_decay = 0.1,
                             .step = t,
                             .gradient_scale = 0.25};
        Array<float> g(kind, device::random<float>(count, 10 + t));
        LAUNCH(kind, adamw_step, p.data(), g.data(), m.data(), v.data(), count, step);
        for (int64_t k = 0; k < count; ++k) {
          const double G = g.get()[k] * 0.25;
          P[k] -= 3e-3 * 0.1 * P[k];
          M[k] += (1 - 0.9) * (G - M[k]);
          V[k] = 0.999 * V[k] + (1 - 0.999) * G * G;
          const double denominator = std::sqrt(V[k]) / std::sqrt(1 - std::pow(0.999, t)) + 1e-8;
          P[k] -= 3e-3 / (1 - std::pow(0.9, t)) * M[k] / denominator;
        }
      }
      for (int64_t k = 0; k < count; ++k) {
        CHECK_CLOSE(p.get()[k], P[k], 2e-6, 1e-6);
        CHECK_CLOSE(m.get()[k], M[k], 1e-7, 1e-5);
        CHECK_CLOSE(v.get()[k], V[k], 1e-9, 1e-5);
      }
    }
  }
}

double squared_norm_on(Kind kind, Array<float>& values, int64_t count) {
#ifdef XLEMBED_WITH_CUDA
  if (kind == Kind::cuda) {
    Array<double> workspace(kind, xlembed::kernels::cuda::squared_norm_blocks),
        total(kind, std::vector<double>{0.0});
    xlembed::kernels::cuda::squared_norm(values.data(), count, workspace.data(), total.data(), nullptr);
    return total.get()[0];
  }
#endif
  (void)kind;
  return xlembed::kernels::squared_norm(values.data(), count);
}

void squared_norm_matches_float64() {
  for (const Kind kind : device::all()) {
    for (const int64_t count : counts) {
      Array<float> values(kind, device::random<float>(count, 5));
      long double expected = 0;
      for (const float value : values.get()) expected += static_cast<long double>(value) * value;
      CHECK_CLOSE(squared_norm_on(kind, values, count), static_cast<double>(expected), 0, 1e-13);
    }
  }
}

void squared_norm_keeps_its_bits() {
  for (const Kind kind : device::all()) {
    Array<float> values(kind, device::random<float>(100'003, 6));
    const double expected = squared_norm_on(kind, values, 100'003);
    for (int run = 0; run < device::repeats; ++run) {
      omp_set_num_threads(1 + run % 4);
      const double again = squared_norm_on(kind, values, 100'003);
      CHECK(std::memcmp(&again, &expected, sizeof again) == 0);
    }
  }
}

void not_finite_shows() {
  for (const Kind kind : device::all()) {
    std::vector<float> host = device::random<float>(1001, 7);
    host[1000] = std::nanf("");
    Array<float> values(kind, host);
    CHECK(std::isnan(squared_norm_on(kind, values, 1001)));
  }
}

}  // namespace

int main() {
  return check::run({
      {"ten steps match float64", ten_steps_match_float64},
      {"squared norm matches float64", squared_norm_matches_float64},
      {"squared norm keeps its bits for any number of threads", squared_norm_keeps_its_bits},
      {"not finite shows", not_finite_shows},
  });
}
