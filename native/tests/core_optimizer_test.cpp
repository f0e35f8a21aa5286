#include <cmath>
#include <string>

#include "check.h"
#include "core/error.h"
#include "core/optimizer.h"
#include "scarce_memory.h"

namespace {

using at::Tensor;
using xlembed::AdamW;
using xlembed::AdamWOptions;
using xlembed::AdamWParameter;
using xlembed::AdamWState;

Tensor random(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::kFloat);
}

struct Model {
  Tensor weight = random({33, 7}, 1).requires_grad_();
  Tensor bias = random({7}, 2).requires_grad_();
  Tensor unused = random({5}, 3).requires_grad_();

  std::vector<AdamWParameter> parameters() const { return {{weight, true}, {bias, false}, {unused, true}}; }

  void set_gradients(uint64_t seed) {
    weight.mutable_grad() = random({33, 7}, seed);
    bias.mutable_grad() = random({7}, seed + 50).expand({7});
  }
};

// torch.optim.AdamW's single-tensor formula, in the dtype of its arguments.
struct Formula {
  Tensor p, m, v;
  explicit Formula(const Tensor& parameter)
      : p(parameter.detach().to(at::kDouble)), m(at::zeros_like(p)), v(at::zeros_like(p)) {}

  void step(const Tensor& gradient, double learning_rate, double decay, int64_t t) {
    const Tensor g = gradient.to(at::kDouble);
    p.mul_(1 - learning_rate * decay);
    m.lerp_(g, 0.1);
    v.mul_(0.999).addcmul_(g, g, 0.001);
    const Tensor denominator = v.sqrt().div_(std::sqrt(1 - std::pow(0.999, t))).add_(1e-8);
    p.addcdiv_(m, denominator, -learning_rate / (1 - std::pow(0.9, t)));
  }
};

void steps_match_the_formula() {
  Model model;
  AdamW optimizer(model.parameters(), AdamWOptions{});
  const Tensor unused = model.unused.detach().clone();
  Formula weight(model.weight), bias(model.bias);
  for (int64_t t = 1; t <= 10; ++t) {
    model.set_gradients(10 + t);
    weight.step(model.weight.grad() * 0.5, 1e-2, 0.01, t);
    bias.step(model.bias.grad() * 0.5, 1e-2, 0, t);
    optimizer.step(1e-2, 0.5);
    CHECK(optimizer.steps() == t);
  }
  CHECK(at::allclose(model.weight.detach().to(at::kDouble), weight.p, 1e-6, 1e-6));
  CHECK(at::allclose(model.bias.detach().to(at::kDouble), bias.p, 1e-6, 1e-6));
  CHECK(at::allclose(optimizer.states()[0].first.to(at::kDouble), weight.m, 1e-5, 1e-7));
  CHECK(at::allclose(optimizer.states()[0].second.to(at::kDouble), weight.v, 1e-5, 1e-9));
  CHECK(at::equal(model.unused.detach(), unused) && !optimizer.states()[2].first.defined());
}

void gradient_norm_is_of_all_gradients() {
  Model model;
  AdamW optimizer(model.parameters(), AdamWOptions{});
  CHECK_CLOSE(optimizer.gradient_norm(), 0, 0, 0);
  model.set_gradients(5);
  const double expected = std::hypot(model.weight.grad().to(at::kDouble).norm().item<double>(),
                                     model.bias.grad().to(at::kDouble).norm().item<double>());
  CHECK_CLOSE(optimizer.gradient_norm(), expected, 0, 1e-12);
  model.bias.mutable_grad()[3] = std::nan("");
  CHECK(std::isnan(optimizer.gradient_norm()));
  optimizer.zero_gradients();
  CHECK(!model.weight.grad().defined());
}

// A graph that saved a parameter must notice that it has changed since.
void autograd_notices_the_step() {
  Model model;
  AdamW optimizer(model.parameters(), AdamWOptions{});
  const Tensor loss = (model.weight * model.weight).sum();
  model.set_gradients(5);
  optimizer.step(1e-2, 1);
  bool refused = false;
  try {
    loss.backward();
  } catch (const std::exception&) {
    refused = true;
  }
  CHECK(refused);
}

void a_restored_run_gives_the_same_bits() {
  Model straight, resumed;
  AdamW all(straight.parameters(), AdamWOptions{});
  {
    AdamW half(resumed.parameters(), AdamWOptions{});
    for (int64_t t = 1; t <= 3; ++t) {
      resumed.set_gradients(t);
      half.step(1e-2, 1);
    }
    std::vector<AdamWState> saved;
    for (const AdamWState& state : half.states()) {
      saved.push_back(state.first.defined() ? AdamWState{state.first.clone(), state.second.clone()}
                                            : AdamWState{});
    }
    AdamW other(resumed.parameters(), AdamWOptions{});
    other.restore(saved, half.steps());
    resumed.set_gradients(4);
    other.step(1e-2, 1);
  }
  for (int64_t t = 1; t <= 4; ++t) {
    straight.set_gradients(t);
    all.step(1e-2, 1);
  }
  CHECK(at::equal(straight.weight.detach(), resumed.weight.detach()));
  CHECK(at::equal(straight.bias.detach(), resumed.bias.detach()));
}

void refuses_what_does_not_fit() {
  CHECK_REFUSED("INVALID_ARGUMENT: ", [] { AdamW({{at::ones({3}, at::kBFloat16), true}}, {}); });
  CHECK_REFUSED("INVALID_ARGUMENT: ", [] { AdamW({{at::ones({3, 4}).t(), true}}, {}); });
  AdamW optimizer({{at::ones({3, 4}), true}}, {});
  CHECK_REFUSED("INVALID_ARGUMENT: ", [&] { optimizer.restore({}, 1); });
  CHECK_REFUSED("INVALID_ARGUMENT: ", [&] { optimizer.restore({{at::ones({3, 4}), {}}}, 1); });
  CHECK_REFUSED("INVALID_ARGUMENT: ", [&] { optimizer.restore({{at::ones({4, 3}), at::ones({4, 3})}}, 1); });
  CHECK_REFUSED("INVALID_ARGUMENT: ", [&] { optimizer.restore({{at::ones({3, 4}), at::ones({3, 4})}}, -1); });
}

void memory_that_runs_out_changes_nothing() {
  Model model, expected;
  AdamW optimizer(model.parameters(), AdamWOptions{});
  model.set_gradients(1);
  bool failed = false;
  try {
    const ScarceMemory scarce(/*count=*/2, /*bytes=*/1);  // the states of the first parameter
    optimizer.step(1e-2, 1);
  } catch (const c10::OutOfMemoryError&) {
    failed = true;
  }
  CHECK(failed && optimizer.steps() == 0);
  CHECK(at::equal(model.weight, expected.weight) && at::equal(model.bias, expected.bias));
}

}  // namespace

int main() {
  return check::run({
      {"steps match the formula", steps_match_the_formula},
      {"gradient norm is of all gradients", gradient_norm_is_of_all_gradients},
      {"autograd notices the step", autograd_notices_the_step},
      {"a restored run gives the same bits", a_restored_run_gives_the_same_bits},
      {"refuses what does not fit", refuses_what_does_not_fit},
      {"memory that runs out changes nothing", memory_that_runs_out_changes_nothing},
  });
}
