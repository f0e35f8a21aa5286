#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "check.h"
#include "core/error.h"
#include "core/info_nce.h"

namespace {

using at::Tensor;
using xlembed::info_nce;
using xlembed::InfoNceOptions;
using xlembed::InfoNceResult;
using xlembed::NegativeLanguages;

Tensor random(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::kDouble);
}

// Unit rows: passages near their queries, so that the losses are neither nothing nor everything.
struct Inputs {
  Tensor queries, passages;  // float64
  Inputs(int64_t N, int64_t M, int64_t D, uint64_t seed = 1) {
    queries = random({N, D}, seed);
    passages = random({M, D}, seed + 100);
    passages.narrow(0, 0, N).add_(queries, 0.5);
    queries = queries / queries.norm(2, {1}, true);
    passages = passages / passages.norm(2, {1}, true);
  }
};

Tensor int_values(int64_t count, int64_t modulus, uint64_t seed) {
  return at::randint(modulus, {count}, at::detail::createCPUGenerator(seed), at::kInt);
}

// (N, M) true where a pair is no negative, by the rules' own words.
Tensor masked_pairs(int64_t N, int64_t M, const InfoNceOptions& options) {
  const Tensor mask = at::zeros({N, M}, at::kBool);
  const auto data = [](const Tensor& t) { return t.defined() ? t.const_data_ptr<int32_t>() : nullptr; };
  const int32_t *group = data(options.passage_groups), *query_language = data(options.query_languages),
                *passage_language = data(options.passage_languages);
  for (int64_t i = 0; i < N; ++i) {
    bool* row = mask.mutable_data_ptr<bool>() + i * M;
    for (int64_t j = 0; j < M; ++j) {
      if (j == i) continue;
      if (group && group[i] >= 0 && group[i] == group[j]) row[j] = true;
      if (options.negative_languages == NegativeLanguages::any) continue;
      const bool same = query_language[i] == passage_language[j];
      if (same != (options.negative_languages == NegativeLanguages::same)) row[j] = true;
    }
  }
  return mask;
}

// The definition, one pair at a time, in float64.
std::vector<double> loop_row_losses(const Tensor& queries, const Tensor& passages,
                                    const InfoNceOptions& options) {
  const int64_t N = queries.size(0), M = passages.size(0), D = queries.size(1);
  const auto q = queries.accessor<double, 2>(), p = passages.accessor<double, 2>();
  const Tensor mask = masked_pairs(N, M, options);
  const auto masked = mask.accessor<bool, 2>();
  const auto logit = [&](int64_t i, int64_t j) {
    double sum = 0;
    for (int64_t d = 0; d < D; ++d) sum += q[i][d] * p[j][d];
    return sum / options.temperature;
  };
  std::vector<double> losses(N);
  for (int64_t i = 0; i < N; ++i) {
    double row = 0, column = 0;
    for (int64_t j = 0; j < M; ++j) row += masked[i][j] ? 0 : std::exp(logit(i, j) - logit(i, i));
    for (int64_t k = 0; k < N; ++k) column += masked[k][i] ? 0 : std::exp(logit(k, i) - logit(i, i));
    losses[i] = options.symmetric ? (std::log(row) + std::log(column)) / 2 : std::log(row);
  }
  return losses;
}

// The same with whole matrices, in the dtype of its inputs; differentiable.
Tensor eager_loss(const Tensor& queries, const Tensor& passages, const Tensor& temperature,
                  const InfoNceOptions& options, const Tensor& mask) {
  const int64_t N = queries.size(0);
  Tensor logits = at::mm(queries, passages.t()) / temperature;
  logits = logits.masked_fill(mask, -1e4);
  Tensor losses = logits.logsumexp({1}) - logits.diagonal();
  if (options.symmetric) {
    losses = (losses + logits.narrow(1, 0, N).logsumexp({0}) - logits.diagonal()) / 2;
  }
  if (!options.row_weights.defined()) return losses.mean();
  const Tensor weights = options.row_weights.to(losses.dtype());
  return (losses * weights).sum() / weights.sum();
}

