// What the machine can do at most: bytes copied, bytes read, matrix products.
#include <algorithm>
#include <atomic>
#include <numeric>

#include "addon/arguments.h"
#include "addon/benchmark_case.h"
#include "kernels/parallel.h"

namespace xlembed::addon {
namespace {

// Sums the tensor's words; integers, so that the compiler may add them in any order. Several places are read
// at a time, and what lies further on is asked for: processors fetch ahead by themselves within a page of 4
// KB alone, and some reach half of their bandwidth that way.
at::Tensor sum_words(const at::Tensor& values) {
  constexpr int64_t part = 1 << 17, streams = 8, stream = part / streams;  // 1 MB, 128 KB
  constexpr int64_t line = 8, ahead = 16 * line;                           // 64 bytes, 1 KB
  const auto* words = static_cast<const uint64_t*>(values.const_data_ptr());
  const int64_t count = static_cast<int64_t>(values.nbytes() / sizeof(uint64_t));
  std::atomic<uint64_t> total = 0;
  kernels::for_each((count + part - 1) / part, at::get_num_threads(), [&](int64_t i, int) {
    const uint64_t* from = words + i * part;
    const int64_t rest = std::min(part, count - i * part);
    uint64_t sums[line] = {};
    for (int64_t at = 0; rest == part && at < stream; at += line) {
      for (int64_t s = 0; s < streams; ++s) {
        const uint64_t* here = from + s * stream + at;
        __builtin_prefetch(here + ahead);
        for (int64_t w = 0; w < line; ++w) sums[w] += here[w];
      }
    }
    for (int64_t at = 0; rest < part && at < rest; ++at) sums[0] += from[at];
    total += std::accumulate(sums, sums + line, uint64_t{0});
  });
  return at::scalar_tensor(static_cast<int64_t>(total.load()), at::kLong);
}

}  // namespace

std::vector<Implementation> bandwidth_case(const BenchmarkOptions& options) {
  const int64_t bytes = options.size("bytes") / 16 * 16;
  const auto source = random_values({bytes / 4}, options.seed, options.device);
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
  const at::Tensor a = random_values({n, n}, options.seed, options.device).to(options.dtype);
  const at::Tensor b = random_values({n, n}, options.seed + 1, options.device).to(options.dtype);
  const auto prepare = [a, b]() -> Work {
    const at::Tensor out = at::empty_like(a);
    return [a, b, out](int64_t) -> std::vector<at::Tensor> {
      at::Tensor target = out;
      at::mm_out(target, a, b);
      return {target};
    };
  };
  const double bytes = 3.0 * n * n * a.element_size(), operations = 2.0 * n * n * n;
  return {{"libtorch", bytes, operations, dtype_name(options.dtype), prepare}};
}

}  // namespace xlembed::addon
