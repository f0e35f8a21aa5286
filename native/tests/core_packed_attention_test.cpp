// Attention over packed rows against attention sequence by sequence. On XLEMBED_TEST_DEVICE (a GPU) through
// libtorch's kernels; on the CPU, which has none of them, through stand-ins that do what those are documented
// to do, so that what is handed to them is checked everywhere.
#include <torch/library.h>

#include <cmath>
#include <cstdlib>
#include <numeric>

#include "check.h"
#include "core/dropout.h"
#include "core/encoder.h"
#include "core/packed_attention.h"

namespace {

using xlembed::PackedBatch;

at::Device test_device() {
  const char* name = std::getenv("XLEMBED_TEST_DEVICE");
  return xlembed::parse_device(name == nullptr ? "cpu" : name);
}

// softmax(Q K^T scale) V of one sequence; all (L, heads, width), in float64.
at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, double scale) {
  const auto by_head = [](const at::Tensor& x) { return x.to(at::kDouble).transpose(0, 1); };
  const at::Tensor scores = at::matmul(by_head(query) * scale, by_head(key).transpose(1, 2));
  return at::matmul(at::softmax(scores, 2), by_head(value)).transpose(0, 1);
}

// query, key, value (T, heads, width); cumulative (B + 1) int32
at::Tensor attention_by_sequence(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                 const at::Tensor& cumulative, double scale) {
  const at::Tensor bounds = cumulative.to(at::kCPU);
  std::vector<at::Tensor> parts;
  for (int64_t b = 0; b + 1 < bounds.size(0); ++b) {
    const int64_t first = bounds[b].item<int>(), length = bounds[b + 1].item<int>() - first;
    const auto rows = [&](const at::Tensor& x) { return x.narrow(0, first, length); };
    if (length > 0) parts.push_back(attention(rows(query), rows(key), rows(value), scale));
  }
  return at::cat(parts);
}

int64_t calls_of_flash = 0, calls_of_efficient = 0, longest_seen = 0;

// Boxed, because versions of libtorch have added arguments at the end.
class Arguments {
 public:
  Arguments(const c10::OperatorHandle& operation, torch::jit::Stack* stack)
      : schema_(operation.schema()), values_(torch::jit::pop(*stack, schema_.arguments().size())) {}
  const c10::IValue& operator[](const std::string& name) const {
    return values_[*schema_.argumentIndexWithName(name)];
  }

 private:
  const c10::FunctionSchema& schema_;
  std::vector<c10::IValue> values_;
};

void flash_attention(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  const Arguments given(operation, stack);
  const at::Tensor query = given["query"].toTensor();
  CHECK(query.dim() == 3 && query.stride(2) == 1 && query.scalar_type() != at::kFloat);
  CHECK(given["dropout_p"].toDouble() == 0 && !given["is_causal"].toBool());
  CHECK(at::equal(given["cum_seq_q"].toTensor(), given["cum_seq_k"].toTensor()));
  CHECK(given["max_q"].toInt() == given["max_k"].toInt());
  ++calls_of_flash;
  longest_seen = given["max_q"].toInt();
  const at::Tensor attended = attention_by_sequence(query, given["key"].toTensor(), given["value"].toTensor(),
                                                    given["cum_seq_q"].toTensor(), given["scale"].toDouble());
  torch::jit::push(*stack, attended.to(query.scalar_type()), at::Tensor(), at::Tensor(), at::Tensor(),
                   at::Tensor());
}

void efficient_attention(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  const Arguments given(operation, stack);
  const at::Tensor query = given["query"].toTensor();
  CHECK(query.dim() == 4 && query.size(0) == 1 && query.stride(3) == 1);
  CHECK(given["dropout_p"].toDouble() == 0 && given["custom_mask_type"].toInt() == 0);
  CHECK(given["bias"].isNone());
  ++calls_of_efficient;
  longest_seen = given["max_seqlen_q"].toInt();
  const auto rows = [&](const char* name) { return given[name].toTensor().squeeze(0); };
  const at::Tensor attended = attention_by_sequence(
      rows("query"), rows("key"), rows("value"), given["cu_seqlens_q"].toTensor(), given["scale"].toDouble());
  torch::jit::push(*stack, attended.to(query.scalar_type()).unsqueeze(0), at::Tensor(), at::Tensor(),
                   at::Tensor(), int64_t{0}, int64_t{0});
}

