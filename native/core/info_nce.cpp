#include "core/info_nce.h"

#include <torch/csrc/autograd/graph_task.h>

#include <string>

#include "core/error.h"
#include "core/info_nce_blocks.h"

namespace xlembed {
namespace {

// What is known without a device is a scalar on the CPU: the operations there take it along, and it needs no
// launch of its own.
struct Outcome {
  InfoNceSums sums;
  at::Tensor loss;    // ()
  at::Tensor factor;  // (): 1 / the sum of the weights, halved when symmetric
};

at::Tensor temperature_of(const InfoNceOptions& options) {
  if (options.learned_temperature.defined()) return options.learned_temperature;
  return at::scalar_tensor(options.temperature, at::kFloat);
}

// On the device of the queries: its kernels read it, and nobody waits for it.
at::Tensor scale_of(const at::Tensor& temperature, const at::Tensor& queries) {
  const at::Tensor scale = temperature.detach().reciprocal();
  if (scale.device() == queries.device()) return scale;
  return at::full({}, scale.item<float>(), queries.options().dtype(at::kFloat));
}

Outcome compute(const at::Tensor& queries, const at::Tensor& passages, const at::Tensor& temperature,
                const InfoNceOptions& options, InfoNceWanted wanted) {
  const at::NoGradGuard no_grad;
  const c10::DeviceGuard guard(queries.device());
  Outcome outcome;
  outcome.sums = info_nce_blocks(queries, passages, scale_of(temperature, queries), options, wanted);
  const double directions = options.symmetric ? 2 : 1;
  if (options.row_weights.defined()) {
    const at::Tensor weights = options.row_weights.to(at::kDouble), total = weights.sum();
    outcome.loss = ((outcome.sums.row_loss * weights).sum() / total).to(at::kFloat);
    outcome.factor = (1 / (directions * total)).to(at::kFloat);
  } else {
    outcome.loss = outcome.sums.row_loss.mean(at::kDouble).to(at::kFloat);
    outcome.factor = at::scalar_tensor(1 / (directions * static_cast<double>(queries.size(0))), at::kFloat);
  }
  return outcome;
}

struct InfoNceFunction : torch::autograd::Function<InfoNceFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& queries,
                            const at::Tensor& passages, const at::Tensor& temperature,
                            const InfoNceOptions* options, InfoNceSums* row_results) {
    const InfoNceWanted wanted{queries.requires_grad(), passages.requires_grad(),
                               temperature.requires_grad()};
    Outcome outcome = compute(queries, passages, temperature, *options, wanted);
    *row_results = {outcome.sums.row_loss, outcome.sums.correct, {}, {}, {}};
    context->save_for_backward(
        {temperature, outcome.factor,
         wanted.temperature ? outcome.sums.scale_gradient.sum(at::kDouble) : at::Tensor()});
    if (wanted.queries) context->saved_data["queries"] = outcome.sums.queries_gradient;
    if (wanted.passages) context->saved_data["passages"] = outcome.sums.passages_gradient;
    context->saved_data["dtype"] = static_cast<int64_t>(queries.scalar_type());
    return outcome.loss;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    if (at::GradMode::is_enabled()) {
      throw CodedError("INVALID_ARGUMENT", "the gradient of info_nce is not itself differentiable");
    }
    const auto saved = context->get_saved_variables();
    const at::Tensor& temperature = saved[0];
    const at::Tensor factor = gradients[0] * (saved[1] / temperature);
    const auto dtype = static_cast<at::ScalarType>(context->saved_data["dtype"].toInt());
    // Without retain_graph there is no second use: the sums become the gradients, with no copy beside them
    // where they have their type.
    const bool keeps = torch::autograd::get_current_graph_task_keep_graph();
    const auto gradient = [&](const char* name) {
      const auto kept = context->saved_data.find(name);
      if (kept == context->saved_data.end()) return at::Tensor();
      const at::Tensor sum = kept->second.toTensor();
      if (!keeps) context->saved_data.erase(kept);
      if (keeps || dtype != at::kFloat) {
        at::Tensor result = at::empty(sum.sizes(), sum.options().dtype(dtype));
        return at::mul_out(result, sum, factor);
      }
      return sum.mul_(factor);
    };
    at::Tensor temperature_gradient;
    if (saved[2].defined()) {
      temperature_gradient =
          (saved[2] * gradients[0] * saved[1] / -temperature.to(at::kDouble).square()).to(at::kFloat);
    }
    return {gradient("queries"), gradient("passages"), temperature_gradient, {}, {}};
  }
};

