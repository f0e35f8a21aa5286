// One training step: encode queries and passages, contrastive loss, gradient, AdamW.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "core/encoder.h"
#include "core/info_nce.h"
#include "core/optimizer.h"

namespace xlembed {

struct TrainerOptions {
  InfoNceOptions loss;
  AdamWOptions optimizer;
  double max_gradient_norm = 1.0;  // 0: no clipping
  bool dropout = true;
  bool normalize = false;  // embeddings to length 1 before the loss
  uint64_t seed = 0;
};

// Queries first, then passages; passage i answers query i, passages beyond the queries are extra negatives.
struct TrainingBatch {
  std::vector<int32_t> ids;
  std::vector<int32_t> cumulative;
  int64_t queries;
  int64_t step;
  double learning_rate;
};

struct StepResult {
  double loss = 0;
  double accuracy = 0;
  double gradient_norm = 0;  // before clipping
  bool skipped = false;      // loss or gradient was not finite: no parameter was changed
  double model_seconds = 0, loss_seconds = 0, optimizer_seconds = 0;
};

// What a trainer needs, beside the encoder's weights, to go on as if it had never stopped.
struct TrainerState {
  std::vector<NamedTensor> tensors;
  std::map<std::string, double> counters;
};

class Trainer {
 public:
  // Throws INVALID_ARGUMENT unless the encoder holds float32 weights.
  Trainer(std::shared_ptr<Encoder> encoder, const TrainerOptions& options);

  StepResult step(const TrainingBatch& batch);

  // The loss alone, without dropout and without a gradient.
  StepResult evaluate(const TrainingBatch& batch) const;

  // Views of the state as it is; the next step changes what they show.
  TrainerState state() const;

  // Continues from a state: tensors that `sources` lacks are as before the first step. Throws TENSOR_MISSING,
  // TENSOR_SHAPE_MISMATCH or INVALID_ARGUMENT when the state is not one of such a trainer.
  void restore(const std::vector<TensorSource>& sources, const std::map<std::string, double>& counters);

 private:
  InfoNceResult loss(const TrainingBatch& batch, bool dropout, StepResult& result) const;

  std::shared_ptr<Encoder> encoder_;
  TrainerOptions options_;
  std::vector<Leaf> trained_;
  AdamW optimizer_;
};

}  // namespace xlembed
