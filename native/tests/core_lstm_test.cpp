// The packed LSTM against the equations, one sequence and one number at a time in float64, and its gradient
// against finite differences. On the CPU; and on a GPU where there is one.
#include <cmath>
#include <span>

#include "check.h"
#include "core/lstm.h"

namespace {

using xlembed::Lstm;
using xlembed::LstmConfig;
using xlembed::PackedBatch;
using xlembed::Parameters;

const std::vector<int32_t> kIds = {7, 5, 9, 4, 5, 6, 3, 8, 2, 11, 12, 13, 10, 14, 3, 3};
const std::vector<int32_t> kCumulative = {0, 3, 4, 4, 6, 9, 13, 16};  // lengths 3 1 0 2 3 4 3

LstmConfig tiny(bool bidirectional) {
  return {.vocabulary_size = 15,
          .embedding_size = 5,
          .hidden_size = 4,
          .layers = 3,
          .bidirectional = bidirectional,
          .dropout = 0.5};
}

std::vector<at::Device> devices() {
  std::vector<at::Device> all = {at::kCPU};
  if (at::hasCUDA() && at::detail::getCUDAHooks().deviceCount() > 0) all.emplace_back(at::kCUDA, 0);
  return all;
}

struct Model {
  Model(const LstmConfig& config, at::Device device)
      : parameters(device, at::kFloat), lstm(config, parameters, device) {
    parameters.initialise(3, 0.5);
    // Fresh biases are zero, where a mistake would hide.
    at::Generator generator = at::detail::createCPUGenerator(4);
    for (const xlembed::NamedTensor& named : parameters.named()) {
      named.tensor.add_(at::randn(named.tensor.sizes(), generator).to(device), 0.3);
    }
  }
  at::Tensor get(const std::string& name) const {
    for (const auto& named : parameters.named()) {
      if (named.name == name) return named.tensor.to(at::kCPU, at::kDouble);
    }
    throw std::runtime_error(name);
  }
  Parameters parameters;
  Lstm lstm;
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

using Vectors = std::vector<std::vector<double>>;

// One direction of one layer: c = f c + i g, h = o tanh(c).
Vectors run_direction(const Model& model, const Vectors& inputs, const std::string& suffix, bool reverse) {
  const at::Tensor ih = model.get("lstm.weight_ih" + suffix), hh = model.get("lstm.weight_hh" + suffix);
  const at::Tensor bias = model.get("lstm.bias_ih" + suffix) + model.get("lstm.bias_hh" + suffix);
  const int64_t hidden = hh.size(1);
  const auto w_ih = ih.accessor<double, 2>(), w_hh = hh.accessor<double, 2>();
  const auto b = bias.accessor<double, 1>();
  std::vector<double> h(hidden, 0.0), c(hidden, 0.0);
  Vectors outputs(inputs.size());
  for (size_t step = 0; step < inputs.size(); ++step) {
    const size_t at = reverse ? inputs.size() - 1 - step : step;
    std::vector<double> gates(4 * hidden);
    for (int64_t row = 0; row < 4 * hidden; ++row) {
      gates[row] = b[row];
      for (size_t k = 0; k < inputs[at].size(); ++k)
        gates[row] += w_ih[row][static_cast<int64_t>(k)] * inputs[at][k];
      for (int64_t k = 0; k < hidden; ++k) gates[row] += w_hh[row][k] * h[k];
    }
    for (int64_t k = 0; k < hidden; ++k) {
      c[k] = sigmoid(gates[hidden + k]) * c[k] + sigmoid(gates[k]) * std::tanh(gates[2 * hidden + k]);
      h[k] = sigmoid(gates[3 * hidden + k]) * std::tanh(c[k]);
    }
    outputs[at] = h;
  }
  return outputs;
}

Vectors reference(const Model& model, const LstmConfig& config, std::span<const int32_t> ids) {
  const at::Tensor table = model.get("embed_tokens.weight");
  Vectors values;
  for (const int32_t id : ids) {
    const double* row = table.const_data_ptr<double>() + id * config.embedding_size;
    values.emplace_back(row, row + config.embedding_size);
  }
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string suffix = "_l" + std::to_string(layer);
    Vectors next = run_direction(model, values, suffix, false);
    if (config.bidirectional) {
      const Vectors back = run_direction(model, values, suffix + "_reverse", true);
      for (size_t t = 0; t < next.size(); ++t) next[t].insert(next[t].end(), back[t].begin(), back[t].end());
    }
    values = std::move(next);
  }
  return values;
}

void equals_the_equations() {
  for (const at::Device device : devices()) {
    for (const bool bidirectional : {true, false}) {
      const LstmConfig config = tiny(bidirectional);
      const Model model(config, device);
      const c10::InferenceMode inference;
      const PackedBatch batch = model.lstm.pack(kIds, kCumulative);
      const at::Tensor hidden = model.lstm.forward(batch, {}).to(at::kCPU);
      CHECK(hidden.size(0) == 16 && hidden.size(1) == model.lstm.hidden_size());
      const at::Tensor starts = batch.cumulative.to(at::kCPU), row_of = batch.row_of.to(at::kCPU);
      for (size_t b = 0; b + 1 < kCumulative.size(); ++b) {
        const int64_t first = starts[row_of[static_cast<int64_t>(b)].item<int64_t>()].item<int32_t>();
        const size_t length = static_cast<size_t>(kCumulative[b + 1] - kCumulative[b]);
        const Vectors expected = reference(model, config, std::span(kIds).subspan(kCumulative[b], length));
        for (size_t t = 0; t < length; ++t) {
          for (size_t k = 0; k < expected[t].size(); ++k) {
            const double actual =
                hidden[first + static_cast<int64_t>(t)][static_cast<int64_t>(k)].item<double>();
            CHECK_CLOSE(actual, expected[t][k], 1e-6, 1e-6);
          }
        }
      }
    }
  }
}

void takes_batches_of_nothing() {
  const Model model(tiny(true), at::kCPU);
  const at::Tensor hidden = model.lstm.forward(model.lstm.pack({}, std::vector<int32_t>{0, 0, 0}), {});
  CHECK(hidden.size(0) == 0 && hidden.size(1) == 8);
}

double loss_of(const Model& model, const at::Tensor& weights) {
  const at::NoGradGuard no_grad;
  return (model.lstm.forward(model.lstm.pack(kIds, kCumulative), {}) * weights).sum().item<double>();
}

// (L(w + e v) - L(w - e v)) / 2e = g . v for a random direction v in each leaf.
void gradient_is_that_of_finite_differences() {
  for (const at::Device device : devices()) {
    Model model(tiny(true), device);
    model.parameters.require_gradients();
    at::Generator generator = at::detail::createCPUGenerator(5);
    const at::Tensor weights = at::randn({16, 8}, generator).to(device);
    (model.lstm.forward(model.lstm.pack(kIds, kCumulative), {}) * weights).sum().backward();
    for (const xlembed::Leaf& leaf : model.parameters.leaves()) {
      CHECK(leaf.tensor.grad().defined());
      const at::NoGradGuard no_grad;
      const at::Tensor direction = at::randn(leaf.tensor.sizes(), generator).to(device);
      const double expected = (leaf.tensor.grad() * direction).sum().item<double>(), step = 1e-3;
      const at::Tensor kept = leaf.tensor.clone();
      leaf.tensor.add_(direction, step);
      const double above = loss_of(model, weights);
      leaf.tensor.copy_(kept).sub_(direction, step);
      const double below = loss_of(model, weights);
      leaf.tensor.copy_(kept);
      CHECK_CLOSE((above - below) / (2 * step), expected, 5e-3, 5e-3);
    }
  }
}

void dropout_changes_training_alone() {
  for (const at::Device device : devices()) {
    const Model model(tiny(true), device);
    const PackedBatch batch = model.lstm.pack(kIds, kCumulative);
    const at::Tensor plain = model.lstm.forward(batch, {});
    CHECK(at::equal(plain, model.lstm.forward(batch, {})));
    CHECK(!at::allclose(plain, model.lstm.forward(batch, {.dropout = true})));
  }
}

// The gradient cache embeds a chunk twice, without a graph and with one.
void dropout_repeats_with_the_seed() {
  for (const at::Device device : devices()) {
    const Model model(tiny(true), device);
    const PackedBatch batch = model.lstm.pack(kIds, kCumulative);
    const auto embed = [&](bool with_graph) {
      const at::AutoGradMode mode(with_graph);
      at::manual_seed(8);
      return model.lstm.forward(batch, {.dropout = true, .training = true}).detach();
    };
    CHECK(at::allclose(embed(false), embed(true)));
  }
}

}  // namespace

int main() {
  return check::run({{"the equations, in float64", equals_the_equations},
                     {"a batch of nothing", takes_batches_of_nothing},
                     {"gradient against finite differences", gradient_is_that_of_finite_differences},
                     {"dropout", dropout_changes_training_alone},
                     {"dropout, once more", dropout_repeats_with_the_seed}});
}
