#include "addon/benchmark_case.h"

#include <algorithm>

#include "core/error.h"
#include "kernels/parallel.h"

namespace xlembed::addon {
namespace {

// The finaliser of splitmix64 after `place` steps.
uint64_t splitmix64(uint64_t place) {
  uint64_t z = place * 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

// A shift that brings zeros, of numbers that at::Tensor takes for signed ones.
at::Tensor shift_right(const at::Tensor& z, int64_t bits) {
  return z.__rshift__(bits).bitwise_and_((int64_t{1} << (64 - bits)) - 1);
}

// What random_values() draws, as a tensor's operations: values (n) from place `first` on.
void draw_on_device(const at::Tensor& values, int64_t first) {
  constexpr int64_t part = 1 << 26;
  for (int64_t begin = 0; begin < values.numel(); begin += part) {
    const int64_t count = std::min(part, values.numel() - begin);
    at::Tensor z = at::arange(first + begin, first + begin + count, values.options().dtype(at::kLong));
    z.mul_(static_cast<int64_t>(0x9E3779B97F4A7C15ull));
    z.bitwise_xor_(shift_right(z, 30)).mul_(static_cast<int64_t>(0xBF58476D1CE4E5B9ull));
    z.bitwise_xor_(shift_right(z, 27)).mul_(static_cast<int64_t>(0x94D049BB133111EBull));
    z.bitwise_xor_(shift_right(z, 31));
    values.narrow(0, begin, count).copy_(shift_right(z, 40)).mul_(0x1p-23).sub_(1);
  }
}

}  // namespace

int64_t BenchmarkOptions::size(const char* name) const {
  const auto found = shape.find(name);
  if (found != shape.end() && found->second > 0) return found->second;
  throw CodedError("INVALID_ARGUMENT", "expected a size above 0 for " + std::string(name) + " of " + op);
}

std::vector<Implementation> benchmark_case(const BenchmarkOptions& options) {
  using Case = std::vector<Implementation> (*)(const BenchmarkOptions&);
  static const std::map<std::string, Case> cases = {
      {"copy", bandwidth_case},
      {"read", bandwidth_case},
      {"matmul", matmul_case},
      {"pool_mean", pool_case},
      {"pool_first", pool_case},
      {"pool_max", pool_case},
      {"pool_mean_backward", pool_case},
      {"pool_first_backward", pool_case},
      {"pool_max_backward", pool_case},
      {"normalize", normalize_case},
      {"normalize_backward", normalize_case},
      {"quantize_int8", quantize_case},
      {"quantize_binary", quantize_case},
      {"attention_training", attention_case},
      {"info_nce", info_nce_case},
      {"top_k", top_k_case},
      {"top_k_binary", top_k_binary_case},
      {"linear", linear_case},
  };
  const auto found = cases.find(options.op);
  if (found == cases.end()) throw CodedError("INVALID_ARGUMENT", "there is no benchmark of " + options.op);
  return found->second(options);
}

at::Tensor random_values(at::IntArrayRef shape, int64_t seed, at::Device device, int64_t offset) {
  const at::Tensor values = at::empty(shape, at::TensorOptions(device).dtype(at::kFloat));
  const uint64_t first = (static_cast<uint64_t>(seed) << 40) + 1 + offset;
  if (!device.is_cpu()) {
    draw_on_device(values.view({-1}), static_cast<int64_t>(first));
    return values;
  }
  float* out = values.mutable_data_ptr<float>();
  constexpr int64_t part = 1 << 16;
  kernels::for_each((values.numel() + part - 1) / part, at::get_num_threads(), [&](int64_t which, int) {
    for (int64_t i = which * part; i < std::min(values.numel(), (which + 1) * part); ++i) {
      const auto bits = static_cast<float>(splitmix64(first + i) >> 40);  // 24
      out[i] = bits * 0x1p-23f - 1.0f;
    }
  });
  return values;
}

std::vector<at::Tensor> random_sets(const BenchmarkOptions& options, at::IntArrayRef shape) {
  std::vector<at::Tensor> sets;
  for (int64_t set = 0; set < options.input_sets; ++set) {
    sets.push_back(random_values(shape, options.seed + set, options.device).to(options.dtype));
  }
  return sets;
}

}  // namespace xlembed::addon
