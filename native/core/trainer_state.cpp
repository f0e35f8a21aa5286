// The trainer's state by name: what a checkpoint holds beside the encoder's weights.
#include <unordered_set>

#include "core/error.h"
#include "core/trainer.h"

namespace xlembed {
namespace {

constexpr const char* kFirst = "optimizer.first_moment.";
constexpr const char* kSecond = "optimizer.second_moment.";
constexpr const char* kSteps = "optimizer_steps";
constexpr const char* kScale = "loss_scale";
constexpr const char* kGoodSteps = "loss_scale_good_steps";

double counter(const std::map<std::string, double>& counters, const char* name) {
  const auto found = counters.find(name);
  if (found == counters.end()) throw CodedError("INVALID_ARGUMENT", std::string("no counter ") + name);
  return found->second;
}

// Of the tensor's bytes, in order.
uint64_t fingerprint_of(const at::Tensor& tensor, uint64_t start) {
  const at::Tensor values = tensor.detach().to(at::kCPU).contiguous();
  const auto* words = static_cast<const uint32_t*>(values.const_data_ptr());
  uint64_t hash = start;
  for (int64_t i = 0; i < static_cast<int64_t>(values.nbytes() / sizeof(uint32_t)); ++i) {
    hash = (hash ^ words[i]) * 0x9E3779B97F4A7C15ull;
    hash ^= hash >> 29;
  }
  return hash;
}

}  // namespace

uint64_t Trainer::fingerprint() const {
  uint64_t hash = 0;
  for (const Leaf& leaf : encoder_->parameters().leaves()) hash = fingerprint_of(leaf.tensor, hash);
  for (const Trained& trained : trained_) {
    if (!trained.in_encoder) hash = fingerprint_of(trained.leaf.tensor, hash);
  }
  return hash;
}

int64_t Trainer::bytes() const {
  int64_t bytes = 0;
  for (const Trained& trained : trained_) bytes += 3 * static_cast<int64_t>(trained.leaf.tensor.nbytes());
  return bytes;
}

TrainerState Trainer::state() const {
  TrainerState state;
  for (size_t k = 0; k < trained_.size(); ++k) {
    const Leaf& leaf = trained_[k].leaf;
    if (!trained_[k].in_encoder) state.tensors.push_back({leaf.name, leaf.tensor});
    const AdamWState& moments = optimizer_.states()[k];
    if (!moments.first.defined()) continue;
    state.tensors.push_back({kFirst + leaf.name, moments.first});
    state.tensors.push_back({kSecond + leaf.name, moments.second});
  }
  state.counters = {{kSteps, static_cast<double>(optimizer_.steps())},
                    {kScale, loss_scale_.value()},
                    {kGoodSteps, static_cast<double>(loss_scale_.good_steps())}};
  return state;
}

void Trainer::restore(const std::vector<TensorSource>& sources,
                      const std::map<std::string, double>& counters) {
  std::unordered_set<std::string> given;
  for (const TensorSource& source : sources) given.insert(source.name);
  std::vector<NamedTensor> wanted;
  const auto want = [&](const std::string& name, const at::Tensor& like) {
    if (given.erase(name) == 0) return at::Tensor();
    wanted.push_back({name, at::empty_like(like.detach())});
    return wanted.back().tensor;
  };
  std::vector<AdamWState> moments(trained_.size());
  std::vector<std::pair<at::Tensor, at::Tensor>>
      own;  // adapters' and the loss's parameters, and what they become
  for (size_t k = 0; k < trained_.size(); ++k) {
    const Leaf& leaf = trained_[k].leaf;
    moments[k] = {want(kFirst + leaf.name, leaf.tensor), want(kSecond + leaf.name, leaf.tensor)};
    if (trained_[k].in_encoder) continue;
    own.emplace_back(leaf.tensor, want(leaf.name, leaf.tensor));
    if (!own.back().second.defined()) throw CodedError("TENSOR_MISSING", "no value for " + leaf.name);
  }
  if (!given.empty()) throw CodedError("TENSOR_MISSING", "this trainer has no tensor " + *given.begin());
  const double steps = counter(counters, kSteps), scale = counter(counters, kScale);
  const double good_steps = counter(counters, kGoodSteps);
  read_tensors(wanted, sources);
  optimizer_.restore(std::move(moments), static_cast<int64_t>(steps));
  loss_scale_.restore(scale, static_cast<int64_t>(good_steps));
  const at::NoGradGuard no_grad;
  for (auto& [parameter, value] : own) parameter.copy_(value);
}

}  // namespace xlembed
