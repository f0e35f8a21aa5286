// Packing, and the encoder's gradient against finite differences; its values are held against transformers in
// the TypeScript tests.
#include <algorithm>
#include <cmath>

#include "check.h"
#include "core/dropout.h"
#include "core/encoder.h"
#include "core/error.h"
#include "core/info_nce.h"

namespace {

using xlembed::Encoder;
using xlembed::EncoderOptions;
using xlembed::PackedBatch;

const std::vector<int32_t> kIds = {7, 5, 9, 4, 5, 6, 3, 8, 2, 11, 12, 13, 10, 14, 3, 3};
const std::vector<int32_t> kCumulative = {0, 3, 4, 4, 6, 9, 13, 16};  // lengths 3 1 0 2 3 4 3

PackedBatch packed() { return xlembed::pack_batch(kIds, kCumulative, 15, 2, 8, at::kCPU); }

EncoderOptions tiny() {
  EncoderOptions options;
  options.backbone = xlembed::TransformerConfig{.vocabulary_size = 15,
                                                .hidden_size = 8,
                                                .layers = 2,
                                                .heads = 2,
                                                .intermediate_size = 12,
                                                .max_positions = 10,
                                                .token_types = 1,
                                                .layer_norm_epsilon = 1e-5,
                                                .first_position = 2,
                                                .activation = "gelu",
                                                .hidden_dropout = 0.1,
                                                .attention_dropout = 0.1};
  options.head = {{.kind = xlembed::HeadModule::Kind::pool, .modes = {"mean"}},
                  {.kind = xlembed::HeadModule::Kind::normalize}};
  options.initializer_range = 0.5;
  options.seed = 3;
  return options;
}

void orders_by_length() {
  const PackedBatch batch = packed();
  CHECK(batch.tokens() == 16 && batch.sequences() == 7);
  // Sorted, stable: the empty one, 1, 2, then the three of length 3 in their order, then 4.
  const std::vector<int64_t> row_of = {3, 1, 0, 2, 4, 6, 5};
  for (size_t b = 0; b < row_of.size(); ++b) CHECK(batch.row_of[b].item<int64_t>() == row_of[b]);
  CHECK(batch.groups.size() == 4);
  CHECK(batch.groups[2].first_token == 3 && batch.groups[2].sequences == 3 && batch.groups[2].length == 3);
  CHECK(batch.input_ids[3].item<int64_t>() == 7 && batch.input_ids[6].item<int64_t>() == 3);
  CHECK(batch.position_ids[3].item<int64_t>() == 2 && batch.position_ids[5].item<int64_t>() == 4);
  CHECK(batch.cumulative[7].item<int32_t>() == 16 && batch.cumulative[3].item<int32_t>() == 3);
}

void refuses_wrong_batches() {
  const auto pack = [](const std::vector<int32_t>& ids, const std::vector<int32_t>& cumulative) {
    return [=] { xlembed::pack_batch(ids, cumulative, 15, 0, 3, at::kCPU); };
  };
  CHECK_REFUSED("INVALID_ARGUMENT", pack({1, 2}, {}));
  CHECK_REFUSED("INVALID_ARGUMENT", pack({1, 2}, {0, 1}));
  CHECK_REFUSED("INVALID_ARGUMENT", pack({1, 2}, {1, 2}));
  CHECK_REFUSED("INVALID_ARGUMENT", pack({1, 2}, {0, 2, 1, 2}));
  CHECK_REFUSED("INVALID_ARGUMENT", pack({1, 2, 3, 4}, {0, 4}));
  CHECK_REFUSED("VOCABULARY_MISMATCH", pack({1, 15}, {0, 2}));
  CHECK_REFUSED("VOCABULARY_MISMATCH", pack({-1, 1}, {0, 2}));
}

at::Tensor loss_of(const Encoder& encoder) {
  // Queries: sequences 0, 1, 3; passages: 4, 5, 6 and the empty one's zeros as an extra negative.
  const at::Tensor rows = encoder.embed(encoder.pack(kIds, kCumulative));
  const auto take = [&](std::initializer_list<int64_t> which) {
    return rows.index_select(0, at::tensor(std::vector<int64_t>(which)));
  };
  return xlembed::info_nce(take({0, 1, 3}), take({4, 5, 6, 2}), {.temperature = 0.5}).loss;
}

// (L(w + e v) - L(w - e v)) / 2e = g . v for a random direction v in each leaf.
void gradient_is_that_of_finite_differences() {
  Encoder encoder(tiny());
  encoder.parameters().require_gradients();
  loss_of(encoder).backward();
  at::Generator generator = at::detail::createCPUGenerator(5);
  const double step = 1e-3;
  for (const xlembed::Leaf& leaf : encoder.parameters().leaves()) {
    CHECK(leaf.tensor.grad().defined());
    const at::NoGradGuard no_grad;
    const at::Tensor direction = at::randn(leaf.tensor.sizes(), generator);
    const double expected = (leaf.tensor.grad() * direction).sum().item<double>();
    const at::Tensor kept = leaf.tensor.clone();
    leaf.tensor.add_(direction, step);
    const double above = loss_of(encoder).item<double>();
    leaf.tensor.copy_(kept).sub_(direction, step);
    const double below = loss_of(encoder).item<double>();
    leaf.tensor.copy_(kept);
    CHECK_CLOSE((above - below) / (2 * step), expected, 2e-3, 2e-2);
  }
}

void dropout_changes_training_alone() {
  const Encoder encoder(tiny());
  const at::NoGradGuard no_grad;
  const at::Tensor plain = encoder.embed(encoder.pack(kIds, kCumulative));
  CHECK(at::equal(plain, encoder.embed(encoder.pack(kIds, kCumulative))));
  const auto dropped = [&](uint64_t seed) {
    PackedBatch batch = encoder.pack(kIds, kCumulative);
    xlembed::seed_dropout(batch, seed, std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6});
    return encoder.embed(batch, {.dropout = true});
  };
  CHECK(!at::allclose(plain, dropped(1)));
  CHECK(at::equal(dropped(1), dropped(1)));
  CHECK(!at::allclose(dropped(1), dropped(2)));
}

