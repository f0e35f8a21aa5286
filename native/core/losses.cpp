#include "core/losses.h"

#include <cmath>

#include "core/distillation.h"
#include "core/error.h"
#include "core/normalize.h"
#include "core/triplet.h"

namespace xlembed {
namespace {

class InfoNce final : public Loss {
 public:
  InfoNce(const LossOptions& options, at::Device device) : options_(options) {
    if (!options.learn_temperature) return;
    log_temperature_ = at::full({}, std::log(options.temperature), at::device(device).dtype(at::kFloat));
    log_temperature_.requires_grad_(true);
  }

  LossValue operator()(const at::Tensor& queries, const at::Tensor& passages,
                       const PairLabels& labels) const override {
    InfoNceOptions given{.temperature = options_.temperature,
                         .symmetric = options_.symmetric && !labels.partial,
                         .products = options_.products,
                         .row_weights = labels.row_weights,
                         .passage_groups = labels.passage_groups,
                         .query_languages = labels.query_languages,
                         .passage_languages = labels.passage_languages,
                         .negative_languages = options_.negative_languages};
    if (log_temperature_.defined()) given.learned_temperature = log_temperature_.exp();
    const InfoNceResult result = info_nce(queries, passages, given);
    return {result.loss, result.accuracy(), total_weight(labels, queries.size(0))};
  }

  std::vector<Leaf> leaves() const override {
    if (!log_temperature_.defined()) return {};
    return {{"loss.log_temperature", log_temperature_, /*decay=*/false}};
  }

  double temperature() const override {
    return log_temperature_.defined() ? std::exp(log_temperature_.item<double>()) : options_.temperature;
  }

 private:
  LossOptions options_;
  at::Tensor log_temperature_;  // (): its logarithm, so that no step can take it below zero
};

// A loss of rows of length 1.
class Normalized final : public Loss {
 public:
  explicit Normalized(std::unique_ptr<Loss> loss) : loss_(std::move(loss)) {}

  LossValue operator()(const at::Tensor& queries, const at::Tensor& passages,
                       const PairLabels& labels) const override {
    return (*loss_)(normalize_rows(queries), normalize_rows(passages), labels);
  }
  std::vector<Leaf> leaves() const override { return loss_->leaves(); }
  double temperature() const override { return loss_->temperature(); }

 private:
  std::unique_ptr<Loss> loss_;
};

// A. Kusupati et al. 2022, arXiv 2205.13147: sum over d of weight_d loss(first d dimensions).
class Matryoshka final : public Loss {
 public:
  Matryoshka(std::unique_ptr<Loss> loss, const LossOptions& options)
      : loss_(std::move(loss)), sizes_(options.matryoshka_sizes), weights_(options.matryoshka_weights) {
    if (weights_.empty()) weights_.assign(sizes_.size(), 1.0);
    if (weights_.size() != sizes_.size()) {
      throw CodedError("INVALID_ARGUMENT", "expected one weight for each Matryoshka size");
    }
  }

  // The accuracy is that of the largest size.
  LossValue operator()(const at::Tensor& queries, const at::Tensor& passages,
                       const PairLabels& labels) const override {
    LossValue total;
    int64_t largest = 0;
    for (size_t k = 0; k < sizes_.size(); ++k) {
      const int64_t size = sizes_[k];
      if (size < 1 || size > queries.size(1)) {
        throw CodedError("INVALID_ARGUMENT", "expected Matryoshka sizes from 1 to " +
                                                 std::to_string(queries.size(1)) + ", received " +
                                                 std::to_string(size));
      }
      const LossValue part = (*loss_)(queries.narrow(1, 0, size), passages.narrow(1, 0, size), labels);
      const at::Tensor weighted = part.loss * weights_[k];
      total.loss = total.loss.defined() ? total.loss + weighted : weighted;
      if (size > largest) total.accuracy = part.accuracy;
      total.weight = part.weight;
      largest = std::max(largest, size);
    }
    return total;
  }
  std::vector<Leaf> leaves() const override { return loss_->leaves(); }
  double temperature() const override { return loss_->temperature(); }

 private:
  std::unique_ptr<Loss> loss_;
  std::vector<int64_t> sizes_;
  std::vector<double> weights_;
};

std::unique_ptr<Loss> make_base(const LossOptions& options, at::Device device) {
  if (options.kind == "info_nce") return std::make_unique<InfoNce>(options, device);
  if (options.kind == "triplet") {
    return std::make_unique<HardestTriplet>(options.margin, options.negative_languages);
  }
  if (options.kind == "kl_distillation") {
    return std::make_unique<KlDistillation>(options.temperature, options.teacher_temperature);
  }
  if (options.kind == "margin_mse") return std::make_unique<MarginMse>();
  throw CodedError(
      "INVALID_ARGUMENT",
      "expected loss info_nce, triplet, kl_distillation or margin_mse, received " + options.kind);
}

}  // namespace

double total_weight(const PairLabels& labels, int64_t rows) {
  return labels.row_weights.defined() ? labels.row_weights.sum(at::kDouble).item<double>()
                                      : static_cast<double>(rows);
}

PairLabels PairLabels::to(at::Device device) const {
  const auto there = [&](const at::Tensor& tensor) { return tensor.defined() ? tensor.to(device) : tensor; };
  return {there(row_weights),       there(passage_groups), there(query_languages),
          there(passage_languages), there(teacher_scores), partial};
}

std::unique_ptr<Loss> make_loss(const LossOptions& options, at::Device device) {
  std::unique_ptr<Loss> loss = make_base(options, device);
  if (options.normalize) loss = std::make_unique<Normalized>(std::move(loss));
  if (!options.matryoshka_sizes.empty()) loss = std::make_unique<Matryoshka>(std::move(loss), options);
  return loss;
}

}  // namespace xlembed
