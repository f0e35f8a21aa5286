// Knowledge distillation from a teacher's scores, (N, M) with NaN where it gave none.
#pragma once

#include "core/losses.h"

namespace xlembed {

// Mean over queries of KL(softmax_j(teacher_ij / its temperature) || softmax_j(s_ij / temperature)), j over
// the passages that the teacher scored (J. Chen et al. 2024, arXiv 2402.03216, section 3.3).
class KlDistillation final : public Loss {
 public:
  KlDistillation(double temperature, double teacher_temperature)
      : temperature_(temperature), teacher_temperature_(teacher_temperature) {}
  LossValue operator()(const at::Tensor& queries, const at::Tensor& passages,
                       const PairLabels& labels) const override;

 private:
  double temperature_, teacher_temperature_;
};

// Mean over scored negatives of ((s_ii - s_ij) - (t_ii - t_ij))^2 (S. Hofstaetter et al. 2020, arXiv
// 2010.02666).
class MarginMse final : public Loss {
 public:
  LossValue operator()(const at::Tensor& queries, const at::Tensor& passages,
                       const PairLabels& labels) const override;
};

}  // namespace xlembed
