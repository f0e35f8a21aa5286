// Exact search beside libtorch: its scores are as near to float64 as those of a matrix product.
#include <vector>

#include "check.h"
#include "core/torch.h"
#include "kernels/top_k.h"

namespace {

using at::Tensor;
using namespace xlembed::kernels;

Tensor random(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::kDouble).to(at::kFloat);
}

double distance(const Tensor& a, const Tensor& b) { return (a - b).norm().item<double>(); }

// Scores of all rows, and which rows they belong to.
std::pair<Tensor, Tensor> ranking(const Tensor& queries, const Tensor& x) {
  const int64_t rows = x.size(0), padded = (rows + kPanelRows - 1) / kPanelRows * kPanelRows;
  const Tensor block = at::zeros({padded, x.size(1)});
  block.narrow(0, 0, rows).copy_(x);
  const float* blocks[] = {block.const_data_ptr<float>()};
  const Tensor scores = at::empty({queries.size(0), rows}),
               order = at::empty({queries.size(0), rows}, at::kInt);
  top_k(queries.const_data_ptr<float>(), queries.size(0), {blocks, padded, rows, x.size(1), Layout::rows}, {},
        rows, 2, scores.mutable_data_ptr<float>(), order.mutable_data_ptr<int32_t>());
  return {scores.to(at::kDouble), order.to(at::kLong)};
}

void errors_are_those_of_a_product() {
  for (const int64_t rows : {1, 31, 33, 1000, 4097}) {
    for (const int64_t dimensions : {1, 7, 384, 1024}) {
      const Tensor x = random({rows, dimensions}, 1), q = random({33, dimensions}, 2);
      const auto [scores, order] = ranking(q, x);
      const Tensor exact = q.to(at::kDouble).mm(x.to(at::kDouble).t()).gather(1, order);
      // With rows beside: a product with few of them can be dot products of many short sums each.
      const Tensor beside = at::zeros({64, dimensions});
      const Tensor plain = q.mm(at::cat({x, beside}).t()).to(at::kDouble).gather(1, order);
      CHECK(distance(scores, exact) <= 2 * distance(plain, exact) + 6e-8 * exact.norm().item<double>());
    }
  }
}

}  // namespace

int main() { return check::run({{"errors are those of a product", errors_are_those_of_a_product}}); }
