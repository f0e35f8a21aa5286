#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "core/error.h"
#include "core/normalize.h"
#include "core/pool.h"

namespace {

using at::Tensor;
using xlembed::normalize_rows;
using xlembed::pool;
using xlembed::PoolMode;

Tensor random(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::kDouble);
}

const std::vector<int32_t> bounds = {0, 31, 31, 64, 65, 1065};

Tensor cumulative() { return at::tensor(bounds, at::kInt); }

// Each sequence cut out and reduced by libtorch; differentiable.
Tensor eager_pool(const Tensor& hidden, PoolMode mode) {
  std::vector<Tensor> rows;
  for (size_t b = 0; b + 1 < bounds.size(); ++b) {
    const Tensor part = hidden.narrow(0, bounds[b], bounds[b + 1] - bounds[b]);
    if (part.size(0) == 0) {
      rows.push_back(at::zeros({hidden.size(1)}, hidden.options()));
    } else {
      rows.push_back(mode == PoolMode::mean    ? part.mean(at::IntArrayRef{0})
                     : mode == PoolMode::first ? part[0]
                                               : std::get<0>(part.max(0)));
    }
  }
  return at::stack(rows);
}

Tensor eager_normalize(const Tensor& x) { return x / x.norm(2, {1}, true).clamp_min(1e-12); }

struct Results {
  Tensor value, gradient;  // float64
};

template <typename Op>
Results differentiate(const Tensor& input, at::ScalarType dtype, Op op) {
  const Tensor x = input.to(dtype).detach().clone().requires_grad_();
  const Tensor y = op(x);
  CHECK(y.scalar_type() == dtype);
  y.backward(random(y.sizes(), 9).to(dtype));
  return {y.detach().to(at::kDouble), x.grad().to(at::kDouble)};
}

double distance(const Tensor& a, const Tensor& b) { return (a - b).norm().item<double>(); }

// Error against float64 at most twice that of plain libtorch in the same dtype, and a floor of rounding:
// relative to the result, or to the terms whose difference a gradient is.
template <typename Op, typename Eager>
void compare(const Tensor& input, Op op, Eager eager, double gradient_terms = 0) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    const Tensor rounded = input.to(dtype).to(at::kDouble);
    const Results exact = differentiate(rounded, at::kDouble, eager);
    const Results plain = differentiate(rounded, dtype, eager), got = differentiate(rounded, dtype, op);
    const double unit = dtype == at::kFloat ? 6e-8 : dtype == at::kHalf ? 5e-4 : 4e-3;
    const auto within = [&](const Tensor& g, const Tensor& p, const Tensor& e, double terms) {
      return distance(g, e) <= 2 * distance(p, e) + 2 * unit * (e.norm().item<double>() + terms);
    };
    CHECK(within(got.value, plain.value, exact.value, 0));
    CHECK(within(got.gradient, plain.gradient, exact.gradient, gradient_terms));
  }
}

void pooling_matches_autograd() {
  for (const int64_t D : {1, 7, 384, 1024}) {
    for (const PoolMode mode : {PoolMode::mean, PoolMode::first}) {
      compare(
          random({bounds.back(), D}, 1), [&](const Tensor& x) { return pool(x, cumulative(), mode); },
          [&](const Tensor& x) { return eager_pool(x, mode); });
    }
    // Among bfloat16's equal maxima libtorch may choose another token: the gradient is held against
    // float32's.
    const Tensor x = random({bounds.back(), D}, 2).to(at::kFloat);
    const auto op = [&](const Tensor& t) { return pool(t, cumulative(), PoolMode::max); };
    const auto eager = [&](const Tensor& t) { return eager_pool(t, PoolMode::max); };
    const Results got = differentiate(x, at::kFloat, op), plain = differentiate(x, at::kFloat, eager);
    CHECK(at::equal(got.value, plain.value) && at::equal(got.gradient, plain.gradient));
    CHECK(at::equal(op(x.to(at::kBFloat16)), eager(x.to(at::kBFloat16))));
  }
}

void normalising_matches_autograd() {
  for (const int64_t rows : {0, 1, 31, 33, 1000, 4097}) {
    for (const int64_t D : {1, 7, 384, 1024}) {
      if (rows * D > 2'000'000) continue;
      const Tensor x = random({rows, D}, 3);
      const Tensor terms = random({rows, D}, 9) / x.norm(2, {1}, true);
      compare(x, normalize_rows, eager_normalize, terms.norm().item<double>());
    }
  }
}

