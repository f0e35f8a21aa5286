#include "core/packed_attention.h"

#include <cmath>

#ifdef XLEMBED_WITH_CUDA
#include <ATen/cuda/CUDAContext.h>
#endif

namespace xlembed {
namespace {

// What flash attention takes as it is.
constexpr int64_t kWidthStep = 8, kLargestWidth = 256;

// The kernels' mask types: none.
constexpr int64_t kNoMask = 0;

int64_t longest(const PackedBatch& batch) { return batch.groups.back().length; }

}  // namespace

bool has_packed_attention(const at::Tensor& query_key_value) {
  const int64_t width = query_key_value.size(3);
  if (!query_key_value.is_cuda() || width % kWidthStep != 0 || width > kLargestWidth) return false;
#ifdef XLEMBED_WITH_CUDA
  return at::cuda::getDeviceProperties(query_key_value.get_device())->major >= 8;
#else
  return false;
#endif
}

at::Tensor attend_packed(const at::Tensor& query_key_value, const PackedBatch& batch) {
  const int64_t tokens = query_key_value.size(0), width = query_key_value.size(3);
  const auto parts = query_key_value.unbind(1);  // query, key, value: (T, heads, width) with a stride
  if (tokens == 0) return parts[0].flatten(1);
  const double scale = 1 / std::sqrt(static_cast<double>(width));
  if (query_key_value.scalar_type() == at::kFloat) {
    const bool differentiates = at::GradMode::is_enabled() && query_key_value.requires_grad();
    const at::Tensor attended = std::get<0>(at::_efficient_attention_forward(
        parts[0].unsqueeze(0), parts[1].unsqueeze(0), parts[2].unsqueeze(0), /*bias=*/{}, batch.cumulative,
        batch.cumulative, longest(batch), longest(batch), /*dropout_p=*/0.0, kNoMask,
        /*compute_log_sumexp=*/differentiates, scale));
    return attended.reshape({tokens, -1});
  }
  const at::Tensor attended = std::get<0>(at::_flash_attention_forward(
      parts[0], parts[1], parts[2], batch.cumulative, batch.cumulative, longest(batch), longest(batch),
      /*dropout_p=*/0.0, /*is_causal=*/false, /*return_debug_mask=*/false, scale));
  return attended.reshape({tokens, -1});
}

}  // namespace xlembed
