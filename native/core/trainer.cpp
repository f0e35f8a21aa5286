#include "core/trainer.h"

#include <cmath>
#include <limits>

#include "core/dropout.h"
#include "core/error.h"
#include "core/kept_memory.h"
#include "core/memory.h"
#include "core/seed.h"
#include "core/stopwatch.h"

namespace xlembed {
namespace {

double rate_of(const std::string& name, const TrainerOptions& options) {
  double rate = 1;
  for (const auto& [prefix, factor] : options.rates) {
    if (name.rfind(prefix, 0) == 0) rate = factor;
  }
  return rate;
}

void check(const TrainingBatch& batch) {
  check_offsets(batch.cumulative, batch.ids.size(), std::numeric_limits<int32_t>::max());
  const int64_t texts = static_cast<int64_t>(batch.cumulative.size()) - 1;
  if (batch.queries >= 1 && 2 * batch.queries <= texts) return;
  throw CodedError("INVALID_ARGUMENT", "expected at least one passage for each of " +
                                           std::to_string(batch.queries) + " queries, received " +
                                           std::to_string(texts - batch.queries));
}

}  // namespace

std::vector<Trainer::Trained> Trainer::trained_of(Encoder& encoder, const Loss& loss,
                                                  const TrainerOptions& options) {
  if (encoder.dtype() != at::kFloat) {
    throw CodedError("INVALID_ARGUMENT", "expected dtype float32 for training");
  }
  std::vector<Trained> trained;
  const auto add = [&](const Leaf& leaf, double rate, bool in_encoder) {
    leaf.tensor.requires_grad_(rate > 0);
    if (rate > 0) trained.push_back({leaf, rate, in_encoder});
  };
  for (const Leaf& leaf : encoder.parameters().leaves()) {
    add(leaf, encoder.adapters() ? 0 : rate_of(leaf.name, options), /*in_encoder=*/true);
  }
  if (const Parameters* adapters = encoder.adapters()) {
    for (const Leaf& leaf : adapters->leaves()) add(leaf, rate_of(leaf.name, options), /*in_encoder=*/false);
  }
  for (const Leaf& leaf : loss.leaves()) {
    trained.push_back({leaf, options.temperature_rate, /*in_encoder=*/false});
  }
  if (trained.empty()) throw CodedError("INVALID_ARGUMENT", "every parameter is frozen: nothing to train");
  return trained;
}

Trainer::Trainer(std::shared_ptr<Encoder> encoder, const TrainerOptions& options,
                 std::shared_ptr<ProcessGroup> group)
    : encoder_(std::move(encoder)),
      options_(options),
      loss_(make_loss(options.loss, encoder_->device())),
      trained_(trained_of(*encoder_, *loss_, options)),
      optimizer_(
          [this] {
            std::vector<AdamWParameter> parameters;
            parameters.reserve(trained_.size());
            for (const Trained& trained : trained_) {
              parameters.push_back({trained.leaf.tensor, trained.leaf.decay, trained.rate});
            }
            return parameters;
          }(),
          options.optimizer),
      loss_scale_(options.dtype == at::kHalf),
      earlier_(trained_.size()),
      group_(std::move(group)) {
  if (group_) join_group();
}

Trainer::~Trainer() { release_kept_memory(); }

// Every step draws its dropout from its own stream, so that step n is the same after a resume.
GradientCache Trainer::open_cache(const TrainingBatch& batch, bool dropout, const Share* share) const {
  const int64_t limit = std::numeric_limits<int64_t>::max();
  const int64_t chunk_tokens = options_.chunk_tokens > 0 ? options_.chunk_tokens : limit;
  const int64_t graph_tokens = std::max(chunk_tokens, options_.graph_tokens);
  const ForwardMode mode{.dropout = dropout,
                         .training = true,
                         .layers = options_.embedding_layer,
                         .recompute = options_.recompute,
                         .dtype = options_.dtype};
  const uint64_t seed = mixed_seed(options_.seed, static_cast<uint64_t>(batch.step));
  const std::vector<int64_t> numbers = share ? share->numbers() : std::vector<int64_t>();
  const auto embed = [this, mode, seed, numbers](const Chunk& chunk) {
    PackedBatch packed = encoder_->pack(chunk.ids, chunk.cumulative);
    if (mode.dropout) {
      std::vector<int64_t> sequences = chunk.sequences;  // in the whole batch
      if (!numbers.empty()) {
        for (int64_t& sequence : sequences) sequence = numbers[sequence];
      }
      seed_dropout(packed, seed, sequences);
      // What draws from libtorch's generator repeats with the chunk.
      at::manual_seed(mixed_seed(seed, static_cast<uint64_t>(sequences.front())));
    }
    return encoder_->embed(packed, mode);
  };
  return {split_batch(batch.ids, batch.cumulative, chunk_tokens), embed, graph_tokens};
}

LossValue Trainer::loss(const TrainingBatch& batch, const at::Tensor& embeddings) const {
  const int64_t passages = embeddings.size(0) - batch.queries;
  return (*loss_)(embeddings.narrow(0, 0, batch.queries), embeddings.narrow(0, batch.queries, passages),
                  batch.labels.to(embeddings.device()));
}

// Leaves the gradients of this batch alone where the parameters' gradients lie.
void Trainer::add_gradients(const TrainingBatch& batch, StepResult& result) {
  const LossScale scale_before = loss_scale_;
  for (;;) {
    Stopwatch watch;
    GradientCache cache = open_cache(batch, options_.dropout);
    const at::Tensor embeddings = cache.forward_no_grad().requires_grad_(true);
    result.chunks = cache.chunks();
    result.model_seconds += watch.lap();
    const LossValue value = loss(batch, embeddings);
    result.loss = value.loss.item<double>();
    result.accuracy = value.accuracy;
    result.skipped = !std::isfinite(result.loss);
    if (!result.skipped) (value.loss * (batch.weight * loss_scale_.value())).backward();
    result.loss_seconds += watch.lap();
    if (!result.skipped) cache.forward_backward(embeddings.grad());
    result.model_seconds += watch.lap();
    if (result.skipped || scale_before.value() == 1) return;
    if (std::isfinite(optimizer_.gradient_norm())) return;
    if (!loss_scale_.lower()) {
      loss_scale_ = scale_before;  // was not at fault: the batches to come keep it
      result.skipped = true;
      return;
    }
    optimizer_.zero_gradients();
  }
}

void Trainer::in_smaller_chunks(const TrainingBatch& batch, const std::function<void()>& work) {
  for (;;) {
    try {
      return work();
    } catch (const std::exception& error) {
      if (!is_out_of_memory(error) || !halve_chunks(batch)) throw;
    }
  }
}

// False when chunks are single sequences already.
bool Trainer::halve_chunks(const TrainingBatch& batch) {
  int64_t longest = 0;
  for (size_t b = 0; b + 1 < batch.cumulative.size(); ++b) {
    longest = std::max<int64_t>(longest, batch.cumulative[b + 1] - batch.cumulative[b]);
  }
  const auto tokens = static_cast<int64_t>(batch.ids.size());
  const int64_t now = options_.chunk_tokens > 0 ? std::min(options_.chunk_tokens, tokens) : tokens;
  if (now <= longest) return false;
  release_kept_memory();  // of sizes that are not wanted any more
  options_.chunk_tokens = std::max(longest, now / 2);
  options_.graph_tokens = 0;
  return true;
}

StepResult Trainer::step(const TrainingBatch& batch) {
  const KeepMemory keep;
  group_ ? check_share(batch) : check(batch);
  StepResult result;
  result.counts = batch.counts;
  try {
    add_step(batch, result);
    Stopwatch watch;
    if (batch.update) {
      update(batch, result);
    } else {
      earlier_ = optimizer_.take_gradients();
    }
    result.optimizer_seconds = watch.lap();
  } catch (...) {
    optimizer_.zero_gradients();
    skips_update_ = false;
    throw;
  }
  return result;
}

// Adds a batch's gradients to those of the batches before it.
void Trainer::add_step(const TrainingBatch& batch, StepResult& result) {
  // A batch that fails must not take the gradients of those before it along.
  const Gradients before = std::exchange(earlier_, Gradients(trained_.size()));
  const double scale_before = loss_scale_.value();
  if (group_) {
    add_gradients_in_group(batch, before, result);
  } else {
    in_smaller_chunks(batch, [&] {
      optimizer_.zero_gradients();
      add_gradients(batch, result);
    });
  }
  if (result.skipped) optimizer_.zero_gradients();
  skips_update_ = skips_update_ || result.skipped;
  // In a group they are among the sums of an update already.
  const bool has_added = group_ && batch.update && !result.skipped;
  if (!has_added) optimizer_.add_gradients(before, loss_scale_.value() / scale_before);
  result.chunk_tokens = options_.chunk_tokens;
  result.loss_scale = loss_scale_.value();
}

void Trainer::update(const TrainingBatch& batch, StepResult& result) {
  const double scale = 1 / loss_scale_.value();
  result.gradient_norm = optimizer_.gradient_norm() * scale;
  result.skipped = std::exchange(skips_update_, false) || !std::isfinite(result.gradient_norm);
  if (!result.skipped) {
    const double limit = options_.max_gradient_norm;
    const bool clips = limit > 0 && result.gradient_norm > limit;
    optimizer_.step(batch.learning_rate, clips ? scale * limit / result.gradient_norm : scale);
    loss_scale_.count_good_step();
  }
  optimizer_.zero_gradients();
  result.temperature = loss_->temperature();
}

StepResult Trainer::evaluate(const TrainingBatch& batch) const {
  const KeepMemory keep;
  const at::NoGradGuard no_grad;
  check(batch);
  StepResult result;
  Stopwatch watch;
  GradientCache cache = open_cache(batch, /*dropout=*/false);
  const at::Tensor embeddings = cache.forward_no_grad();
  result.model_seconds = watch.lap();
  const LossValue value = loss(batch, embeddings);
  result.loss = value.loss.item<double>();
  result.accuracy = value.accuracy;
  result.loss_seconds = watch.lap();
  return result;
}

}  // namespace xlembed
