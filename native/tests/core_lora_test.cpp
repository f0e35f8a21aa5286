// Adapters against weights with the product added, their gradient against finite differences, and training
// that leaves the weights alone.

#include "check.h"
#include "core/dropout.h"
#include "core/error.h"
#include "core/trainer.h"

namespace {

using xlembed::Encoder;
using xlembed::LoraOptions;

const std::vector<int32_t> kIds = {7, 5, 9, 4, 5, 6, 3, 8, 2, 11, 12, 13, 10, 14, 3, 3};
const std::vector<int32_t> kCumulative = {0, 3, 4, 6, 9, 13, 16};
const LoraOptions kOptions = {
    .rank = 3, .alpha = 6, .targets = {"query", "value", "output.dense"}, .layers = {1}};

std::shared_ptr<Encoder> encoder() {
  xlembed::EncoderOptions options;
  options.backbone = xlembed::TransformerConfig{.vocabulary_size = 15,
                                                .hidden_size = 8,
                                                .layers = 3,
                                                .heads = 2,
                                                .intermediate_size = 12,
                                                .max_positions = 10,
                                                .token_types = 1,
                                                .layer_norm_epsilon = 1e-5,
                                                .first_position = 2,
                                                .activation = "gelu",
                                                .hidden_dropout = 0,
                                                .attention_dropout = 0};
  options.head = {{.kind = xlembed::HeadModule::Kind::pool, .modes = {"mean"}}};
  options.initializer_range = 0.5;
  options.seed = 3;
  return std::make_shared<Encoder>(options);
}

// B is zero at first: without this nothing would be added.
void fill(const Encoder& encoder) {
  const at::NoGradGuard no_grad;
  at::Generator generator = at::detail::createCPUGenerator(8);
  for (const auto& adapter : encoder.adapters()->named()) adapter.tensor.normal_(0, 0.3, generator);
}

at::Tensor embeddings(const Encoder& encoder) { return encoder.embed(encoder.pack(kIds, kCumulative)); }

at::Tensor named(const std::vector<xlembed::NamedTensor>& tensors, const std::string& name) {
  for (const auto& tensor : tensors) {
    if (tensor.name == name) return tensor.tensor;
  }
  throw std::runtime_error("no " + name);
}

void fresh_adapters_change_nothing() {
  const auto plain = encoder(), adapted = encoder();
  adapted->add_adapters(kOptions, {});
  std::vector<std::string> names;
  for (const auto& tensor : adapted->adapters()->named()) names.push_back(tensor.name);
  const std::string at = "encoder.layer.1.";
  CHECK(
      (names == std::vector<std::string>{
                    at + "attention.self.query.lora_A.weight", at + "attention.self.query.lora_B.weight",
                    at + "attention.self.value.lora_A.weight", at + "attention.self.value.lora_B.weight",
                    at + "attention.output.dense.lora_A.weight", at + "attention.output.dense.lora_B.weight",
                    at + "output.dense.lora_A.weight", at + "output.dense.lora_B.weight"}));
  CHECK(at::equal(embeddings(*plain), embeddings(*adapted)));
}

// W + (alpha / rank) B A, by hand and by merging.
void adapters_add_their_product() {
  const auto adapted = encoder(), by_hand = encoder();
  adapted->add_adapters(kOptions, {});
  fill(*adapted);
  {
    const at::NoGradGuard no_grad;
    for (const char* module :
         {"attention.self.query", "attention.self.value", "attention.output.dense", "output.dense"}) {
      const std::string name = std::string("encoder.layer.1.") + module;
      const auto& tensors = adapted->adapters()->named();
      const at::Tensor product =
          at::mm(named(tensors, name + ".lora_B.weight"), named(tensors, name + ".lora_A.weight"));
      named(by_hand->parameters().named(), name + ".weight").add_(product, 2);
    }
  }
  const at::Tensor expected = embeddings(*by_hand);
  CHECK(!at::allclose(embeddings(*encoder()), expected, 1e-2, 1e-2));
  CHECK(at::allclose(embeddings(*adapted), expected, 1e-5, 1e-6));
  adapted->merge_adapters();
  CHECK(adapted->adapters() == nullptr);
  CHECK(at::allclose(embeddings(*adapted), expected, 1e-5, 1e-6));
}

void gradient_is_that_of_finite_differences() {
  const auto adapted = encoder();
  adapted->add_adapters(kOptions, {});
  fill(*adapted);
  at::Generator generator = at::detail::createCPUGenerator(5);
  const at::Tensor weights = at::randn({6, 8}, generator);
  const auto value = [&] { return (embeddings(*adapted) * weights).sum(); };
  for (const auto& leaf : adapted->adapters()->leaves()) leaf.tensor.requires_grad_(true);
  value().backward();
  for (const auto& leaf : adapted->adapters()->leaves()) {
    const at::NoGradGuard no_grad;
    const at::Tensor direction = at::randn(leaf.tensor.sizes(), generator);
    const double expected = (leaf.tensor.grad() * direction).sum().item<double>();
    const at::Tensor kept = leaf.tensor.clone();
    leaf.tensor.add_(direction, 1e-3);
    const double above = value().item<double>();
    leaf.tensor.copy_(kept).sub_(direction, 1e-3);
    const double below = value().item<double>();
    leaf.tensor.copy_(kept);
    CHECK_CLOSE((above - below) / 2e-3, expected, 2e-2, 2e-2);
  }
}

void training_moves_adapters_alone() {
  const auto adapted = encoder();
  LoraOptions options = kOptions;
  options.dropout = 0.2;
  adapted->add_adapters(options, {});
  const at::Tensor a = adapted->adapters()->leaves()[0].tensor.clone();
  std::vector<at::Tensor> before;
  for (const auto& leaf : adapted->parameters().leaves()) before.push_back(leaf.tensor.clone());
  xlembed::Trainer trainer(adapted, {.loss = {.normalize = true}});
  for (int64_t step = 0; step < 3; ++step) {
    const auto result = trainer.step(
        {.ids = kIds, .cumulative = kCumulative, .queries = 3, .step = step, .learning_rate = 1e-2});
    CHECK(!result.skipped && result.gradient_norm > 0);
  }
  for (size_t k = 0; k < before.size(); ++k) {
    CHECK(at::equal(adapted->parameters().leaves()[k].tensor, before[k]));
  }
  CHECK(!at::equal(adapted->adapters()->leaves()[0].tensor, a));
  // Each adapter's value and two moments.
  CHECK(trainer.state().tensors.size() == 3 * adapted->adapters()->leaves().size());
}

void refuses() {
  const auto adapted = encoder();
  CHECK_REFUSED("INVALID_ARGUMENT", [&] { adapted->add_adapters({.targets = {"uery"}}, {}); });
  CHECK_REFUSED("INVALID_ARGUMENT",
                [&] { adapted->add_adapters({.targets = {"query"}, .layers = {3}}, {}); });
  CHECK_REFUSED("TENSOR_MISSING",
                [&] { adapted->add_adapters(kOptions, {{"other", "none", 0, {1}, at::kFloat}}); });
  CHECK(adapted->adapters() == nullptr);
  adapted->add_adapters(kOptions, {});
  CHECK_REFUSED("INVALID_ARGUMENT", [&] { adapted->add_adapters(kOptions, {}); });
}

}  // namespace

int main() {
  return check::run({{"fresh adapters change nothing", fresh_adapters_change_nothing},
                     {"adapters add their product", adapters_add_their_product},
                     {"gradient against finite differences", gradient_is_that_of_finite_differences},
                     {"training moves adapters alone", training_moves_adapters_alone},
                     {"refusals", refuses}});
}
