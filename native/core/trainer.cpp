#include "core/trainer.h"

#include <chrono>
#include <cmath>
#include <unordered_set>

#include "core/error.h"
#include "core/normalize.h"

namespace xlembed {
namespace {

class Stopwatch {
 public:
  // Seconds since the last call (or construction).
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - start_).count();
    start_ = now;
    return seconds;
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Every step draws its dropout from its own stream, so that step n is the same after a resume.
uint64_t step_seed(uint64_t seed, int64_t step) {
  uint64_t z = seed + 0x9E3779B97F4A7C15ull * (static_cast<uint64_t>(step) + 1);  // splitmix64
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

std::vector<Leaf> trained_leaves(Encoder& encoder) {
  if (encoder.dtype() != at::kFloat) {
    throw CodedError("INVALID_ARGUMENT", "expected dtype float32 for training");
  }
  encoder.parameters().require_gradients();
  return encoder.parameters().leaves();
}

std::vector<AdamWParameter> optimizer_parameters(const std::vector<Leaf>& leaves) {
  std::vector<AdamWParameter> parameters;
  for (const Leaf& leaf : leaves) parameters.push_back({leaf.tensor, leaf.decay});
  return parameters;
}

constexpr const char* kFirst = "optimizer.first_moment.";
constexpr const char* kSecond = "optimizer.second_moment.";
constexpr const char* kSteps = "optimizer_steps";

}  // namespace

Trainer::Trainer(std::shared_ptr<Encoder> encoder, const TrainerOptions& options)
    : encoder_(std::move(encoder)),
      options_(options),
      trained_(trained_leaves(*encoder_)),
      optimizer_(optimizer_parameters(trained_), options.optimizer) {}

InfoNceResult Trainer::loss(const TrainingBatch& batch, bool dropout, StepResult& result) const {
  const int64_t texts = static_cast<int64_t>(batch.cumulative.size()) - 1;
  if (batch.queries < 1 || 2 * batch.queries > texts) {
    throw CodedError("INVALID_ARGUMENT", "expected at least one passage for each of " +
                                             std::to_string(batch.queries) + " queries, received " +
                                             std::to_string(texts - batch.queries));
  }
  Stopwatch watch;
  at::Tensor embeddings = encoder_->embed(encoder_->pack(batch.ids, batch.cumulative), dropout);
  if (options_.normalize) embeddings = normalize_rows(embeddings);
  result.model_seconds += watch.lap();
  InfoNceResult loss = info_nce(embeddings.narrow(0, 0, batch.queries),
                                embeddings.narrow(0, batch.queries, texts - batch.queries), options_.loss);
  result.loss = loss.loss.item<double>();
  result.accuracy = loss.accuracy;
  result.loss_seconds += watch.lap();
  return loss;
}

StepResult Trainer::step(const TrainingBatch& batch) {
  StepResult result;
  if (options_.dropout) at::manual_seed(step_seed(options_.seed, batch.step));
  const InfoNceResult loss = this->loss(batch, options_.dropout, result);
  Stopwatch watch;
  if (std::isfinite(result.loss)) loss.loss.backward();
  result.model_seconds += watch.lap();

  result.gradient_norm = optimizer_.gradient_norm();
  result.skipped = !std::isfinite(result.loss) || !std::isfinite(result.gradient_norm);
  if (!result.skipped) {
    const double limit = options_.max_gradient_norm;
    const double scale = limit > 0 && result.gradient_norm > limit ? limit / result.gradient_norm : 1.0;
    optimizer_.step(batch.learning_rate, scale);
  }
  optimizer_.zero_gradients();
  result.optimizer_seconds = watch.lap();
  return result;
}

TrainerState Trainer::state() const {
  TrainerState state;
  for (size_t k = 0; k < trained_.size(); ++k) {
    const AdamWState& moments = optimizer_.states()[k];
    if (!moments.first.defined()) continue;
    state.tensors.push_back({kFirst + trained_[k].name, moments.first});
    state.tensors.push_back({kSecond + trained_[k].name, moments.second});
  }
  state.counters[kSteps] = static_cast<double>(optimizer_.steps());
  return state;
}

void Trainer::restore(const std::vector<TensorSource>& sources,
                      const std::map<std::string, double>& counters) {
  std::unordered_set<std::string> given;
  for (const TensorSource& source : sources) given.insert(source.name);
  std::vector<AdamWState> moments(trained_.size());
  std::vector<NamedTensor> wanted;
  const auto want = [&](const std::string& name, const at::Tensor& like) {
    if (given.erase(name) == 0) return at::Tensor();
    wanted.push_back({name, at::empty_like(like.detach())});
    return wanted.back().tensor;
  };
  for (size_t k = 0; k < trained_.size(); ++k) {
    const Leaf& leaf = trained_[k];
    moments[k] = {want(kFirst + leaf.name, leaf.tensor), want(kSecond + leaf.name, leaf.tensor)};
  }
  if (!given.empty()) throw CodedError("TENSOR_MISSING", "this trainer has no tensor " + *given.begin());
  const auto steps = counters.find(kSteps);
  if (steps == counters.end()) throw CodedError("INVALID_ARGUMENT", std::string("no counter ") + kSteps);
  read_tensors(wanted, sources);
  optimizer_.restore(std::move(moments), static_cast<int64_t>(steps->second));
}

StepResult Trainer::evaluate(const TrainingBatch& batch) const {
  const at::NoGradGuard no_grad;
  StepResult result;
  loss(batch, /*dropout=*/false, result);
  return result;
}

}  // namespace xlembed