void expect(bool condition, const std::string& message, const char* code = "INVALID_ARGUMENT") {
  if (!condition) throw CodedError(code, message);
}

void expect_vector(const at::Tensor& tensor, const char* name, int64_t length, at::ScalarType dtype,
                   const at::Tensor& like) {
  if (!tensor.defined()) return;
  expect(tensor.dim() == 1 && tensor.size(0) == length && tensor.scalar_type() == dtype &&
             tensor.is_contiguous() && tensor.device() == like.device(),
         std::string("expected ") + std::to_string(length) + " dense " + c10::toString(dtype) +
             " values for " + name + " on the device of the queries");
}

void check(const at::Tensor& queries, const at::Tensor& passages, const InfoNceOptions& options) {
  expect(queries.dim() == 2 && passages.dim() == 2, "expected (rows, dimensions) for queries and passages");
  const int64_t N = queries.size(0), M = passages.size(0);
  expect(N > 0 && M >= N, "expected at least one passage for each of " + std::to_string(N) +
                              " queries (and at least one query), received " + std::to_string(M));
  expect(queries.size(1) == passages.size(1) && queries.size(1) > 0,
         "queries have " + std::to_string(queries.size(1)) + " dimensions, passages " +
             std::to_string(passages.size(1)),
         "DIMENSION_MISMATCH");
  expect(queries.scalar_type() == passages.scalar_type() && queries.device() == passages.device() &&
             (queries.scalar_type() == at::kFloat || queries.scalar_type() == at::kBFloat16 ||
              queries.scalar_type() == at::kHalf),
         "expected queries and passages of one type (float32, bfloat16, float16) on one device");
  const at::Tensor& learned = options.learned_temperature;
  expect(learned.defined() ? learned.dim() == 0 && learned.scalar_type() == at::kFloat &&
                                 learned.device() == queries.device()
                           : options.temperature > 0,
         "expected a temperature above 0 (or one float32 scalar on the device of the queries)");
  expect_vector(options.row_weights, "row_weights", N, at::kFloat, queries);
  expect_vector(options.passage_groups, "passage_groups", M, at::kInt, queries);
  expect_vector(options.query_languages, "query_languages", N, at::kInt, queries);
  expect_vector(options.passage_languages, "passage_languages", M, at::kInt, queries);
  expect(options.negative_languages == NegativeLanguages::any ||
             (options.query_languages.defined() && options.passage_languages.defined()),
         "expected query_languages and passage_languages for a rule on negative_languages");
  expect(!options.row_weights.defined() || options.row_weights.sum().item<double>() > 0,
         "expected row_weights with a positive sum");
}

}  // namespace

InfoNceResult info_nce(const at::Tensor& queries, const at::Tensor& passages, const InfoNceOptions& options) {
  check(queries, passages, options);
  const at::Tensor temperature = temperature_of(options);
  const bool wants_gradient =
      at::GradMode::is_enabled() &&
      (queries.requires_grad() || passages.requires_grad() || temperature.requires_grad());
  InfoNceResult result;
  InfoNceSums sums;
  if (wants_gradient) {
    result.loss = InfoNceFunction::apply(queries, passages, temperature, &options, &sums);
  } else {
    Outcome outcome = compute(queries, passages, temperature, options, {});
    result.loss = outcome.loss;
    sums = outcome.sums;
  }
  result.row_loss = sums.row_loss;
  result.correct = sums.correct;
  return result;
}

double InfoNceResult::accuracy() const {
  return correct.sum(at::kDouble).item<double>() / static_cast<double>(correct.size(0));
}

}  // namespace xlembed