struct Results {
  Tensor loss, queries, passages, temperature;  // float64: the loss and its gradients
};

template <typename Loss>
Results differentiate(const Inputs& inputs, at::ScalarType dtype, at::ScalarType temperature_dtype, double t,
                      Loss loss) {
  const Tensor q = inputs.queries.to(dtype).detach().clone().requires_grad_();
  const Tensor p = inputs.passages.to(dtype).detach().clone().requires_grad_();
  const Tensor temperature = at::full({}, t, temperature_dtype).requires_grad_();
  const Tensor value = loss(q, p, temperature);
  (value * 3).backward();  // an upstream factor other than one
  return {value.detach().to(at::kDouble), q.grad().to(at::kDouble), p.grad().to(at::kDouble),
          temperature.grad().to(at::kDouble)};
}

double distance(const Tensor& a, const Tensor& b) { return (a - b).norm().item<double>(); }

// The floor of rounding, in units of the dtype. A sanitizer's build sums in one lane where the others sum in
// sixteen, and rounds accordingly more.
#ifdef __SANITIZE_ADDRESS__
constexpr double kRoundingUnits = 64;
#else
constexpr double kRoundingUnits = 2;
#endif

// Error against float64 at most twice that of plain libtorch in the same dtype (and a floor of rounding).
void compare(const Inputs& exact_inputs, const InfoNceOptions& options, at::ScalarType dtype) {
  Inputs inputs = exact_inputs;
  inputs.queries = inputs.queries.to(dtype).to(at::kDouble);
  inputs.passages = inputs.passages.to(dtype).to(at::kDouble);
  const Tensor mask = masked_pairs(inputs.queries.size(0), inputs.passages.size(0), options);
  const auto eager = [&](const Tensor& q, const Tensor& p, const Tensor& t) {
    return eager_loss(q, p, t, options, mask);
  };
  const auto ours = [&](const Tensor& q, const Tensor& p, const Tensor& t) {
    InfoNceOptions with_temperature = options;
    with_temperature.learned_temperature = t;
    return info_nce(q, p, with_temperature).loss;
  };
  const double t = options.temperature;
  const Results exact = differentiate(inputs, at::kDouble, at::kDouble, t, eager);
  const Results plain = differentiate(inputs, dtype, dtype, t, eager);
  const Results got = differentiate(inputs, dtype, at::kFloat, t, ours);
  const double unit = dtype == at::kFloat ? 6e-8 : dtype == at::kHalf ? 5e-4 : 4e-3;
  const auto within = [&](const Tensor& g, const Tensor& p, const Tensor& e, double scale) {
    return distance(g, e) <= 2 * distance(p, e) + kRoundingUnits * unit * e.norm().item<double>() + scale;
  };
  CHECK(within(got.loss, plain.loss, exact.loss, 2e-7 / t));
  CHECK(within(got.queries, plain.queries, exact.queries, 1e-9));
  CHECK(within(got.passages, plain.passages, exact.passages, 1e-9));
  CHECK(within(got.temperature, plain.temperature, exact.temperature, 1e-6 / (t * t)));
}

InfoNceOptions all_rules(int64_t N, int64_t M, NegativeLanguages languages) {
  InfoNceOptions options;
  options.row_weights = random({N}, 7).abs().to(at::kFloat);
  options.passage_groups = int_values(M, std::max<int64_t>(M / 4, 1), 8) - 1;
  options.query_languages = int_values(N, 3, 9);
  options.passage_languages = int_values(M, 3, 10);
  options.negative_languages = languages;
  return options;
}

const std::vector<std::vector<int64_t>> shapes = {
    {1, 1, 1},     {1, 31, 7},      {31, 31, 7},       {33, 33, 384},  {33, 100, 1},
    {33, 64, 384}, {1000, 1000, 7}, {1000, 1033, 384}, {33, 33, 1024}, {31, 4097, 7}};

