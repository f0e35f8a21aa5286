#include "core/pooling.h"

#include <map>

#include "core/error.h"
#include "core/pool.h"

namespace xlembed {
namespace {

template <PoolMode mode>
at::Tensor pool_by_kernel(const at::Tensor& hidden, const at::Tensor& cumulative) {
  return pool(hidden, cumulative, mode);
}

at::Tensor lengths_of(const at::Tensor& cumulative) {
  return cumulative.slice(0, 1) - cumulative.slice(0, 0, -1);
}

at::Tensor pool_mean_sqrt_length(const at::Tensor& hidden, const at::Tensor& cumulative) {
  const at::Tensor mean = pool(hidden, cumulative, PoolMode::mean);
  return (mean.to(at::kFloat) * lengths_of(cumulative).to(at::kFloat).sqrt_().unsqueeze(1))
      .to(hidden.scalar_type());
}

// With the weights w_t = 2 t / (L + 1), whose mean is 1, the mean of w_t hidden_t is the weighted mean. In
// float32: a product rounded to bfloat16 would lose what the kernel's sum keeps.
at::Tensor pool_weighted_mean(const at::Tensor& hidden, const at::Tensor& cumulative) {
  const int64_t tokens = hidden.size(0);
  const at::Tensor lengths = lengths_of(cumulative);
  const at::Tensor starts = at::repeat_interleave(cumulative.slice(0, 0, -1), lengths, 0, tokens);
  const at::Tensor place = at::arange(1, tokens + 1, cumulative.options()) - starts;
  const at::Tensor weights =
      2 * place.to(at::kFloat) / (at::repeat_interleave(lengths, lengths, 0, tokens) + 1);
  return pool(hidden.to(at::kFloat) * weights.unsqueeze(1), cumulative, PoolMode::mean)
      .to(hidden.scalar_type());
}

at::Tensor pool_last(const at::Tensor& hidden, const at::Tensor& cumulative) {
  if (hidden.size(0) == 0) return pool(hidden, cumulative, PoolMode::first);
  const at::Tensor last = (cumulative.slice(0, 1) - 1).clamp_min_(0);
  const at::Tensor empty = lengths_of(cumulative).eq(0).unsqueeze(1);
  return hidden.index_select(0, last).masked_fill(empty, 0);
}

}  // namespace

Pooling find_pooling(const std::string& mode) {
  static const std::map<std::string, Pooling> poolings = {
      {"first", pool_by_kernel<PoolMode::first>}, {"max", pool_by_kernel<PoolMode::max>},
      {"mean", pool_by_kernel<PoolMode::mean>},   {"mean_sqrt_length", pool_mean_sqrt_length},
      {"weighted_mean", pool_weighted_mean},      {"last", pool_last},
  };
  const auto found = poolings.find(mode);
  if (found == poolings.end()) throw CodedError("MODEL_UNSUPPORTED", "pooling " + mode);
  return found->second;
}

}  // namespace xlembed