TORCH_LIBRARY_IMPL(aten, CPU, library) {
  library.impl("_flash_attention_forward", torch::CppFunction::makeFromBoxedFunction<&flash_attention>());
  library.impl("_efficient_attention_forward",
               torch::CppFunction::makeFromBoxedFunction<&efficient_attention>());
}

PackedBatch batch_of(const std::vector<int>& lengths, at::Device device) {
  std::vector<int32_t> ids, cumulative = {0};
  for (const int length : lengths) {
    ids.resize(ids.size() + length, 1);
    cumulative.push_back(static_cast<int32_t>(ids.size()));
  }
  return xlembed::pack_batch(ids, cumulative, 2, 0, 8192, device);
}

// What rounding to the type and one summation leave.
double tolerance(at::ScalarType type) {
  return type == at::kFloat ? 2e-5 : type == at::kHalf ? 2e-3 : 1.6e-2;
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return a.numel() == 0
             ? 0
             : (a.to(at::kCPU, at::kDouble) - b.to(at::kCPU, at::kDouble)).abs().max().item<double>();
}

void equals_attention_by_sequence() {
  const at::Device device = test_device();
  at::Generator generator = at::detail::createCPUGenerator(7);
  const at::NoGradGuard no_grad;
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const std::vector<int>& lengths :
         {std::vector<int>{3, 0, 17, 1, 64, 33, 33}, {1, 2}, {130}, {0, 0, 5}}) {
      const PackedBatch batch = batch_of(lengths, device);
      const at::Tensor rows = at::randn({batch.tokens(), 3, 2, 32}, generator).to(device, type);
      CHECK(xlembed::has_packed_attention(rows) == device.is_cuda());
      const at::Tensor attended = xlembed::attend_packed(rows, batch);
      CHECK(attended.sizes() == at::IntArrayRef({batch.tokens(), 64}) && attended.scalar_type() == type);
      const auto parts = rows.unbind(1);
      const at::Tensor expected =
          attention_by_sequence(parts[0], parts[1], parts[2], batch.cumulative, 1 / std::sqrt(32.0));
      CHECK_CLOSE(largest_difference(attended, expected.flatten(1)), 0, tolerance(type), 0);
      if (device.is_cpu()) CHECK(longest_seen == batch.groups.back().length);
    }
  }
  if (device.is_cpu()) CHECK(calls_of_flash == 8 && calls_of_efficient == 4);
  const PackedBatch none = batch_of({0, 0}, device);
  CHECK(xlembed::attend_packed(at::zeros({0, 3, 2, 32}, device), none).sizes() == at::IntArrayRef({0, 64}));
}

// Odd widths go through dense blocks on every device.
void widths_that_do_not_fit() {
  const at::Device device = test_device();
  CHECK(!xlembed::has_packed_attention(at::zeros({4, 3, 2, 12}, device)));
  CHECK(!xlembed::has_packed_attention(at::zeros({4, 3, 1, 264}, device)));
  CHECK(!xlembed::has_packed_attention(at::zeros({4, 3, 1, 64}, at::kCPU)));
}

xlembed::EncoderOptions encoder_options(at::Device device, at::ScalarType type, const char* activation) {
  xlembed::EncoderOptions options;
  options.backbone = xlembed::TransformerConfig{.vocabulary_size = 50,
                                                .hidden_size = 64,
                                                .layers = 2,
                                                .heads = 2,
                                                .intermediate_size = 128,
                                                .max_positions = 8200,
                                                .token_types = 1,
                                                .layer_norm_epsilon = 1e-5,
                                                .first_position = 2,
                                                .activation = activation};
  options.head = {{.kind = xlembed::HeadModule::Kind::pool, .modes = {"mean"}},
                  {.kind = xlembed::HeadModule::Kind::normalize}};
  options.initializer_range = 0.1;
  options.seed = 3;
  options.device = device;
  options.dtype = type;
  return options;
}

struct Texts {
  std::vector<int32_t> ids, cumulative = {0};
};

Texts texts_of(const std::vector<int>& lengths) {
  Texts texts;
  for (const int length : lengths) {
    for (int t = 0; t < length; ++t) texts.ids.push_back((7 * t + length) % 50);
    texts.cumulative.push_back(static_cast<int32_t>(texts.ids.size()));
  }
  return texts;
}