void rows_match_the_definition() {
  for (const auto& s : shapes) {
    if (s[0] * s[1] * s[2] > 10'000'000) continue;  // the loop's time
    for (const bool symmetric : {false, true}) {
      for (const auto languages :
           {NegativeLanguages::any, NegativeLanguages::same, NegativeLanguages::other}) {
        InfoNceOptions options = all_rules(s[0], s[1], languages);
        options.symmetric = symmetric;
        const Inputs inputs(s[0], s[1], s[2]);
        const Tensor q = inputs.queries.to(at::kFloat), p = inputs.passages.to(at::kFloat);
        const auto expected = loop_row_losses(q.to(at::kDouble), p.to(at::kDouble), options);
        const InfoNceResult result = info_nce(q, p, options);
        CHECK(result.row_loss.size(0) == s[0]);
        for (int64_t i = 0; i < s[0]; ++i)
          CHECK_CLOSE(result.row_loss[i].item<double>(), expected[i], 1e-5, 1e-5);
      }
    }
  }
}

void float32_gradients_match_autograd() {
  for (const auto& s : shapes) {
    for (const bool symmetric : {false, true}) {
      InfoNceOptions options;
      options.symmetric = symmetric;
      compare(Inputs(s[0], s[1], s[2]), options, at::kFloat);
      options = all_rules(s[0], s[1], symmetric ? NegativeLanguages::same : NegativeLanguages::other);
      options.symmetric = symmetric;
      compare(Inputs(s[0], s[1], s[2]), options, at::kFloat);
    }
  }
}

void narrow_types_beat_plain_libtorch() {
  for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf}) {
    for (const bool symmetric : {false, true}) {
      InfoNceOptions options = all_rules(33, 100, NegativeLanguages::any);
      options.symmetric = symmetric;
      compare(Inputs(33, 100, 384), options, dtype);
      compare(Inputs(1, 1, 7), InfoNceOptions{}, dtype);
    }
  }
}

// float32 inputs, bfloat16 products, against float32 products: the rounding of each factor (2^-9) partly
// cancels in sums of many terms, as real embeddings have them.
void bfloat16_products_are_near_float32() {
  for (const auto& s : shapes) {
    for (const bool symmetric : {false, true}) {
      InfoNceOptions options = all_rules(s[0], s[1], NegativeLanguages::any);
      options.symmetric = symmetric;
      const Inputs inputs(s[0], s[1], s[2]);
      const auto with_products = [&](at::ScalarType products) {
        return [&options, products](const Tensor& q, const Tensor& p, const Tensor& t) {
          InfoNceOptions with_temperature = options;
          with_temperature.learned_temperature = t;
          with_temperature.products = products;
          return info_nce(q, p, with_temperature).loss;
        };
      };
      const double t = options.temperature;
      const Results exact = differentiate(inputs, at::kFloat, at::kFloat, t, with_products(at::kFloat));
      const Results got = differentiate(inputs, at::kFloat, at::kFloat, t, with_products(at::kBFloat16));
      const double allowed = s[2] == 384 ? 0.005 : 0.02;
      CHECK(distance(got.loss, exact.loss) <= 0x1p-8 / t);
      for (const auto& [g, e] : {std::pair{got.queries, exact.queries}, {got.passages, exact.passages}}) {
        CHECK(distance(g, e) <= allowed * e.norm().item<double>() + 1e-9);
      }
    }
  }
}

void several_blocks_match_autograd() {
  InfoNceOptions options = all_rules(1300, 1301, NegativeLanguages::any);
  compare(Inputs(1300, 1301, 16), options, at::kFloat);
  options.symmetric = true;
  compare(Inputs(1300, 1301, 16), options, at::kFloat);
}

// One query more than a power of two: the last block has one row.
void many_queries_match_autograd() { compare(Inputs(4097, 4097, 7), InfoNceOptions{}, at::kFloat); }

