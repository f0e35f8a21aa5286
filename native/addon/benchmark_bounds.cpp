// What the machine can do at most: bytes copied, bytes read, matrix products.
#include "addon/benchmark_case.h"

namespace xlembed::addon {
namespace {

// Sums the tensor's words; integers, so that the compiler may add them in any order.
at::Tensor sum_words(const at::Tensor& values) {
  const auto* words = static_cast<const int64_t*>(values.const_data_ptr());
  const int64_t count = static_cast<int64_t>(values.nbytes() / sizeof(int64_t));
  const at::Tensor sums = at::zeros({at::get_num_threads()}, at::kLong);
  auto* out = sums.mutable_data_ptr<int64_t>();
  at::parallel_for(0, count, 1 << 16, [&](int64_t begin, int64_t end) {
    uint64_t sum = 0;
    for (int64_t i = begin; i < end; ++i) sum += static_cast<uint64_t>(words[i]);
    out[at::get_thread_num()] += static_cast<int64_t>(sum);
  });
  return sums;
}

}  // namespace

std::vector<Implementation> bandwidth_case(const BenchmarkOptions& options) {
  const int64_t bytes = options.size("bytes") / 16 * 16;
  const auto source = random_values({bytes / 4}, options.seed).to(options.device);
  if (options.op == "copy") {
    const auto prepare = [source]() -> Work {
      const at::Tensor target = at::zeros_like(source);
      return [source, target](int64_t) -> std::vector<at::Tensor> {
        target.copy_(source);
        return {target};
      };
    };
    return {{"libtorch", 2.0 * bytes, 0, "float32", prepare}};
  }
  const auto prepare = [source]() -> Work {
    return [source](int64_t) -> std::vector<at::Tensor> {
      return {source.is_cpu() ? sum_words(source) : source.sum()};
    };
  };
  return {{source.is_cpu() ? "sum of words" : "libtorch", 1.0 * bytes, 0, "float32", prepare}};
}

std::vector<Implementation> matmul_case(const BenchmarkOptions& options) {
  const int64_t n = options.size("size");
  const auto type = at::TensorOptions(options.device).dtype(options.dtype);
  const at::Tensor a = random_values({n, n}, options.seed).to(type);
  const at::Tensor b = random_values({n, n}, options.seed + 1).to(type);
  const auto prepare = [a, b]() -> Work {
    const at::Tensor out = at::empty_like(a);
    return [a, b, out](int64_t) -> std::vector<at::Tensor> {
      at::Tensor target = out;
      at::mm_out(target, a, b);
      return {target};
    };
  };
  const double bytes = 3.0 * n * n * a.element_size(), operations = 2.0 * n * n * n;
  const char* arithmetic = options.dtype == at::kFloat ? "float32" : "bfloat16";
  return {{"libtorch", bytes, operations, arithmetic, prepare}};
}

}  // namespace xlembed::addon