// Central differences of the op itself: each mode is linear where no maximum changes hands.
void gradients_match_finite_differences() {
  const Tensor offsets = at::tensor({0, 3, 3, 4, 9}, at::kInt);
  const Tensor weights = random({4, 2}, 12);
  const double h = 1e-2;
  for (const PoolMode mode : {PoolMode::mean, PoolMode::first, PoolMode::max}) {
    const Tensor x = at::randperm(18, at::detail::createCPUGenerator(13), at::kFloat).view({9, 2});
    const auto value = [&](const Tensor& moved) {
      return (pool(moved, offsets, mode).to(at::kDouble) * weights).sum().item<double>();
    };
    const Tensor leaf = x.clone().requires_grad_();
    (pool(leaf, offsets, mode).to(at::kDouble) * weights).sum().backward();
    for (int64_t i = 0; i < x.numel(); ++i) {
      Tensor up = x.clone(), down = x.clone();
      up.view(-1)[i] += h;
      down.view(-1)[i] -= h;
      CHECK_CLOSE(leaf.grad().view(-1)[i].item<double>(), (value(up) - value(down)) / (2 * h), 1e-4, 1e-4);
    }
  }
}

void takes_what_is_not_dense() {
  const Tensor wide = random({1065, 14}, 4).to(at::kFloat);
  const Tensor strided = wide.narrow(1, 3, 7), transposed = random({7, 1065}, 5).to(at::kFloat).t();
  for (const Tensor& x : {strided, transposed}) {
    CHECK(
        at::equal(pool(x, cumulative(), PoolMode::mean), pool(x.contiguous(), cumulative(), PoolMode::mean)));
    CHECK(at::equal(normalize_rows(x), normalize_rows(x.contiguous())));
    const Tensor leaf = x.detach().requires_grad_();
    normalize_rows(leaf).sum().backward();  // its gradient arrives expanded, with strides of zero
    CHECK(leaf.grad().sizes() == x.sizes());
  }
}

void no_graph_where_none_is_wanted() {
  const Tensor x = random({1065, 7}, 6).to(at::kFloat).requires_grad_();
  const Tensor with_graph = normalize_rows(pool(x, cumulative(), PoolMode::mean));
  CHECK(with_graph.requires_grad());
  {
    const at::NoGradGuard no_grad;
    const Tensor y = normalize_rows(pool(x, cumulative(), PoolMode::mean));
    CHECK(!y.requires_grad() && at::equal(y, with_graph.detach()));
  }
  const c10::InferenceMode inference;
  const Tensor y = normalize_rows(pool(x.detach(), cumulative(), PoolMode::mean));
  CHECK(y.is_inference() && at::equal(y, with_graph.detach()));
}

void refuses_what_does_not_fit() {
  const Tensor hidden = at::ones({4, 3});
  CHECK_REFUSED("INVALID_ARGUMENT: ", [&] { pool(hidden[0], at::tensor({0, 4}, at::kInt), PoolMode::mean); });
  CHECK_REFUSED("INVALID_ARGUMENT: ", [&] { pool(hidden, at::tensor({0, 4}, at::kLong), PoolMode::mean); });
  CHECK_REFUSED("INVALID_ARGUMENT: ", [&] { pool(hidden, at::empty({0}, at::kInt), PoolMode::mean); });
  CHECK_REFUSED("INVALID_ARGUMENT: ",
                [&] { pool(hidden, at::tensor({0, 0, 4, 4}, at::kInt).slice(0, 0, 4, 2), PoolMode::mean); });
  CHECK_REFUSED("INVALID_ARGUMENT: ", [&] { normalize_rows(hidden[0]); });
}

}  // namespace

int main() {
  return check::run({
      {"pooling matches autograd", pooling_matches_autograd},
      {"normalising matches autograd", normalising_matches_autograd},
      {"gradients match finite differences", gradients_match_finite_differences},
      {"takes what is not dense", takes_what_is_not_dense},
      {"no graph where none is wanted", no_graph_where_none_is_wanted},
      {"refuses what does not fit", refuses_what_does_not_fit},
  });
}
