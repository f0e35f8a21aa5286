// A training step that the processes of a group take together. What is local (embedding, the chunks' backward
// passes) may be tried again when memory runs out; exchanges may not, and each process makes the same ones in
// the same order.
#include <cmath>
#include <limits>
#include <memory>

#include "core/error.h"
#include "core/memory.h"
#include "core/stopwatch.h"
#include "core/trainer.h"

namespace xlembed {

void Trainer::join_group() {
  if (group_->device() != encoder_->device()) {
    throw CodedError("INVALID_ARGUMENT", "the process group is on " + group_->device().str() +
                                             ", the encoder on " + encoder_->device().str());
  }
  std::vector<at::Tensor> parameters;
  parameters.reserve(trained_.size());
  for (const Trained& trained : trained_) parameters.push_back(trained.leaf.tensor);
  buckets_ = std::make_unique<GradientBuckets>(std::move(parameters), group_);
}

void Trainer::check_share(const TrainingBatch& batch) const {
  check_offsets(batch.cumulative, batch.ids.size(), std::numeric_limits<int32_t>::max());
  const bool has_passages = batch.all_queries >= 1 && batch.all_passages >= batch.all_queries;
  if (has_passages) {
    const Share share(batch.all_queries, batch.all_passages, group_->rank(), group_->size());
    const auto sequences = static_cast<int64_t>(batch.cumulative.size()) - 1;
    if (batch.queries == share.queries.count && sequences == share.sequences()) return;
  }
  throw CodedError("INVALID_ARGUMENT", "expected this process's share of " +
                                           std::to_string(batch.all_queries) + " queries and " +
                                           std::to_string(batch.all_passages) + " passages");
}

void Trainer::add_gradients_in_group(const TrainingBatch& batch, const Gradients& earlier,
                                     StepResult& result) {
  const Share share(batch.all_queries, batch.all_passages, group_->rank(), group_->size());
  const LossScale scale_before = loss_scale_;
  for (;;) {
    Stopwatch watch;
    std::unique_ptr<GradientCache> cache;
    at::Tensor embeddings;
    in_smaller_chunks(batch, [&] {
      cache = std::make_unique<GradientCache>(open_cache(batch, options_.dropout, &share));
      embeddings = cache->forward_no_grad();
    });
    if (!embeddings.defined()) {
      embeddings = at::empty({0, encoder_->dimensions()}, at::device(encoder_->device()).dtype(at::kFloat));
    }
    result.chunks = cache->chunks();
    result.model_seconds += watch.lap();
    const at::Tensor gradient = loss_gradient_in_group(batch, share, embeddings, result);
    result.loss_seconds += watch.lap();
    if (result.skipped) return;
    backward_in_group(batch, share, *cache, gradient, [&] {
      if (batch.update) buckets_->begin(earlier, loss_scale_.value() / scale_before.value());
    });
    result.model_seconds += watch.lap();
    if (scale_before.value() == 1 || is_finite_everywhere()) return;
    if (!loss_scale_.lower()) {
      loss_scale_ = scale_before;
      result.skipped = true;
      return;
    }
    optimizer_.zero_gradients();
  }
}

// (own sequences, D); undefined where the loss is not finite, which every process then knows.
at::Tensor Trainer::loss_gradient_in_group(const TrainingBatch& batch, const Share& share,
                                           const at::Tensor& embeddings, StepResult& result) {
  SharedLoss loss(*loss_, options_.loss.symmetric, *group_, share);
  const LossValue own = loss.forward(embeddings, batch.labels.to(embeddings.device()));
  const auto rows = own.weight > 0 ? static_cast<double>(share.queries.count) : 0;
  const double value = own.weight > 0 ? own.weight * own.loss.item<double>() : 0;
  std::vector<double> sums{value, own.weight, own.accuracy * rows, rows};
  sums.insert(sums.end(), batch.counts.begin(), batch.counts.end());
  sums = group_->sum(sums);
  const bool is_scored = batch.labels.teacher_scores.defined();  // may have no score at all, see distillation
  if (!(sums[1] > 0) && !is_scored)
    throw CodedError("INVALID_ARGUMENT", "no row of the batch has any weight");
  const double weight = sums[1] > 0 ? sums[1] : 1;
  result.loss = sums[0] / weight;
  result.accuracy = sums[2] / sums[3];
  result.counts.assign(sums.begin() + 4, sums.end());
  result.skipped = !std::isfinite(result.loss);
  return result.skipped ? at::Tensor()
                        : loss.backward(own.weight / weight * batch.weight * loss_scale_.value());
}

// Ends, in an update, with the sums over the processes. Until the first of them is on its way, memory that
// runs out costs another attempt.
void Trainer::backward_in_group(const TrainingBatch& batch, const Share& share, GradientCache& cache,
                                const at::Tensor& gradient, const std::function<void()>& before_last) {
  const Gradients of_loss = optimizer_.take_gradients();
  bool is_first = true;
  in_smaller_chunks(batch, [&] {
    optimizer_.zero_gradients();
    optimizer_.add_gradients(of_loss);
    try {
      if (std::exchange(is_first, false)) {
        cache.forward_backward(gradient, before_last);
      } else {
        open_cache(batch, options_.dropout, &share).forward_backward(gradient, before_last);
      }
    } catch (const std::exception& error) {
      if (!is_out_of_memory(error) || !buckets_->started()) throw;
      throw CodedError("OUT_OF_MEMORY",
                       "memory ran out while gradients were on their way to other processes");
    }
  });
  if (cache.chunks() == 0) before_last();
  if (batch.update) buckets_->finish();
}

bool Trainer::is_finite_everywhere() const {
  const double own = std::isfinite(optimizer_.gradient_norm()) ? 0 : 1;
  return group_->sum(std::vector<double>{own})[0] == 0;
}

}  // namespace xlembed
