#include <string>
#include <vector>

#include "check.h"
#include "core/error.h"
#include "core/head.h"

namespace {

using at::Tensor;
using xlembed::find_pooling;
using xlembed::Head;
using xlembed::HeadModule;

// Sequences of 5, 0, 1 and 40 tokens, and an empty one at either end.
const std::vector<int32_t> bounds = {0, 0, 5, 5, 6, 46, 46};
const std::vector<std::string> composed = {"mean_sqrt_length", "weighted_mean", "last"};
const std::vector<std::string> kernels = {"first", "max", "mean"};

Tensor random(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::kDouble);
}

Tensor cumulative() { return at::tensor(bounds, at::kInt); }

// hidden (L, D) -> (D), as sentence-transformers' Pooling has it.
Tensor eager_row(const Tensor& hidden, const std::string& mode) {
  const auto length = static_cast<double>(hidden.size(0));
  if (hidden.size(0) == 0) return at::zeros({hidden.size(1)}, hidden.options());
  if (mode == "first") return hidden[0];
  if (mode == "last") return hidden[hidden.size(0) - 1];
  if (mode == "max") return std::get<0>(hidden.max(0));
  if (mode == "mean") return hidden.mean(at::IntArrayRef{0});
  if (mode == "mean_sqrt_length") return hidden.sum(0) / std::sqrt(length);
  const Tensor weights = at::arange(1, hidden.size(0) + 1, hidden.options());
  return (hidden * weights.unsqueeze(1)).sum(0) / weights.sum();
}

Tensor eager(const Tensor& hidden, const std::string& mode) {
  std::vector<Tensor> rows;
  for (size_t b = 0; b + 1 < bounds.size(); ++b) {
    rows.push_back(eager_row(hidden.narrow(0, bounds[b], bounds[b + 1] - bounds[b]), mode));
  }
  return at::stack(rows);
}

struct Results {
  Tensor value, gradient;  // float64
};

template <typename Op>
Results differentiate(const Tensor& input, at::ScalarType dtype, Op op) {
  const Tensor x = input.to(dtype).detach().clone().requires_grad_();
  const Tensor y = op(x);
  y.backward(random(y.sizes(), 9).to(y.scalar_type()));
  return {y.detach().to(at::kDouble), x.grad().to(at::kDouble)};
}

double relative(const Tensor& actual, const Tensor& expected) {
  return ((actual - expected).norm() / expected.norm()).item<double>();
}

void pooling_matches_autograd() {
  for (const std::string& mode : composed) {
    for (const int64_t D : {1, 7, 384}) {
      for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
        const Tensor hidden = random({bounds.back(), D}, 1).to(dtype).to(at::kDouble);
        const Results exact =
            differentiate(hidden, at::kDouble, [&](const Tensor& x) { return eager(x, mode); });
        const Results got = differentiate(hidden, dtype, [&](const Tensor& x) {
          const Tensor y = find_pooling(mode)(x, cumulative());
          CHECK(y.scalar_type() == dtype);
          return y;
        });
        // bfloat16 keeps 8 bits; a result here is rounded twice, the incoming gradient once more.
        const double allowed = dtype == at::kFloat ? 1e-6 : 8e-3;
        CHECK_CLOSE(relative(got.value, exact.value), 0, allowed, 0);
        CHECK_CLOSE(relative(got.gradient, exact.gradient), 0, allowed, 0);
      }
    }
  }
}

void empty_sequences_give_zeros() {
  const Tensor nothing = at::zeros({3}, at::kInt);
  const Tensor infinite = at::full({bounds.back(), 2}, INFINITY);
  for (const auto& modes : {composed, kernels}) {
    for (const std::string& mode : modes) {
      CHECK(at::equal(find_pooling(mode)(at::empty({0, 4}), nothing), at::zeros({2, 4})));
      const Tensor pooled = find_pooling(mode)(infinite, cumulative());
      for (const int64_t row : {0, 2, 5}) CHECK(at::equal(pooled[row], at::zeros({2})));
    }
  }
}

xlembed::PackedBatch batch() { return {{}, {}, cumulative(), {}, {}}; }

Head make_head(const std::vector<HeadModule>& modules, xlembed::Parameters& parameters) {
  Head head(modules, 7, parameters);
  parameters.initialise(4, 0.3);
  return head;
}

// Modes beside each other in the order given, then a dense module over all of them.
void modes_lie_side_by_side() {
  const HeadModule pool = {.kind = HeadModule::Kind::pool,
                           .modes = {"last", "first", "max", "weighted_mean"}};
  const HeadModule dense = {
      .kind = HeadModule::Kind::dense, .activation = "tanh", .in_features = 28, .out_features = 3};
  xlembed::Parameters parameters(at::kCPU, at::kFloat);
  const Head head = make_head({pool, dense}, parameters);
  CHECK(head.dimensions() == 3);
  const Tensor weight = parameters.named()[0].tensor.to(at::kDouble);
  const auto expected = [&](const Tensor& x) {
    std::vector<Tensor> parts;
    for (const std::string& mode : pool.modes) parts.push_back(eager(x, mode));
    return at::tanh(at::cat(parts, 1).matmul(weight.t()));
  };
  const Tensor hidden = random({bounds.back(), 7}, 2).to(at::kFloat);
  const Results exact = differentiate(hidden, at::kDouble, expected);
  const Results got =
      differentiate(hidden, at::kFloat, [&](const Tensor& x) { return head.forward(x, batch()); });
  CHECK_CLOSE(relative(got.value, exact.value), 0, 1e-6, 0);
  CHECK_CLOSE(relative(got.gradient, exact.gradient), 0, 1e-6, 0);
}

void refused(const char* code, const std::vector<HeadModule>& modules) {
  xlembed::Parameters parameters(at::kCPU, at::kFloat);
  CHECK_REFUSED(code, [&] { make_head(modules, parameters); });
}

void refuses_what_does_not_fit() {
  const HeadModule two = {.kind = HeadModule::Kind::pool, .modes = {"mean", "last"}};
  const HeadModule dense = {
      .kind = HeadModule::Kind::dense, .activation = "tanh", .in_features = 7, .out_features = 3};
  refused("MODEL_INVALID: dense.1 expects 7 features, receives 14", {two, dense});
  refused("MODEL_UNSUPPORTED: pooling median", {{.kind = HeadModule::Kind::pool, .modes = {"median"}}});
  refused("MODEL_INVALID", {{.kind = HeadModule::Kind::pool}});
  refused("MODEL_UNSUPPORTED", {dense});
}

}  // namespace

int main() {
  return check::run({
      {"composed pooling matches autograd", pooling_matches_autograd},
      {"empty sequences give zeros", empty_sequences_give_zeros},
      {"modes lie side by side", modes_lie_side_by_side},
      {"refuses what does not fit", refuses_what_does_not_fit},
  });
}