// More than 64 MB of similarities: the symmetric form computes its blocks twice.
void recomputed_blocks_match_autograd() {
  InfoNceOptions options = all_rules(1300, 13000, NegativeLanguages::any);
  options.symmetric = true;
  compare(Inputs(1300, 13000, 8), options, at::kFloat);
}

// Independent of anybody's derivative: central differences of the float64 loop.
void gradients_match_finite_differences() {
  for (const bool symmetric : {false, true}) {
    const int64_t N = 5, M = 8, D = 3;
    InfoNceOptions options = all_rules(N, M, NegativeLanguages::same);
    options.symmetric = symmetric;
    options.temperature = 0.3;
    const Inputs inputs(N, M, D, 21);
    const auto weights = options.row_weights.to(at::kDouble);
    const auto loss_at = [&](const Tensor& q, const Tensor& p, double t) {
      InfoNceOptions moved = options;
      moved.temperature = t;
      const auto rows = loop_row_losses(q, p, moved);
      double sum = 0;
      for (int64_t i = 0; i < N; ++i) sum += rows[i] * weights[i].item<double>();
      return sum / weights.sum().item<double>();
    };
    const Tensor q = inputs.queries.to(at::kFloat).requires_grad_();
    const Tensor p = inputs.passages.to(at::kFloat).requires_grad_();
    const Tensor t = at::full({}, 0.3, at::kFloat).requires_grad_();
    InfoNceOptions learned = options;
    learned.learned_temperature = t;
    info_nce(q, p, learned).loss.backward();
    const double h = 1e-5;
    const auto check_all = [&](const Tensor& exact, const Tensor& gradient, bool moves_queries) {
      for (int64_t k = 0; k < exact.numel(); ++k) {
        Tensor up = exact.clone(), down = exact.clone();
        up.view(-1)[k] += h;
        down.view(-1)[k] -= h;
        const double slope = moves_queries
                                 ? loss_at(up, inputs.passages, 0.3) - loss_at(down, inputs.passages, 0.3)
                                 : loss_at(inputs.queries, up, 0.3) - loss_at(inputs.queries, down, 0.3);
        CHECK_CLOSE(gradient.reshape(-1)[k].item<double>(), slope / (2 * h), 1e-5, 1e-4);
      }
    };
    check_all(inputs.queries, q.grad(), true);
    check_all(inputs.passages, p.grad(), false);
    const double slope =
        loss_at(inputs.queries, inputs.passages, 0.3 + h) - loss_at(inputs.queries, inputs.passages, 0.3 - h);
    CHECK_CLOSE(t.grad().item<double>(), slope / (2 * h), 1e-5, 1e-4);
  }
}

void gradient_only_where_asked() {
  const Inputs inputs(40, 50, 7);
  const Tensor q = inputs.queries.to(at::kFloat).requires_grad_(), p = inputs.passages.to(at::kFloat);
  const InfoNceResult result = info_nce(q, p, {});
  result.loss.backward();
  CHECK(q.grad().defined() && !p.grad().defined());
  CHECK(!result.row_loss.requires_grad());
  const at::NoGradGuard no_grad;
  const InfoNceResult plain = info_nce(q, p, {});
  CHECK(!plain.loss.requires_grad());
  CHECK(at::equal(plain.loss, result.loss.detach()) && at::equal(plain.row_loss, result.row_loss));
  const c10::InferenceMode inference;
  CHECK(at::equal(info_nce(q, p, {}).loss, plain.loss));
}

// The gradient that is kept for the next backward() must not become anybody's .grad.
void every_backward_adds_the_same() {
  const Inputs inputs(40, 50, 7);
  const Tensor q = inputs.queries.to(at::kFloat).requires_grad_(), p = inputs.passages.to(at::kFloat);
  const Tensor loss = info_nce(q, p, {}).loss;
  loss.backward({}, /*retain_graph=*/true);
  const Tensor once = q.grad().clone();
  loss.backward({}, /*retain_graph=*/true);
  q.mutable_grad().zero_();
  loss.backward({}, /*retain_graph=*/true);
  CHECK(at::equal(q.grad(), once));
  q.mutable_grad() = Tensor();
  (loss * 2).backward();
  CHECK(at::equal(q.grad(), once * 2));
}

