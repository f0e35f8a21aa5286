#include "core/lstm.h"

#include <limits>

#include "core/error.h"

namespace xlembed {
namespace {

constexpr int64_t kGates = 4;            // input, forget, cell, output
constexpr int64_t kTensorsPerLayer = 4;  // weight_ih, weight_hh, bias_ih, bias_hh
constexpr int64_t kCudnnLstm = 2;        // cudnnRNNMode_t

// The same tokens in the order that PyTorch calls packed: by time step, longest sequence first.
struct TimeMajor {
  at::Tensor batch_sizes;        // (longest) int64 on the CPU: sequences that have a token at this step
  std::vector<int64_t> order;    // (T): packed row -> row of the batch
  std::vector<int64_t> inverse;  // (T): row of the batch -> packed row
};

TimeMajor time_major(const PackedBatch& batch) {
  const int64_t tokens = batch.tokens(), longest = batch.groups.empty() ? 0 : batch.groups.back().length;
  TimeMajor packed{at::zeros({longest}, at::kLong), std::vector<int64_t>(tokens),
                   std::vector<int64_t>(tokens)};
  auto* batch_size = packed.batch_sizes.mutable_data_ptr<int64_t>();
  int64_t row = 0;
  for (int64_t step = 0; step < longest; ++step) {
    for (auto group = batch.groups.rbegin(); group != batch.groups.rend() && group->length > step; ++group) {
      for (int64_t sequence = 0; sequence < group->sequences; ++sequence, ++row) {
        packed.order[row] = group->first_token + sequence * group->length + step;
        packed.inverse[packed.order[row]] = row;
      }
      batch_size[step] += group->sequences;
    }
  }
  return packed;
}

}  // namespace

Lstm::Lstm(const LstmConfig& config, Parameters& parameters, at::Device device)
    : config_(config), device_(device) {
  embeddings_ = parameters.add("embed_tokens.weight", {config.vocabulary_size, config.embedding_size},
                               Initialisation::normal);
  for (int64_t layer = 0; layer < config.layers; ++layer) add_layer(layer, parameters);
  if (device.is_cuda()) {
    // cuDNN wants all weights in one allocation, or copies them on every call.
    const at::NoGradGuard no_grad;
    at::_cudnn_rnn_flatten_weight(
        weights_, kTensorsPerLayer, config.embedding_size, kCudnnLstm, config.hidden_size,
        /*proj_size=*/0, config.layers, /*batch_first=*/false, config.bidirectional);
    // By default cuDNN rounds float32 products to TF32's 10 bits.
    at::globalContext().setFloat32Precision(at::Float32Backend::CUDA, at::Float32Op::RNN,
                                            at::Float32Precision::IEEE);
  }
}

void Lstm::add_layer(int64_t layer, Parameters& parameters) {
  const int64_t gates = kGates * config_.hidden_size;
  const int64_t input = layer == 0 ? config_.embedding_size : hidden_size();
  for (int64_t direction = 0; direction < directions(); ++direction) {
    const std::string suffix = "_l" + std::to_string(layer) + (direction == 1 ? "_reverse" : "");
    const auto add = [&](const std::string& name, at::IntArrayRef shape, Initialisation initialisation) {
      weights_.push_back(parameters.add("lstm." + name + suffix, shape, initialisation));
    };
    add("weight_ih", {gates, input}, Initialisation::normal);
    add("weight_hh", {gates, config_.hidden_size}, Initialisation::normal);
    add("bias_ih", {gates}, Initialisation::zeros);
    add("bias_hh", {gates}, Initialisation::zeros);
  }
}

PackedBatch Lstm::pack(std::span<const int32_t> ids, std::span<const int32_t> cumulative) const {
  return pack_batch(ids, cumulative, config_.vocabulary_size, /*first_position=*/0,
                    /*longest=*/std::numeric_limits<int32_t>::max(), device_);
}

void Lstm::add_adapters(const LoraOptions& /*options*/, Parameters& /*parameters*/) {
  throw CodedError("MODEL_UNSUPPORTED", "low-rank adapters are for transformers");
}

at::Tensor Lstm::forward(const PackedBatch& batch, const ForwardMode& mode) const {
  if (mode.layers >= 0 || mode.recompute || mode.dtype != at::kFloat) {
    throw CodedError("MODEL_UNSUPPORTED",
                     "an LSTM runs all its layers, in its own type, and keeps what they compute");
  }
  if (batch.tokens() == 0) return at::zeros({0, hidden_size()}, embeddings_.options());
  const TimeMajor packed = time_major(batch);
  const at::Tensor ids = batch.input_ids.index_select(0, placed(packed.order, device_));
  const at::Tensor state =
      at::zeros({config_.layers * directions(), packed.batch_sizes[0].item<int64_t>(), config_.hidden_size},
                embeddings_.options());
  // cuDNN keeps what backward needs only when it is told to train; without a probability that drops nothing.
  // Dropped is without a graph, too: the gradient cache embeds a chunk twice, and both must be the same.
  const bool trains = mode.dropout || at::GradMode::is_enabled();
  const at::Tensor hidden =
      std::get<0>(at::lstm(at::embedding(embeddings_, ids), packed.batch_sizes, {state, state}, weights_,
                           /*has_biases=*/true, config_.layers, mode.dropout ? config_.dropout : 0.0, trains,
                           config_.bidirectional));
  return hidden.index_select(0, placed(packed.inverse, device_));
}

}  // namespace xlembed
