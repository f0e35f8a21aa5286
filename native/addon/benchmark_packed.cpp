#include "addon/benchmark_packed.h"

namespace xlembed::addon {

at::Tensor draw_cumulative(int64_t sequences, int64_t mean, int64_t seed) {
  const at::Tensor lengths = ((random_values({sequences}, seed) + 1) * (mean - 0.5)).floor() + 1;
  return at::cat({at::zeros({1}), lengths}).cumsum(0, at::kLong).to(at::kInt);
}

Places places_of(const at::Tensor& cumulative, const at::TensorOptions& type) {
  const at::Tensor bounds = cumulative.to(at::kLong);
  const at::Tensor starts = bounds.slice(0, 0, -1), lengths = bounds.diff();
  const at::Tensor sequence = at::repeat_interleave(lengths);
  const auto longest = lengths.max().item<int64_t>();
  const at::Tensor inside = at::arange(sequence.size(0)) - starts.index_select(0, sequence);
  const at::Device device = type.device();
  return {lengths.unsqueeze(1).to(type),
          sequence.to(device),
          (sequence * longest + inside).to(device),
          starts.to(device),
          lengths.to(device),
          longest};
}

at::Tensor pad(const at::Tensor& tokens, const Places& places) {
  const int64_t sequences = places.counts.size(0), dimensions = tokens.size(1);
  const at::Tensor rows = at::zeros({sequences * places.longest, dimensions}, tokens.options());
  return rows.index_copy(0, places.padded, tokens).view({sequences, places.longest, dimensions});
}

at::Tensor upstream_of(const at::Tensor& result) {
  return random_values(result.sizes(), 7, result.device()).to(result.scalar_type());
}

}  // namespace xlembed::addon
