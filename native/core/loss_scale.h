// Loss scaling for float16 (P. Micikevicius et al. 2018, arXiv 1710.03740): gradients are multiplied by a
// power of two on their way through the model, so that small ones do not vanish. Start, growth and interval
// are those of torch.amp.GradScaler.
#pragma once

#include <cstdint>

namespace xlembed {

class LossScale {
 public:
  explicit LossScale(bool enabled) : value_(enabled ? 65536.0 : 1.0), enabled_(enabled) {}

  double value() const { return value_; }
  int64_t good_steps() const { return good_steps_; }

  // After a gradient overflowed. False when there is nothing left to lower: the gradient itself is at fault.
  bool lower() {
    if (!enabled_ || value_ <= 1) return false;
    value_ /= 2;
    good_steps_ = 0;
    return true;
  }

  void count_good_step() {
    if (!enabled_ || ++good_steps_ < kInterval) return;
    value_ *= 2;
    good_steps_ = 0;
  }

  void restore(double value, int64_t good_steps) {
    value_ = enabled_ ? value : 1.0;
    good_steps_ = good_steps;
  }

 private:
  static constexpr int64_t kInterval = 2000;
  double value_;
  int64_t good_steps_ = 0;
  bool enabled_;
};

}  // namespace xlembed