// DistilBERT: no token types, and no dropout of what attention gives.
void parts_that_distilbert_lacks() {
  const auto with = [](int64_t token_types, bool drops_attention_output) {
    EncoderOptions options = tiny();
    auto& config = std::get<xlembed::TransformerConfig>(options.backbone);
    config.token_types = token_types;
    config.drops_attention_output = drops_attention_output;
    return options;
  };
  const Encoder bert(with(1, true)), distilbert(with(0, false)), dropping(with(0, true));
  const at::NoGradGuard no_grad;
  const auto& named = distilbert.parameters().named();
  CHECK(named.size() + 1 == bert.parameters().named().size());
  for (const xlembed::NamedTensor& theirs : bert.parameters().named()) {
    const auto at =
        std::find_if(named.begin(), named.end(), [&](const auto& own) { return own.name == theirs.name; });
    if (at == named.end()) {
      theirs.tensor.zero_();
    } else {
      theirs.tensor.copy_(at->tensor);
    }
  }
  const PackedBatch plain = bert.pack(kIds, kCumulative);
  CHECK(at::equal(bert.embed(plain), distilbert.embed(plain)));
  PackedBatch batch = bert.pack(kIds, kCumulative);
  xlembed::seed_dropout(batch, 1, std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6});
  CHECK(at::equal(dropping.embed(batch, {.dropout = true}), bert.embed(batch, {.dropout = true})));
  CHECK(!at::allclose(distilbert.embed(batch, {.dropout = true}), bert.embed(batch, {.dropout = true})));
}

void knows_its_devices() {
  CHECK(xlembed::parse_device("cpu").is_cpu());
  CHECK_REFUSED("DEVICE_UNAVAILABLE", [] { xlembed::parse_device("cuda:64"); });
  for (const char* name : {"tpu", "cuda:", "cuda:x", "cuda:-1", "cudas", "cuda:99999999999"}) {
    CHECK_REFUSED("DEVICE_UNAVAILABLE: " + std::string(name) + ": expected cpu, cuda or cuda:N",
                  [&] { xlembed::parse_device(name); });
  }
}

}  // namespace

int main() {
  return check::run({{"packing orders sequences by length", orders_by_length},
                     {"wrong batches are refused", refuses_wrong_batches},
                     {"gradient against finite differences", gradient_is_that_of_finite_differences},
                     {"dropout", dropout_changes_training_alone},
                     {"parts that DistilBERT lacks", parts_that_distilbert_lacks},
                     {"devices", knows_its_devices}});
}
