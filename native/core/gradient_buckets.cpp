#include "core/gradient_buckets.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace xlembed {
namespace {

// Slots begin at multiples of this, so that kernels read aligned vectors.
constexpr int64_t kAlignment = 16;

int64_t aligned(int64_t elements) { return (elements + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

struct GradientBuckets::Hook : torch::autograd::PostAccumulateGradHook {
  Hook(GradientBuckets* owner, size_t parameter) : owner(owner), parameter(parameter) {}
  void operator()(const at::Tensor& /*leaf*/) override { owner->accumulated(parameter); }
  GradientBuckets* owner;
  size_t parameter;
};

GradientBuckets::GradientBuckets(std::vector<at::Tensor> parameters, std::shared_ptr<ProcessGroup> group,
                                 int64_t bucket_bytes)
    : parameters_(std::move(parameters)),
      group_(std::move(group)),
      awaited_(parameters_.size(), 1),
      final_(parameters_.size(), 0),
      used_(parameters_.size(), 0) {
  fill_buckets(bucket_bytes);
  for (size_t k = 0; k < parameters_.size(); ++k) {
    torch::autograd::impl::set_post_acc_grad_hooks(parameters_[k], std::make_unique<Hook>(this, k));
  }
}

GradientBuckets::~GradientBuckets() {
  for (const at::Tensor& parameter : parameters_) {
    torch::autograd::impl::set_post_acc_grad_hooks(parameter, nullptr);
  }
}

void GradientBuckets::fill_buckets(int64_t bucket_bytes) {
  const int64_t most = bucket_bytes / static_cast<int64_t>(sizeof(float));
  buckets_.emplace_back();
  for (size_t k = parameters_.size(); k-- > 0;) {
    if (buckets_.back().elements > 0 && buckets_.back().elements + parameters_[k].numel() > most) {
      buckets_.emplace_back();
    }
    Bucket& bucket = buckets_.back();
    bucket.slots.push_back({k, bucket.elements});
    bucket.elements += aligned(parameters_[k].numel());
  }
  used_offset_ = buckets_.back().elements;
  buckets_.back().elements += static_cast<int64_t>(parameters_.size());
}

void GradientBuckets::begin(const std::vector<at::Tensor>& earlier, double factor) {
  earlier_ = earlier;
  factor_ = factor;
  std::fill(final_.begin(), final_.end(), 0);
  next_ = 0;
  collects_ = true;
}

void GradientBuckets::accumulated(size_t parameter) {
  if (!collects_) return;
  final_[parameter] = 1;
  while (next_ < buckets_.size() && is_final(buckets_[next_])) start(buckets_[next_++]);
}

bool GradientBuckets::is_final(const Bucket& bucket) const {
  return std::all_of(bucket.slots.begin(), bucket.slots.end(), [this](const Slot& slot) {
    return final_[slot.parameter] || !awaited_[slot.parameter];
  });
}

void GradientBuckets::start(Bucket& bucket) {
  const at::NoGradGuard no_grad;
  const at::TensorOptions floats = parameters_[0].options().requires_grad(false);
  bucket.sums = at::zeros({bucket.elements}, floats);
  for (const auto& [k, offset] : bucket.slots) {
    at::Tensor& gradient = parameters_[k].mutable_grad();
    const bool has_earlier = !earlier_.empty() && earlier_[k].defined();
    used_[k] = gradient.defined() || has_earlier;
    at::Tensor slot = bucket.sums.narrow(0, offset, parameters_[k].numel());
    if (gradient.defined()) slot.copy_(gradient.view(-1));
    if (has_earlier) slot.add_(earlier_[k].view(-1), factor_);
    gradient = at::Tensor();
  }
  if (&bucket == &buckets_.back()) {
    std::vector<float> used(used_.begin(), used_.end());
    bucket.sums.narrow(0, used_offset_, static_cast<int64_t>(used.size())).copy_(at::tensor(used));
  }
  bucket.wait = group_->start_sum(bucket.sums);
}

void GradientBuckets::finish() {
  const bool has_run = std::find(final_.begin(), final_.end(), 1) != final_.end();
  while (next_ < buckets_.size()) start(buckets_[next_++]);
  collects_ = false;
  next_ = 0;
  earlier_.clear();
  for (Bucket& bucket : buckets_) std::exchange(bucket.wait, nullptr)();
  const at::Tensor used =
      buckets_.back().sums.narrow(0, used_offset_, static_cast<int64_t>(parameters_.size())).to(at::kCPU);
  for (Bucket& bucket : buckets_) take(bucket, used.const_data_ptr<float>());
  if (has_run) awaited_ = final_;
}

// The gradients become views of the sums.
void GradientBuckets::take(const Bucket& bucket, const float* used) {
  for (const auto& [k, offset] : bucket.slots) {
    at::Tensor& gradient = parameters_[k].mutable_grad();
    if (gradient.defined()) {
      throw CodedError("NATIVE_FAILED", "a gradient came after its bucket had left");
    }
    if (used[k] > 0) {
      gradient = bucket.sums.narrow(0, offset, parameters_[k].numel()).view(parameters_[k].sizes());
    }
  }
}

}  // namespace xlembed
