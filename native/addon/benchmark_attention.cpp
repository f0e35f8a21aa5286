// Attention as a training step runs it, forward and backward, beside libtorch's; without dropout, so that
// results can be compared.
#include "addon/arguments.h"
#include "addon/benchmark_packed.h"
#include "core/attention_training.h"
#include "core/error.h"
#include "core/packed_attention.h"

namespace xlembed::addon {
namespace {

// The gradient of op(rows) for an upstream gradient, the forward pass included.
template <typename Op>
std::function<Work()> step_of(const at::Tensor& rows, const at::Tensor& upstream, Op op) {
  return [=]() -> Work {
    const at::Tensor input = rows.detach().requires_grad_();
    return [=](int64_t) -> std::vector<at::Tensor> {
      const at::AutoGradMode with_grad(true);
      return torch::autograd::grad({op(input)}, {input}, {upstream});
    };
  };
}

// As transformers does it: (B, L, 3H) with a mask of the padding.
at::Tensor attend_padded(const at::Tensor& rows, const at::Tensor& mask, int64_t heads) {
  const int64_t sequences = rows.size(0), length = rows.size(1), width = rows.size(2) / 3 / heads;
  const auto parts = rows.view({sequences, length, 3, heads, width}).permute({2, 0, 3, 1, 4}).unbind(0);
  const at::Tensor attended = at::scaled_dot_product_attention(parts[0], parts[1], parts[2], mask);
  return attended.transpose(1, 2).reshape({sequences, length, heads * width});
}

}  // namespace

std::vector<Implementation> attention_case(const BenchmarkOptions& options) {
  const int64_t sequences = options.size("sequences"), heads = options.size("heads"),
                width = options.size("width"), hidden = heads * width;
  const at::Tensor cumulative = draw_cumulative(sequences, options.size("tokens"), options.seed);
  const auto tokens = cumulative[-1].item<int64_t>();
  const at::Tensor rows =
      random_values({tokens, 3 * hidden}, options.seed + 1, options.device).to(options.dtype);
  if (!has_attention_training(rows, width)) {
    throw CodedError("INVALID_ARGUMENT",
                     "expected float32 on the CPU, bfloat16 and a width of at most 64 on a "
                     "GPU for " +
                         options.op);
  }
  const at::Tensor upstream = upstream_of(rows.narrow(1, 0, hidden));
  const Places places = places_of(cumulative, rows.options());
  PackedBatch batch;
  batch.cumulative = cumulative.to(options.device);
  batch.groups = {{0, 1, places.longest}};
  const double squares = cumulative.diff().to(at::kDouble).square().sum().item<double>();
  const double operations = 14 * squares * static_cast<double>(hidden);  // two products, and five
  const double bytes = 12.0 * static_cast<double>(tokens * hidden) * rows.element_size();
  const std::string arithmetic = dtype_name(options.dtype);

  const auto ours = [=](const at::Tensor& x) { return attention_training(x, batch, heads, /*site=*/0, 0); };
  const at::Tensor mask = pad(at::ones({tokens, 1}, rows.options()), places)
                              .to(at::kBool)
                              .view({sequences, 1, 1, places.longest});
  const auto padded = [=](const at::Tensor& x) { return attend_padded(x, mask, heads); };
  const auto unpadded = [places](const at::Tensor& x) {
    return x.flatten(0, 1).index_select(0, places.padded);
  };
  std::vector<Implementation> all = {
      {"xlembed", bytes, operations, arithmetic, step_of(rows, upstream, ours)}};
  if (has_packed_attention(rows.view({tokens, 3, heads, width}))) {
    const auto packed = [=](const at::Tensor& x) {
      return attend_packed(x.view({tokens, 3, heads, width}), batch);
    };
    all.push_back({"libtorch, packed", bytes, operations, arithmetic, step_of(rows, upstream, packed)});
  }
  all.push_back({"libtorch, padded", bytes, operations, arithmetic,
                 step_of(pad(rows, places), pad(upstream, places), padded), unpadded});
  return all;
}

}  // namespace xlembed::addon
