// Losses over the embeddings of a batch: a value, and by autograd its gradient at the embeddings. What made
// the embeddings is no business of theirs, so each works with the gradient cache.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/info_nce.h"
#include "core/parameters.h"

namespace xlembed {

// What a loss may know of a batch of N queries and M passages beside its embeddings; each tensor may be
// undefined. Passage i answers query i.
struct PairLabels {
  at::Tensor row_weights;        // (N) float32 >= 0: the loss is the mean under these weights
  at::Tensor passage_groups;     // (M) int32: a passage of the group (>= 0) of the query's own is no negative
  at::Tensor query_languages;    // (N) int32
  at::Tensor passage_languages;  // (M) int32
  at::Tensor teacher_scores;     // (N, M) float32, NaN where the teacher gave none
  // Other processes have the batch's other rows: that none of these counts is no error, and a symmetric loss
  // takes one direction (core/shared_loss.h takes both).
  bool partial = false;

  PairLabels to(at::Device device) const;
};

struct LossValue {
  at::Tensor loss;      // () float32, differentiable
  double accuracy = 0;  // share of queries whose own passage scored highest
  double weight = 0;    // sum of the weights under which the loss is a mean
};

// Of the rows of a loss that counts each of them under its weight.
double total_weight(const PairLabels& labels, int64_t rows);

class Loss {
 public:
  virtual ~Loss() = default;

  // queries (N, D), passages (M, D), M >= N. Throws INVALID_ARGUMENT when labels are missing or do not fit.
  virtual LossValue operator()(const at::Tensor& queries, const at::Tensor& passages,
                               const PairLabels& labels) const = 0;

  // What the loss itself learns.
  virtual std::vector<Leaf> leaves() const { return {}; }

  // The temperature as it is now; 0 for a loss without one.
  virtual double temperature() const { return 0; }
};

struct LossOptions {
  // info_nce; triplet; kl_distillation; margin_mse
  std::string kind = "info_nce";
  bool normalize = false;  // rows to length 1 first: cosine similarity
  double temperature = 0.05;
  bool learn_temperature = false;                                 // info_nce: its logarithm is trained
  bool symmetric = false;                                         // info_nce
  at::ScalarType products = at::kFloat;                           // info_nce
  NegativeLanguages negative_languages = NegativeLanguages::any;  // info_nce, triplet
  double margin = 0.4;                                            // triplet
  double teacher_temperature = 1;                                 // kl_distillation
  // Matryoshka: the loss of the first d dimensions, for each d; summed under the weights (default 1).
  std::vector<int64_t> matryoshka_sizes;
  std::vector<double> matryoshka_weights;
};

// Throws INVALID_ARGUMENT for options that make no loss.
std::unique_ptr<Loss> make_loss(const LossOptions& options, at::Device device);

}  // namespace xlembed
