// Ops that pass over rows once: pooling, normalising, quantising.
#include "addon/benchmark_packed.h"
#include "core/launch.h"
#include "core/normalize.h"
#include "core/pool.h"
#include "kernels/normalize.h"
#include "kernels/pool.h"
#include "kernels/quantize.h"

namespace xlembed::addon {
namespace {

using Sets = std::vector<at::Tensor>;

constexpr const char* kSums = "float32";  // whatever the dtype of the rows

// An implementation that needs nothing but its set of inputs.
template <typename Op>
std::function<Work()> over(const Sets& sets, Op op) {
  return
      [sets, op] { return [sets, op](int64_t set) -> std::vector<at::Tensor> { return {op(sets[set])}; }; };
}

// The gradient of op's result, for one upstream gradient, over sets of inputs whose graphs are kept.
template <typename Op>
std::function<Work()> backward_over(const Sets& sets, Op op) {
  return [sets, op]() -> Work {
    const at::AutoGradMode with_grad(true);
    Sets inputs, outputs;
    for (const at::Tensor& set : sets) {
      inputs.push_back(set.detach().requires_grad_());
      outputs.push_back(op(inputs.back()));
    }
    const at::Tensor upstream = upstream_of(outputs[0]);
    return [inputs, outputs, upstream](int64_t set) -> std::vector<at::Tensor> {
      return torch::autograd::grad({outputs[set]}, {inputs[set]}, {upstream}, /*retain_graph=*/true);
    };
  };
}

template <typename Op>
std::function<Work()> either_over(bool backward, const Sets& sets, Op op) {
  return backward ? backward_over(sets, op) : over(sets, op);
}

// The kernels alone, whose result goes where the last one was. Every other implementation has its memory from
// the system anew, and what that costs is in its time.

constexpr const char* kInto = "xlembed, into memory at hand";

template <typename T>
std::function<Work()> normalize_into(const Sets& sets, bool backward) {
  return [sets, backward]() -> Work {
    const at::Tensor out = at::empty_like(sets[0]), upstream = upstream_of(out);
    const auto forward = [out](const at::Tensor& x, const at::Tensor& norms) {
      XLEMBED_LAUNCH(x, normalize_forward, elements<T>(x), x.size(0), x.size(1), mutable_elements<T>(out),
                     norms.mutable_data_ptr<float>());
    };
    Sets norms;
    for (const at::Tensor& x : sets) {
      norms.push_back(at::empty({x.size(0)}, x.options().dtype(at::kFloat)));
      forward(x, norms.back());
    }
    return [=](int64_t set) -> std::vector<at::Tensor> {
      const at::Tensor& x = sets[set];
      if (backward) {
        XLEMBED_LAUNCH(x, normalize_backward, elements<T>(x), norms[set].const_data_ptr<float>(),
                       elements<T>(upstream), x.size(0), x.size(1), mutable_elements<T>(out));
      } else {
        forward(x, norms[set]);
      }
      return {out};
    };
  };
}

template <typename T>
std::function<Work()> pool_gradient_into(const Sets& sets, const at::Tensor& cumulative, PoolMode mode) {
  return [=]() -> Work {
    const kernels::PoolShape shape{cumulative.size(0) - 1, sets[0].size(0), sets[0].size(1)};
    const at::Tensor out = at::empty_like(sets[0]);
    const at::Tensor pooled = at::empty({shape.sequences, shape.dimensions}, out.options());
    const at::Tensor upstream = upstream_of(pooled);
    Sets winners;
    for (const at::Tensor& x : sets) {
      if (mode != PoolMode::max) break;
      winners.push_back(at::empty({shape.sequences, shape.dimensions}, cumulative.options()));
      XLEMBED_LAUNCH(x, pool_max_forward, elements<T>(x), cumulative.const_data_ptr<int32_t>(), shape,
                     mutable_elements<T>(pooled), winners.back().mutable_data_ptr<int32_t>());
    }
    return [=](int64_t set) -> std::vector<at::Tensor> {
      const int32_t* bounds = cumulative.const_data_ptr<int32_t>();
      if (mode == PoolMode::mean) {
        XLEMBED_LAUNCH(out, pool_mean_backward, elements<T>(upstream), bounds, shape,
                       mutable_elements<T>(out));
      } else if (mode == PoolMode::first) {
        XLEMBED_LAUNCH(out, pool_first_backward, elements<T>(upstream), bounds, shape,
                       mutable_elements<T>(out));
      } else {
        XLEMBED_LAUNCH(out, pool_max_backward, elements<T>(upstream), winners[set].const_data_ptr<int32_t>(),
                       bounds, shape, mutable_elements<T>(out));
      }
      return {out};
    };
  };
}

// Pooling as sentence-transformers does it, over padded sequences and a mask.
at::Tensor pool_padded(const at::Tensor& padded, const at::Tensor& mask, PoolMode mode) {
  if (mode == PoolMode::first) return padded.select(1, 0);
  if (mode == PoolMode::max) return std::get<0>(padded.masked_fill(mask.eq(0), -1e9).max(1));
  return (padded * mask).sum(1) / mask.sum(1).clamp_min(1e-9);
}

// The same over packed ones.
at::Tensor pool_packed(const at::Tensor& tokens, const Places& places, PoolMode mode) {
  if (mode == PoolMode::first) return tokens.index_select(0, places.starts);
  if (mode == PoolMode::max) return at::segment_reduce(tokens, "max", places.lengths);
  const at::Tensor sums = at::zeros({places.counts.size(0), tokens.size(1)}, tokens.options());
  return sums.index_add(0, places.sequence, tokens) / places.counts;
}

const char* packed_name(PoolMode mode) {
  if (mode == PoolMode::first) return "libtorch, index_select";
  return mode == PoolMode::max ? "libtorch, segment_reduce" : "libtorch, index_add";
}

at::Tensor quantize_int8(const at::Tensor& x) {
  const at::Tensor out = at::empty(x.sizes(), x.options().dtype(at::kChar));
  const at::Tensor scales = at::empty({x.size(0)}, x.options());
  XLEMBED_LAUNCH(x, quantize_int8, x.const_data_ptr<float>(), x.size(0), x.size(1),
                 out.mutable_data_ptr<int8_t>(), scales.mutable_data_ptr<float>());
  return out;
}

at::Tensor quantize_int8_eager(const at::Tensor& x) {
  const at::Tensor scales = x.abs().amax(1, /*keepdim=*/true) / 127;
  return (x / scales).round().to(at::kChar);
}

at::Tensor quantize_binary(const at::Tensor& x) {
  const at::Tensor out = at::empty({x.size(0), (x.size(1) + 7) / 8}, x.options().dtype(at::kByte));
  XLEMBED_LAUNCH(x, quantize_binary, x.const_data_ptr<float>(), x.size(0), x.size(1),
                 out.mutable_data_ptr<uint8_t>());
  return out;
}

// numpy.packbits in libtorch's ops; D a multiple of 8.
at::Tensor quantize_binary_eager(const at::Tensor& x, const at::Tensor& weights) {
  const at::Tensor bits = (x > 0).view({x.size(0), x.size(1) / 8, 8}).to(at::kByte);
  return (bits * weights).sum(2, /*keepdim=*/false, at::kByte);
}

}  // namespace

std::vector<Implementation> pool_case(const BenchmarkOptions& options) {
  const bool backward = options.op.ends_with("_backward");
  const PoolMode mode = options.op.starts_with("pool_mean")    ? PoolMode::mean
                        : options.op.starts_with("pool_first") ? PoolMode::first
                                                               : PoolMode::max;
  const int64_t sequences = options.size("sequences"), dimensions = options.size("dimensions");
  const at::Tensor cumulative = draw_cumulative(sequences, options.size("tokens"), options.seed);
  const auto tokens = cumulative[-1].item<int64_t>();
  const Sets sets = random_sets(options, {tokens, dimensions});
  const Places places = places_of(cumulative, sets[0].options());
  const double bytes = static_cast<double>(tokens + sequences) * dimensions * sets[0].element_size();
  const double operations = static_cast<double>(tokens) * dimensions;
  const auto ours =
      either_over(backward, sets, [bounds = cumulative.to(options.device), mode](const at::Tensor& hidden) {
        return pool(hidden, bounds, mode);
      });
  // Its users' tensors are padded from the beginning: neither that nor its gradient is timed.
  const auto padded = [=]() -> Work {
    Sets wide;
    for (const at::Tensor& tokens_of_set : sets) wide.push_back(pad(tokens_of_set, places));
    const at::Tensor mask = pad(at::ones_like(sets[0].narrow(1, 0, 1)), places);
    return either_over(backward, wide,
                       [mask, mode](const at::Tensor& x) { return pool_padded(x, mask, mode); })();
  };
  const auto packed =
      either_over(backward, sets, [=](const at::Tensor& x) { return pool_packed(x, places, mode); });
  const auto unpadded = [places, dimensions](const at::Tensor& x) {
    return x.dim() == 2 ? x : x.reshape({-1, dimensions}).index_select(0, places.padded);
  };
  std::vector<Implementation> all = {{"xlembed", bytes, operations, kSums, ours},
                                     {packed_name(mode), bytes, operations, kSums, packed},
                                     {"libtorch, padded", bytes, operations, kSums, padded, unpadded}};
  if (backward) {
    const auto into =
        options.dtype == at::kFloat ? pool_gradient_into<float> : pool_gradient_into<at::BFloat16>;
    all.push_back({kInto, bytes, operations, kSums, into(sets, cumulative.to(options.device), mode)});
  }
  return all;
}

std::vector<Implementation> normalize_case(const BenchmarkOptions& options) {
  const bool backward = options.op.ends_with("_backward");
  const int64_t rows = options.size("rows"), dimensions = options.size("dimensions");
  const Sets sets = random_sets(options, {rows, dimensions});
  const double values = static_cast<double>(rows) * dimensions;
  const double bytes = (backward ? 3 : 2) * values * sets[0].element_size();
  const double operations = (backward ? 5 : 3) * values;
  // As torch.nn.functional.normalize.
  const auto eager = [](const at::Tensor& x) { return x / x.norm(2, {1}, true).clamp_min(1e-12); };
  const auto into = options.dtype == at::kFloat ? normalize_into<float> : normalize_into<at::BFloat16>;
  return {{"xlembed", bytes, operations, kSums, either_over(backward, sets, normalize_rows)},
          {"libtorch", bytes, operations, kSums, either_over(backward, sets, eager)},
          {kInto, bytes, operations, kSums, into(sets, backward)}};
}

std::vector<Implementation> quantize_case(const BenchmarkOptions& options) {
  const int64_t rows = options.size("rows"), dimensions = options.size("dimensions");
  BenchmarkOptions floats = options;
  floats.dtype = at::kFloat;
  const Sets sets = random_sets(floats, {rows, dimensions});
  const double values = static_cast<double>(rows) * dimensions;
  if (options.op == "quantize_int8") {
    return {{"xlembed", 5 * values, 2 * values, kSums, over(sets, quantize_int8)},
            {"libtorch", 5 * values, 2 * values, kSums, over(sets, quantize_int8_eager)}};
  }
  const at::Tensor weights = at::tensor({128, 64, 32, 16, 8, 4, 2, 1}, at::kByte).to(options.device);
  const auto eager = [weights](const at::Tensor& x) { return quantize_binary_eager(x, weights); };
  return {{"xlembed", 4.125 * values, values, kSums, over(sets, quantize_binary)},
          {"libtorch", 4.125 * values, values, kSums, over(sets, eager)}};
}

}  // namespace xlembed::addon