void equal_bits_on_every_run(at::ScalarType products) {
  InfoNceOptions options = all_rules(257, 300, NegativeLanguages::same);
  options.symmetric = true;
  options.products = products;
  const Inputs inputs(257, 300, 33);
  Tensor first;
  for (int run = 0; run < 100; ++run) {
    const Tensor q = inputs.queries.to(at::kFloat).requires_grad_();
    const Tensor p = inputs.passages.to(at::kFloat).requires_grad_();
    options.learned_temperature = at::full({}, 0.05, at::kFloat).requires_grad_();
    const InfoNceResult result = info_nce(q, p, options);
    result.loss.backward();
    const Tensor all = at::cat({result.loss.detach().reshape(-1), result.row_loss, q.grad().reshape(-1),
                                p.grad().reshape(-1), options.learned_temperature.grad().reshape(-1)});
    if (run == 0) first = all;
    CHECK(std::memcmp(all.const_data_ptr(), first.const_data_ptr(), all.nbytes()) == 0);
  }
}

// A line of /proc/self/status, in bytes.
int64_t status_bytes(const std::string& name) {
  std::ifstream file("/proc/self/status");
  std::string word;
  while (file >> word && word != name) {
  }
  int64_t kibibytes = 0;
  file >> kibibytes;
  return kibibytes * 1024;
}

// At 16,384 pairs, where the similarities alone would take 1 GB. What the caller gets, two gradients, is not
// extra.
void extra_memory_stays_below_64_mb() {
#ifndef __SANITIZE_ADDRESS__
  const int64_t N = 16384, D = 64;
  const Inputs inputs(N, N, D);
  for (const at::ScalarType products : {at::kFloat, at::kBFloat16}) {
    const Tensor q = inputs.queries.to(at::kFloat).requires_grad_();
    const Tensor p = inputs.passages.to(at::kFloat).requires_grad_();
    InfoNceOptions options;
    options.products = products;
    if (!(std::ofstream("/proc/self/clear_refs") << "5").flush()) return;  // the peak cannot be measured here
    const int64_t before = status_bytes("VmRSS:");
    info_nce(q, p, options).loss.backward();
    const int64_t results = 2 * N * D * static_cast<int64_t>(sizeof(float));
    CHECK(status_bytes("VmHWM:") - before - results <= int64_t{64} << 20);
  }
#endif
}

void accuracy_counts_ties_for_the_smaller_column() {
  Tensor q = at::eye(4, at::kFloat);
  CHECK_CLOSE(info_nce(q, q, {}).accuracy(), 1.0, 0, 0);
  const Tensor p = q.clone();
  p[2].copy_(
      q[1]);  // rows 1 and 2 of p answer query 1 alike; query 2 has no answer: all its scores are 0 or less
  CHECK_CLOSE(info_nce(q, p, {}).accuracy(), 0.75, 0, 0);
  const Tensor swapped = at::cat({q.narrow(0, 1, 1), q.narrow(0, 0, 1)});
  CHECK_CLOSE(info_nce(q.narrow(0, 0, 2), swapped, {}).accuracy(), 0.0, 0, 0);
  InfoNceOptions grouped;
  grouped.passage_groups = at::zeros({2}, at::kInt);  // nothing left to lose against
  CHECK_CLOSE(info_nce(q.narrow(0, 0, 2), swapped, grouped).accuracy(), 1.0, 0, 0);
  CHECK_CLOSE(info_nce(q.narrow(0, 0, 2), swapped, grouped).loss.item<double>(), 0.0, 0, 0);
}

