#include "core/attention_training.h"

#ifdef XLEMBED_WITH_CUDA
#include <ATen/cuda/CUDAContext.h>
#endif

#include "core/dropout.h"
#include "core/launch.h"
#include "kernels/attention_training.h"

namespace xlembed {
namespace {

// What the kernels are given beside the rows.
struct Attention {
  const int32_t* cumulative;
  kernels::AttentionShape shape;
  kernels::AttentionDropout dropout;
  int64_t longest;  // tokens of a sequence
};

// output (T, H); log_sums (heads, T) on a GPU, elsewhere undefined
struct Attended {
  at::Tensor output, log_sums;
};

Attended forward_on_cpu(const at::Tensor& query_key_value, const Attention& attention) {
  const int64_t hidden = query_key_value.size(1) / 3;
  const at::Tensor output = at::empty({query_key_value.size(0), hidden}, query_key_value.options());
  kernels::attention_forward(query_key_value.const_data_ptr<float>(), attention.cumulative, attention.shape,
                             attention.dropout, output.mutable_data_ptr<float>());
  return {output, {}};
}

at::Tensor backward_on_cpu(const at::Tensor& query_key_value, const Attention& attention,
                           const at::Tensor& output_gradient) {
  const at::Tensor gradient = at::empty_like(query_key_value);
  kernels::attention_backward(query_key_value.const_data_ptr<float>(), attention.cumulative, attention.shape,
                              attention.dropout, output_gradient.const_data_ptr<float>(),
                              gradient.mutable_data_ptr<float>());
  return gradient;
}

#ifdef XLEMBED_WITH_CUDA

Attended forward_on_gpu(const at::Tensor& query_key_value, const Attention& attention) {
  const c10::DeviceGuard guard(query_key_value.device());
  const int64_t tokens = query_key_value.size(0), hidden = query_key_value.size(1) / 3;
  const at::Tensor output = at::empty({tokens, hidden}, query_key_value.options());
  const at::Tensor log_sums =
      at::empty({attention.shape.heads, tokens}, query_key_value.options().dtype(at::kFloat));
  kernels::cuda::attention_forward(elements<at::BFloat16>(query_key_value), attention.cumulative,
                                   attention.shape, attention.dropout, attention.longest,
                                   mutable_elements<at::BFloat16>(output), log_sums.mutable_data_ptr<float>(),
                                   at::cuda::getCurrentCUDAStream().stream());
  return {output, log_sums};
}

at::Tensor backward_on_gpu(const at::Tensor& query_key_value, const Attention& attention,
                           const Attended& attended, const at::Tensor& output_gradient) {
  const c10::DeviceGuard guard(query_key_value.device());
  const at::Tensor gradient = at::empty_like(query_key_value);
  const at::Tensor scratch =
      at::empty({attention.shape.heads, query_key_value.size(0), kernels::cuda::attention_scratch_floats},
                attended.log_sums.options());
  kernels::cuda::attention_backward(
      elements<at::BFloat16>(query_key_value), attention.cumulative, attention.shape, attention.dropout,
      attention.longest, elements<at::BFloat16>(attended.output), attended.log_sums.const_data_ptr<float>(),
      elements<at::BFloat16>(output_gradient), scratch.mutable_data_ptr<float>(),
      mutable_elements<at::BFloat16>(gradient), at::cuda::getCurrentCUDAStream().stream());
  return gradient;
}

#endif

Attended forward_where_it_lies(const at::Tensor& query_key_value, const Attention& attention) {
#ifdef XLEMBED_WITH_CUDA
  if (query_key_value.is_cuda()) return forward_on_gpu(query_key_value, attention);
#endif
  require_cpu(query_key_value);
  return forward_on_cpu(query_key_value, attention);
}

at::Tensor backward_where_it_lies(const at::Tensor& query_key_value, const Attention& attention,
                                  [[maybe_unused]] const Attended& attended,
                                  const at::Tensor& output_gradient) {
#ifdef XLEMBED_WITH_CUDA
  if (query_key_value.is_cuda())
    return backward_on_gpu(query_key_value, attention, attended, output_gradient);
#endif
  return backward_on_cpu(query_key_value, attention, output_gradient);
}

struct AttentionFunction : torch::autograd::Function<AttentionFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& query_key_value,
                            const at::Tensor& cumulative, const at::Tensor& keys, int64_t heads,
                            int64_t longest, int64_t site, double probability) {
    auto& data = context->saved_data;
    data["heads"] = heads;
    data["longest"] = longest;
    data["site"] = site;
    data["probability"] = probability;
    const Attended attended =
        forward_where_it_lies(query_key_value, attention_of(data, query_key_value, cumulative, keys));
    torch::autograd::variable_list saved = {query_key_value, cumulative, keys};
    if (attended.log_sums.defined()) saved.insert(saved.end(), {attended.output, attended.log_sums});
    context->save_for_backward(saved);
    return attended.output;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Attended attended = saved.size() > 3 ? Attended{saved[3], saved[4]} : Attended{};
    const Attention attention = attention_of(context->saved_data, saved[0], saved[1], saved[2]);
    return {backward_where_it_lies(saved[0], attention, attended, gradients[0].contiguous()),
            {},
            {},
            {},
            {},
            {},
            {}};
  }

 private:
  template <typename Data>
  static Attention attention_of(Data& data, const at::Tensor& query_key_value, const at::Tensor& cumulative,
                                const at::Tensor& keys) {
    const int64_t heads = data["heads"].toInt();
    Attention attention = {
        .cumulative = cumulative.const_data_ptr<int32_t>(),
        .shape = {cumulative.numel() - 1, heads, query_key_value.size(1) / 3 / heads},
        .dropout = {nullptr, {}},
        .longest = data["longest"].toInt(),
    };
    if (keys.numel() > 0) {
      const auto site = static_cast<uint32_t>(data["site"].toInt());
      attention.dropout = {keys.const_data_ptr<int32_t>(),
                           dropout_rule(site, data["probability"].toDouble())};
    }
    return attention;
  }
};

}  // namespace

bool has_attention_training(const at::Tensor& query_key_value, [[maybe_unused]] int64_t width) {
  if (query_key_value.is_cpu()) return query_key_value.scalar_type() == at::kFloat;
#ifdef XLEMBED_WITH_CUDA
  return query_key_value.is_cuda() && query_key_value.scalar_type() == at::kBFloat16 &&
         kernels::cuda::has_attention(width) &&
         at::cuda::getDeviceProperties(query_key_value.get_device())->major >= 8;
#else
  return false;
#endif
}

at::Tensor attention_training(const at::Tensor& query_key_value, const PackedBatch& batch, int64_t heads,
                              uint32_t site, double probability) {
  // Not undefined where nothing is dropped: an autograd function asks every argument for its device.
  const at::Tensor keys = probability > 0 ? batch.dropout_keys : at::empty({0}, batch.cumulative.options());
  const int64_t longest = batch.groups.empty() ? 0 : batch.groups.back().length;
  return AttentionFunction::apply(query_key_value.contiguous(), batch.cumulative, keys, heads, longest,
                                  static_cast<int64_t>(site), probability);
}

}  // namespace xlembed
