#include "core/attention_training.h"

#include "core/dropout.h"
#include "core/launch.h"
#include "kernels/attention_training.h"

namespace xlembed {
namespace {

kernels::AttentionShape shape_of(const at::Tensor& query_key_value, const at::Tensor& cumulative,
                                 int64_t heads) {
  return {cumulative.numel() - 1, heads, query_key_value.size(1) / 3 / heads};
}

kernels::AttentionDropout dropout_of(const at::Tensor& keys, int64_t site, double probability) {
  if (keys.numel() == 0) return {nullptr, {}};
  return {keys.const_data_ptr<int32_t>(), dropout_rule(static_cast<uint32_t>(site), probability)};
}

struct AttentionFunction : torch::autograd::Function<AttentionFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& query_key_value,
                            const at::Tensor& cumulative, const at::Tensor& keys, int64_t heads, int64_t site,
                            double probability) {
    context->save_for_backward({query_key_value, cumulative, keys});
    context->saved_data["heads"] = heads;
    context->saved_data["site"] = site;
    context->saved_data["probability"] = probability;
    const at::Tensor output =
        at::empty({query_key_value.size(0), query_key_value.size(1) / 3}, query_key_value.options());
    kernels::attention_forward(query_key_value.const_data_ptr<float>(), cumulative.const_data_ptr<int32_t>(),
                               shape_of(query_key_value, cumulative, heads),
                               dropout_of(keys, site, probability), output.mutable_data_ptr<float>());
    return output;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    auto& data = context->saved_data;
    const at::Tensor& query_key_value = saved[0];
    const at::Tensor output_gradient = gradients[0].contiguous();
    const at::Tensor result = at::empty_like(query_key_value);
    kernels::attention_backward(query_key_value.const_data_ptr<float>(), saved[1].const_data_ptr<int32_t>(),
                                shape_of(query_key_value, saved[1], data["heads"].toInt()),
                                dropout_of(saved[2], data["site"].toInt(), data["probability"].toDouble()),
                                output_gradient.const_data_ptr<float>(), result.mutable_data_ptr<float>());
    return {result, {}, {}, {}, {}, {}};
  }
};

}  // namespace

bool has_attention_training(const at::Tensor& query_key_value) {
  return query_key_value.is_cpu() && query_key_value.scalar_type() == at::kFloat;
}

at::Tensor attention_training(const at::Tensor& query_key_value, const PackedBatch& batch, int64_t heads,
                              uint32_t site, double probability) {
  // Not undefined where nothing is dropped: an autograd function asks every argument for its device.
  const at::Tensor keys = probability > 0 ? batch.dropout_keys : at::empty({0}, at::kInt);
  return AttentionFunction::apply(query_key_value.contiguous(), batch.cumulative, keys, heads,
                                  static_cast<int64_t>(site), probability);
}

}  // namespace xlembed
