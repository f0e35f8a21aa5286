// What `xlembed bench kernels` times: an op of this project and the same work in plain libtorch, on inputs
// that are made once and stay where the op runs.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/torch.h"

namespace xlembed::addon {

struct BenchmarkOptions {
  std::string op;
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;
  std::map<std::string, int64_t> shape;  // sizes by the names that benchmark_cases() gives them
  int64_t input_sets = 1;                // taken in turn, so that small inputs do not stay in a cache
  int64_t seed = 0;

  // Throws INVALID_ARGUMENT where the op needs a size that is missing or not above 0.
  int64_t size(const char* name) const;
};

// Does the work on one set of inputs and gives the results.
using Work = std::function<std::vector<at::Tensor>(int64_t set)>;

// One way of doing an op's work.
struct Implementation {
  std::string name;
  // The least that this way of doing it must move and compute; divisions and exponentials are not counted.
  double bytes;
  double operations;
  std::string arithmetic;  // what the operations are done in: float32, bfloat16, int16, int8
  // Copies or indexes what it needs of the inputs, before any clock runs.
  std::function<Work()> prepare;
  // Brings a result into the form of the others', for comparing alone; empty where it has that form.
  std::function<at::Tensor(const at::Tensor&)> comparable = {};
};

// Throws INVALID_ARGUMENT for an op that there is not.
std::vector<Implementation> benchmark_case(const BenchmarkOptions& options);

// The ops, each in a file of its kind.
std::vector<Implementation> bandwidth_case(const BenchmarkOptions& options);  // copy, read: bytes
std::vector<Implementation> matmul_case(const BenchmarkOptions& options);     // size
// pool_{mean,first,max}: sequences, tokens, dimensions; normalize: rows, dimensions; each also with _backward
std::vector<Implementation> pool_case(const BenchmarkOptions& options);
std::vector<Implementation> normalize_case(const BenchmarkOptions& options);
std::vector<Implementation> quantize_case(const BenchmarkOptions& options);  // rows, dimensions
std::vector<Implementation> attention_case(
    const BenchmarkOptions& options);  // sequences, tokens, heads, width
std::vector<Implementation> info_nce_case(const BenchmarkOptions& options);  // pairs, dimensions
std::vector<Implementation> top_k_case(const BenchmarkOptions& options);     // rows, dimensions, queries, k
std::vector<Implementation> top_k_binary_case(const BenchmarkOptions& options);  // likewise
std::vector<Implementation> linear_case(const BenchmarkOptions& options);        // rows, in, out

// Uniform in [-1, 1) and the same on every machine and device: value i is splitmix64 (G. Steele, D. Lea and
// C. Flood, OOPSLA 2014) of (seed << 40) + offset + i. float32; bench/peers/kernels.py draws the same.
at::Tensor random_values(at::IntArrayRef shape, int64_t seed, at::Device device = at::kCPU,
                         int64_t offset = 0);

// random_values() on the options' device in their dtype, one tensor a set.
std::vector<at::Tensor> random_sets(const BenchmarkOptions& options, at::IntArrayRef shape);

}  // namespace xlembed::addon