void not_finite_in_not_finite_out() {
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinity = std::numeric_limits<double>::infinity();
  for (const bool symmetric : {false, true}) {
    for (const double bad : {nan, infinity}) {
      InfoNceOptions options;
      options.symmetric = symmetric;
      Inputs inputs(40, 50, 7);
      inputs.passages[45][3] = bad;  // a mere negative
      CHECK(!std::isfinite(info_nce(inputs.queries.to(at::kFloat), inputs.passages.to(at::kFloat), options)
                               .loss.item<double>()));
    }
  }
}

// Logits of several hundred: nothing may overflow, and the loss of a clear winner is exactly zero.
void extreme_temperatures_stay_finite() {
  for (const bool symmetric : {false, true}) {
    for (const double temperature : {1e-3, 1e3}) {
      InfoNceOptions options;
      options.symmetric = symmetric;
      options.temperature = temperature;
      compare(Inputs(33, 64, 7), options, at::kFloat);
    }
  }
}

void refuses_what_does_not_fit() {
  const Tensor q = at::ones({3, 4}), p = at::ones({5, 4});
  InfoNceOptions options;
  CHECK_REFUSED("INVALID_ARGUMENT: ", [&] { info_nce(p, q, options); });
  CHECK_REFUSED("INVALID_ARGUMENT: ", [&] { info_nce(q.narrow(0, 0, 0), p, options); });
  CHECK_REFUSED("INVALID_ARGUMENT: ", [&] { info_nce(q.to(at::kBFloat16), p, options); });
  CHECK_REFUSED("INVALID_ARGUMENT: ", [&] { info_nce(q[0], p, options); });
  CHECK_REFUSED("DIMENSION_MISMATCH: ", [&] { info_nce(q, at::ones({5, 3}), options); });
  options.temperature = 0;
  CHECK_REFUSED("INVALID_ARGUMENT: ", [&] { info_nce(q, p, options); });
  options = {};
  options.row_weights = at::zeros({3});
  CHECK_REFUSED("INVALID_ARGUMENT: ", [&] { info_nce(q, p, options); });
  options.row_weights = at::ones({4});
  CHECK_REFUSED("INVALID_ARGUMENT: ", [&] { info_nce(q, p, options); });
  options = {};
  options.passage_groups = at::zeros({5}, at::kLong);
  CHECK_REFUSED("INVALID_ARGUMENT: ", [&] { info_nce(q, p, options); });
  options = {};
  options.negative_languages = NegativeLanguages::same;
  CHECK_REFUSED("INVALID_ARGUMENT: ", [&] { info_nce(q, p, options); });
}

}  // namespace

int main() {
  return check::run({
      {"rows match the definition", rows_match_the_definition},
      {"float32 gradients match autograd", float32_gradients_match_autograd},
      {"bfloat16 and float16 beat plain libtorch", narrow_types_beat_plain_libtorch},
      {"bfloat16 products are near float32", bfloat16_products_are_near_float32},
      {"several blocks match autograd", several_blocks_match_autograd},
      {"many queries match autograd", many_queries_match_autograd},
      {"recomputed blocks match autograd", recomputed_blocks_match_autograd},
      {"gradients match finite differences", gradients_match_finite_differences},
      {"a gradient only where asked", gradient_only_where_asked},
      {"every backward adds the same", every_backward_adds_the_same},
      {"equal bits on every run", [] { equal_bits_on_every_run(at::kFloat); }},
      {"equal bits on every run, bfloat16 products", [] { equal_bits_on_every_run(at::kBFloat16); }},
      {"extra memory stays below 64 MB", extra_memory_stays_below_64_mb},
      {"accuracy: ties go to the smaller column", accuracy_counts_ties_for_the_smaller_column},
      {"not finite in, not finite out", not_finite_in_not_finite_out},
      {"extreme temperatures stay finite", extreme_temperatures_stay_finite},
      {"refuses what does not fit", refuses_what_does_not_fit},
  });
}
