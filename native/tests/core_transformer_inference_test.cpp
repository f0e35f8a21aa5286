// The encoder's kernels of its own against its forward pass by libtorch's operations, on shapes of every
// kind.
#include <cmath>
#include <random>

#include "check.h"
#include "core/encoder.h"
#include "core/error.h"

namespace {

using xlembed::Encoder;
using xlembed::EncoderOptions;

EncoderOptions options(int64_t heads, int64_t width, int64_t wide, const char* activation = "gelu") {
  EncoderOptions options;
  options.backbone = xlembed::TransformerConfig{.vocabulary_size = 50,
                                                .hidden_size = heads * width,
                                                .layers = 3,
                                                .heads = heads,
                                                .intermediate_size = wide,
                                                .max_positions = 600,
                                                .token_types = 1,
                                                .layer_norm_epsilon = 1e-5,
                                                .first_position = 2,
                                                .activation = activation};
  options.head = {{.kind = xlembed::HeadModule::Kind::pool, .modes = {"mean"}},
                  {.kind = xlembed::HeadModule::Kind::normalize}};
  options.initializer_range = 0.1;
  options.seed = 3;
  return options;
}

// With a dense module between pooling and normalising, as LaBSE has one.
EncoderOptions with_dense(EncoderOptions options, int64_t in) {
  options.head.insert(options.head.begin() + 1, {.kind = xlembed::HeadModule::Kind::dense,
                                                 .activation = "tanh",
                                                 .in_features = in,
                                                 .out_features = 100});
  return options;
}

struct Batch {
  std::vector<int32_t> ids, cumulative = {0};
};

Batch batch_of(const std::vector<int>& lengths) {
  std::mt19937 engine(1);
  Batch batch;
  for (const int length : lengths) {
    for (int t = 0; t < length; ++t) batch.ids.push_back(static_cast<int32_t>(engine() % 50));
    batch.cumulative.push_back(static_cast<int32_t>(batch.ids.size()));
  }
  return batch;
}

// Largest 1 - cosine between the rows of a and b; rows of zeros must be zeros in both.
double distance(const std::vector<float>& a, const at::Tensor& b) {
  const at::Tensor rows = at::tensor(a).view(b.sizes()).to(at::kDouble), others = b.to(at::kDouble);
  const at::Tensor size = (rows * rows).sum(1).sqrt() * (others * others).sum(1).sqrt();
  const at::Tensor both_zero = rows.abs().sum(1).add(others.abs().sum(1)).eq(0);
  return at::where(both_zero, 0.0, 1 - (rows * others).sum(1) / size).max().item<double>();
}

double distance_to_libtorch(EncoderOptions chosen, const Batch& batch) {
  const at::NoGradGuard no_grad;
  Encoder encoder(chosen);
  chosen.dtype = at::kFloat;
  chosen.int8_layers = false;
  const Encoder reference(chosen);
  return distance(encoder.encode(batch.ids, batch.cumulative),
                  reference.embed(reference.pack(batch.ids, batch.cumulative)));
}

void near_to_libtorch() {
  const Batch some = batch_of({3, 0, 17, 1, 64, 33, 33, 2}), many = batch_of(std::vector<int>(90, 23));
  const Batch one = batch_of({512}), none = batch_of({});
  const std::vector<EncoderOptions> shapes = {options(4, 32, 512), options(2, 64, 256, "gelu_tanh"),
                                              options(3, 20, 100, "relu")};
  for (const EncoderOptions& shape : shapes) {
    for (const Batch& batch : {some, many, one}) {
      EncoderOptions chosen = shape;
      CHECK_CLOSE(distance_to_libtorch(chosen, batch), 0, 1e-11, 0);
      chosen.dtype = at::kBFloat16;
      CHECK_CLOSE(distance_to_libtorch(chosen, batch), 0, 1e-4, 0);
      chosen.dtype = at::kFloat;
      chosen.int8_layers = true;
      CHECK_CLOSE(distance_to_libtorch(chosen, batch), 0, 2e-3, 0);
    }
  }
  CHECK(Encoder(shapes[0]).encode(none.ids, none.cumulative).empty());
}

// Odd widths do not fill 32-bit words: libtorch does bfloat16 there, and int8 is refused.
void shapes_that_do_not_fit() {
  const Batch batch = batch_of({3, 17, 40});
  EncoderOptions odd = options(4, 7, 33);
  CHECK_CLOSE(distance_to_libtorch(odd, batch), 0, 1e-11, 0);
  odd.dtype = at::kBFloat16;
  CHECK_CLOSE(distance_to_libtorch(odd, batch), 0, 1e-3, 0);
  odd.dtype = at::kFloat;
  odd.int8_layers = true;
  CHECK_REFUSED("MODEL_UNSUPPORTED", [&] { const Encoder encoder(odd); });
}

void changed_weights_count() {
  const Batch batch = batch_of({3, 17, 40});
  Encoder encoder(with_dense(options(4, 32, 64), 128));
  const std::vector<float> before = encoder.encode(batch.ids, batch.cumulative);
  {
    const at::NoGradGuard no_grad;
    for (const xlembed::Leaf& leaf : encoder.parameters().leaves())
      leaf.tensor.add_(0.01 * at::randn_like(leaf.tensor));
  }
  const std::vector<float> after = encoder.encode(batch.ids, batch.cumulative);
  CHECK(before != after);
  const at::NoGradGuard no_grad;
  CHECK_CLOSE(distance(after, encoder.embed(encoder.pack(batch.ids, batch.cumulative))), 0, 1e-11, 0);
}

std::vector<EncoderOptions> in_every_arithmetic(const EncoderOptions& options) {
  std::vector<EncoderOptions> all(3, options);
  all[1].dtype = at::kBFloat16;
  all[2].int8_layers = true;
  return all;
}

// Fewer runs than threads, as many, more: the threads share the work in different ways.
void bits_do_not_depend_on_threads() {
  const Batch batch = batch_of({3, 250, 17, 300, 1, 200, 511, 64});
  for (const EncoderOptions& chosen : in_every_arithmetic(options(4, 32, 64))) {
    Encoder encoder(chosen);
    at::set_num_threads(1);
    const std::vector<float> expected = encoder.encode(batch.ids, batch.cumulative);
    for (const int threads : {2, 3, 7}) {
      at::set_num_threads(threads);
      CHECK(encoder.encode(batch.ids, batch.cumulative) == expected);
    }
  }
}

void bits_do_not_depend_on_what_is_beside() {
  const Batch batch = batch_of({3, 250, 17, 1, 64, 40, 40});
  for (const EncoderOptions& chosen : in_every_arithmetic(with_dense(options(4, 32, 64), 128))) {
    Encoder encoder(chosen);
    const std::vector<float> together = encoder.encode(batch.ids, batch.cumulative);
    for (size_t b = 0; b + 1 < batch.cumulative.size(); ++b) {
      const int32_t first = batch.cumulative[b], length = batch.cumulative[b + 1] - first;
      const std::vector<int32_t> ids(batch.ids.begin() + first, batch.ids.begin() + first + length);
      const std::vector<float> alone = encoder.encode(ids, std::vector<int32_t>{0, length});
      CHECK(std::equal(alone.begin(), alone.end(), together.begin() + b * 100));
    }
  }
}

}  // namespace

int main() {
  return check::run({{"near to libtorch", near_to_libtorch},
                     {"shapes that do not fit", shapes_that_do_not_fit},
                     {"changed weights count", changed_weights_count},
                     {"bits do not depend on threads", bits_do_not_depend_on_threads},
                     {"bits do not depend on what is beside", bits_do_not_depend_on_what_is_beside}});
}