// Long texts beside short ones, begun one after the other before the first is waited for.
void an_encoder_gives_the_vectors_of_the_cpu() {
  const at::Device device = test_device();
  const Texts some = texts_of({3, 0, 17, 1, 64}), longest = texts_of({device.is_cpu() ? 1024 : 8192, 40});
  for (const char* activation : {"gelu", "gelu_tanh", "relu"}) {
    xlembed::Encoder reference(encoder_options(at::kCPU, at::kFloat, activation));
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
      if (device.is_cpu() && type == at::kHalf) continue;
      xlembed::Encoder encoder(encoder_options(device, type, activation));
      const xlembed::Download first = encoder.begin_encode(some.ids, some.cumulative);
      const xlembed::Download second = encoder.begin_encode(longest.ids, longest.cumulative);
      const double bound = type == at::kFloat ? 1e-5 : 2e-2;
      CHECK_CLOSE(largest_difference(at::tensor(second.wait()),
                                     at::tensor(reference.encode(longest.ids, longest.cumulative))),
                  0, bound, 0);
      CHECK_CLOSE(largest_difference(at::tensor(first.wait()),
                                     at::tensor(reference.encode(some.ids, some.cumulative))),
                  0, bound, 0);
    }
  }
}

// On a GPU the gradient is that of libtorch's packed attention, on the CPU that of dense blocks.
void the_gradient_is_that_of_the_cpu() {
  const Texts texts = texts_of({3, 17, 1, 64, 33, 33});
  const auto gradients = [&](at::Device device) {
    xlembed::Encoder encoder(encoder_options(device, at::kFloat, "gelu"));
    encoder.parameters().require_gradients();
    encoder.embed(encoder.pack(texts.ids, texts.cumulative)).select(1, 0).sum().backward();
    std::vector<at::Tensor> found;
    for (const xlembed::Leaf& leaf : encoder.parameters().leaves()) found.push_back(leaf.tensor.grad());
    return found;
  };
  const auto expected = gradients(at::kCPU), found = gradients(test_device());
  for (size_t n = 0; n < expected.size(); ++n) {
    CHECK_CLOSE(largest_difference(found[n], expected[n]), 0, 1e-5, 0);
  }
}

// A step in mixed precision, dropout included: its masks are the same on every device and in every type.
void a_step_in_bfloat16_is_near_that_of_float32() {
  const Texts texts = texts_of({3, 17, 0, 1, 130, 33, 33});
  std::vector<int64_t> sequences(texts.cumulative.size() - 1);
  std::iota(sequences.begin(), sequences.end(), 0);
  const auto gradients = [&](at::Device device, at::ScalarType type) {
    xlembed::EncoderOptions options = encoder_options(device, at::kFloat, "gelu");
    auto& config = std::get<xlembed::TransformerConfig>(options.backbone);
    config.hidden_dropout = config.attention_dropout = 0.2;
    xlembed::Encoder encoder(options);
    encoder.parameters().require_gradients();
    PackedBatch batch = encoder.pack(texts.ids, texts.cumulative);
    xlembed::seed_dropout(batch, /*seed=*/5, sequences);
    const xlembed::ForwardMode mode{.dropout = true, .training = true, .dtype = type};
    encoder.embed(batch, mode).select(1, 0).sum().backward();
    std::vector<at::Tensor> found;
    for (const xlembed::Leaf& leaf : encoder.parameters().leaves())
      found.push_back(leaf.tensor.grad().to(at::kCPU, at::kDouble).flatten());
    return at::cat(found);
  };
  const at::Tensor expected = gradients(at::kCPU, at::kFloat);
  const at::Tensor found = gradients(test_device(), at::kBFloat16);
  CHECK_CLOSE(((found - expected).norm() / expected.norm()).item<double>(), 0, 2e-2, 0);
}

}  // namespace

int main() {
  return check::run({{"attention by sequence", equals_attention_by_sequence},
                     {"widths that do not fit", widths_that_do_not_fit},
                     {"vectors of the CPU", an_encoder_gives_the_vectors_of_the_cpu},
                     {"gradient of the CPU", the_gradient_is_that_of_the_cpu},
                     {"a step in bfloat16", a_step_in_bfloat16_is_near_that_of_float32}});
}
