// One training step: encode queries and passages, loss, gradient, AdamW.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "core/encoder.h"
#include "core/gradient_buckets.h"
#include "core/gradient_cache.h"
#include "core/loss_scale.h"
#include "core/losses.h"
#include "core/optimizer.h"
#include "core/shared_loss.h"

namespace xlembed {

struct TrainerOptions {
  LossOptions loss;
  AdamWOptions optimizer;
  double max_gradient_norm = 1.0;  // 0: no clipping
  bool dropout = true;
  uint64_t seed = 0;
  int64_t chunk_tokens = 0;      // of a forward pass; 0: the whole batch in one
  int64_t graph_tokens = 0;      // whose graphs may be in memory at once (0: chunk_tokens)
  int64_t embedding_layer = -1;  // train the mean of an early layer's hidden states; -1: the head's output
  bool recompute = false;        // activation checkpointing
  at::ScalarType dtype = at::kFloat;  // of activations and products; weights stay float32
  double temperature_rate = 1;        // learning rate of the loss's own parameters, relative to the model's
  // Factors on the learning rate by the beginning of a parameter's name; the last that fits counts; 0:
  // frozen.
  std::vector<std::pair<std::string, double>> rates;
};

// Queries first, then passages; passage i answers query i, passages beyond the queries are extra negatives.
struct TrainingBatch {
  std::vector<int32_t> ids;
  std::vector<int32_t> cumulative;
  int64_t queries;
  int64_t step;
  double learning_rate;
  PairLabels labels;
  double weight = 1;   // factor on the loss: 1 / batches when gradients of several are added up
  bool update = true;  // false: keep the gradient for the next batch

  // In a group: the queries and passages of the whole batch, of which this process holds its share
  // (core/share.h).
  int64_t all_queries = 0, all_passages = 0;
  std::vector<double> counts;  // anything that is to be added up over the processes
};

struct StepResult {
  double loss = 0;
  double accuracy = 0;
  double gradient_norm = 0;  // of the update, before clipping; 0 without one
  // Loss or gradient was not finite: this batch changed nothing, nor do those that share an update with it.
  bool skipped = false;
  int64_t chunks = 0;
  int64_t chunk_tokens = 0;    // the budget used, smaller than the option after memory ran out; 0: no limit
  double temperature = 0;      // of the loss, after the step; 0 where it has none
  double loss_scale = 1;       // of gradients in float16
  std::vector<double> counts;  // of the batch, summed over the processes
  double model_seconds = 0, loss_seconds = 0, optimizer_seconds = 0;
};

// What a trainer needs, beside the encoder's weights, to go on as if it had never stopped.
struct TrainerState {
  std::vector<NamedTensor> tensors;
  std::map<std::string, double> counters;
};

class Trainer {
 public:
  // With a group all processes take each step together, and end it with the same weights. Throws
  // INVALID_ARGUMENT unless the encoder holds float32 weights, on the group's device.
  Trainer(std::shared_ptr<Encoder> encoder, const TrainerOptions& options,
          std::shared_ptr<ProcessGroup> group = nullptr);
  ~Trainer();

  // When memory runs out the step is taken again in chunks half as large, down to one sequence each; later
  // steps keep that size. A step that fails leaves no gradient behind, of earlier batches neither: the update
  // begins anew.
  StepResult step(const TrainingBatch& batch);

  // The loss of a whole batch, by this process alone, without dropout and without a gradient.
  StepResult evaluate(const TrainingBatch& batch) const;

  // A number that differs where weights, adapters, or what the loss has learnt differ.
  uint64_t fingerprint() const;

  // Of the batches since the last update, one for each trained parameter, undefined where there is none. They
  // do not lie with the parameters, which belong to the encoder: another trainer of it would take them for
  // its own.
  const std::vector<at::Tensor>& gradients() const { return earlier_; }

  // Of gradients and running means, which are there from the first step on.
  int64_t bytes() const;

  // Views of the state as it is; the next step changes what they show.
  TrainerState state() const;

  // Continues from a state: tensors that `sources` lacks are as before the first step. Throws TENSOR_MISSING,
  // TENSOR_SHAPE_MISMATCH or INVALID_ARGUMENT when the state is not one of such a trainer.
  void restore(const std::vector<TensorSource>& sources, const std::map<std::string, double>& counters);

 private:
  struct Trained {
    Leaf leaf;
    double rate;
    bool in_encoder;  // among the encoder's parameters, which are saved with it; not an adapter's or the
                      // loss's
  };
  static std::vector<Trained> trained_of(Encoder& encoder, const Loss& loss, const TrainerOptions& options);

  using Gradients = std::vector<at::Tensor>;  // one for each trained parameter, some undefined

  GradientCache open_cache(const TrainingBatch& batch, bool dropout, const Share* share = nullptr) const;
  LossValue loss(const TrainingBatch& batch, const at::Tensor& embeddings) const;
  void add_gradients(const TrainingBatch& batch, StepResult& result);
  void add_step(const TrainingBatch& batch, StepResult& result);
  void in_smaller_chunks(const TrainingBatch& batch, const std::function<void()>& work);
  bool halve_chunks(const TrainingBatch& batch);

  // trainer_group.cpp: the same in a group.
  void join_group();
  void check_share(const TrainingBatch& batch) const;
  void add_gradients_in_group(const TrainingBatch& batch, const Gradients& earlier, StepResult& result);
  at::Tensor loss_gradient_in_group(const TrainingBatch& batch, const Share& share,
                                    const at::Tensor& embeddings, StepResult& result);
  void backward_in_group(const TrainingBatch& batch, const Share& share, GradientCache& cache,
                         const at::Tensor& gradient, const std::function<void()>& before_last);
  bool is_finite_everywhere() const;
  void update(const TrainingBatch& batch, StepResult& result);

  std::shared_ptr<Encoder> encoder_;
  TrainerOptions options_;
  std::unique_ptr<Loss> loss_;
  std::vector<Trained> trained_;
  AdamW optimizer_;
  LossScale loss_scale_;
  bool skips_update_ = false;  // a batch since the last one was skipped
  Gradients earlier_;          // see gradients()
  std::shared_ptr<ProcessGroup> group_;
  std::unique_ptr<GradientBuckets> buckets_;
};

}  // namespace xlembed
