#include "core/dropout.h"

#include "core/launch.h"
#include "core/seed.h"
#include "kernels/dropout.h"

namespace xlembed {
namespace {

using kernels::DropoutRule;

template <typename T>
at::Tensor drop_as(const at::Tensor& x, const at::Tensor& keys, const DropoutRule& rule) {
  const at::Tensor result = at::empty_like(x);
  const int64_t rows = keys.numel();
  XLEMBED_LAUNCH(x, dropout, elements<T>(x), keys.const_data_ptr<int32_t>(), rows,
                 rows == 0 ? 0 : x.numel() / rows, rule, mutable_elements<T>(result));
  return result;
}

at::Tensor drop(const at::Tensor& x, const at::Tensor& keys, const DropoutRule& rule) {
  const c10::DeviceGuard guard(x.device());
  if (!is_kernel_dtype(x)) return drop_as<float>(x.to(at::kFloat), keys, rule).to(x.scalar_type());
  return x.scalar_type() == at::kFloat ? drop_as<float>(x, keys, rule) : drop_as<at::BFloat16>(x, keys, rule);
}

struct DropoutFunction : torch::autograd::Function<DropoutFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& keys, int64_t threshold, int64_t site, double scale) {
    context->save_for_backward({keys});
    context->saved_data["threshold"] = threshold;
    context->saved_data["site"] = site;
    context->saved_data["scale"] = scale;
    return drop(x, keys, rule(threshold, site, scale));
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    auto& saved = context->saved_data;
    const DropoutRule again =
        rule(saved["threshold"].toInt(), saved["site"].toInt(), saved["scale"].toDouble());
    return {drop(gradients[0].contiguous(), context->get_saved_variables()[0], again), {}, {}, {}, {}};
  }

  static DropoutRule rule(int64_t threshold, int64_t site, double scale) {
    return {static_cast<uint32_t>(threshold), static_cast<uint32_t>(site), static_cast<float>(scale)};
  }
};

constexpr double kTwoTo32 = 4294967296.0;

}  // namespace

void seed_dropout(PackedBatch& batch, uint64_t seed, std::span<const int64_t> sequences) {
  const auto* row = batch.host_row_of.const_data_ptr<int64_t>();
  const auto* offset = batch.host_cumulative.const_data_ptr<int32_t>();
  std::vector<int32_t> keys(batch.tokens());
  for (int64_t b = 0; b < batch.sequences(); ++b) {
    const auto own = static_cast<uint32_t>(mixed_seed(seed, static_cast<uint64_t>(sequences[b])) >> 32);
    const int32_t first = offset[row[b]], end = offset[row[b] + 1];
    for (int32_t t = first; t < end; ++t) {
      keys[t] = static_cast<int32_t>(kernels::mix_bits(own + static_cast<uint32_t>(t - first) * 0x9E3779B9u));
    }
  }
  batch.dropout_keys = placed(keys, batch.input_ids.device());
}

DropoutRule dropout_rule(uint32_t site, double probability) {
  const auto threshold = static_cast<uint32_t>(std::min(probability * kTwoTo32, kTwoTo32 - 1));
  return {threshold, site, static_cast<float>(1 / (1 - probability))};
}

at::Tensor dropout(const at::Tensor& x, const at::Tensor& keys, uint32_t site, double probability) {
  const DropoutRule rule = dropout_rule(site, probability);
  return DropoutFunction::apply(x.contiguous(), keys, static_cast<int64_t>(rule.threshold),
                                static_cast<int64_t>(site), 1 / (1 - probability));
}

at::Tensor attention_keys(const PackedBatch& batch, const LengthGroup& group, int64_t heads) {
  const at::Tensor tokens = batch.dropout_keys.narrow(0, group.first_token, group.sequences * group.length)
                                .view({group.sequences, 1, group.length});
  std::vector<int32_t> head(heads);
  for (int64_t h = 0; h < heads; ++h) {
    head[h] = static_cast<int32_t>(kernels::mix_bits(static_cast<uint32_t>(h + 1)));
  }
  return at::bitwise_xor(tokens, placed(head, tokens.device()).view({1, heads, 1})).contiguous();
}

}  // namespace xlembed
