#include "core/transformer_inference.h"

#include <optional>

#include "core/packed_linear.h"
#include "kernels/aligned_vector.h"
#include "kernels/amx.h"
#include "kernels/attention.h"
#include "kernels/layer_norm.h"
#include "kernels/parallel.h"

namespace xlembed {
namespace {

// Tokens that pass through all layers together: enough to use a weight often once it is in the cache, few
// enough for their activations to stay there.
constexpr int64_t kMostChunkTokens = 256, kFewestChunkTokens = 64;

std::optional<kernels::Activation> find_activation(const std::string& name) {
  if (name == "gelu") return kernels::Activation::gelu;
  if (name == "gelu_tanh") return kernels::Activation::gelu_tanh;
  if (name == "relu") return kernels::Activation::relu;
  return {};
}

// Whole sequences, from the longest on and in ever smaller chunks at the end, so that no thread begins a long
// one when the others are done.
struct Chunk {
  int64_t first_sequence, sequences, first_token, tokens;
};

std::vector<Chunk> cut_into_chunks(const PackedBatch& batch, int threads) {
  const int32_t* offset = batch.cumulative.const_data_ptr<int32_t>();
  std::vector<Chunk> chunks;
  int64_t end = batch.sequences();
  while (end > 0) {
    const int64_t share = (offset[end] - offset[0]) / (2 * threads);
    const int64_t most = std::clamp(share, kFewestChunkTokens, kMostChunkTokens);
    int64_t begin = end - 1;
    while (begin > 0 && offset[end] - offset[begin - 1] <= most) --begin;
    chunks.push_back({begin, end - begin, offset[begin], offset[end] - offset[begin]});
    end = begin;
  }
  return chunks;
}

template <typename Layers>
class Inference final : public TransformerInference {
  using Activation = typename Layers::Activation;
  using Wide = typename Layers::Wide;
  using Input = typename Layers::Input;
  static constexpr bool kConverts = !std::is_same_v<Input, float>;

 public:
  Inference(const Transformer& transformer, const Parameters& parameters, kernels::Activation activation)
      : transformer_(transformer), parameters_(parameters), activation_(activation) {}

  at::Tensor forward(const PackedBatch& batch) override {
    lay_out();
    const at::Tensor hidden = at::empty({batch.tokens(), config().hidden_size}, at::kFloat);
    const int threads = at::get_num_threads();
    const std::vector<Chunk> chunks = cut_into_chunks(batch, threads);
    const auto count = static_cast<int64_t>(chunks.size());
    workspaces_.resize(threads);
    // Fewer runs than threads: the threads share each kernel's work instead.
    if (count < threads) {
      for (const Chunk& chunk : chunks) run(chunk, batch, workspaces_[0], hidden);
    } else {
      kernels::for_each(count, threads,
                        [&](int64_t c, int thread) { run(chunks[c], batch, workspaces_[thread], hidden); });
    }
    return hidden;
  }

 private:
  struct Layer {
    PackedLinear<Input> query_key_value, attention_output, intermediate, output;
    kernels::LayerNormWeights attention_norm, output_norm;
  };

  // One thread's activations between two layers, for the longest run so far.
  struct Workspace {
    std::vector<Activation> query_key_value;               // (T, 3H)
    kernels::AlignedVector<Activation> narrow;             // (T, H): attention's output
    kernels::AlignedVector<Wide> wide;                     // (T, F)
    std::vector<float> added;                              // (T, H): what a block adds to the residual stream
    kernels::AlignedVector<Input> inputs;                  // (T, row_size(max(H, F)))
    std::vector<typename RowScaleOf<Input>::type> scales;  // (T)
  };

  const TransformerConfig& config() const { return transformer_.config(); }

  void lay_out() {
    const int64_t version = parameters_.version();
    if (version == version_) return;
    layers_.clear();
    norms_.clear();
    const auto pack = [](const Transformer::Linear& linear) {
      return PackedLinear<Input>(linear.weight, linear.bias);
    };
    for (const Transformer::Layer& layer : transformer_.layers()) {
      layers_.push_back({pack(layer.query_key_value), pack(layer.attention_output), pack(layer.intermediate),
                         pack(layer.output), norm_of(layer.attention_norm), norm_of(layer.output_norm)});
    }
    embedding_norm_ = norm_of(transformer_.embedding_norm());
    version_ = version;
  }

  kernels::LayerNormWeights norm_of(const Transformer::LayerNorm& norm) {
    const auto keep = [&](const at::Tensor& tensor) {
      norms_.push_back(tensor.detach().to(at::kFloat).contiguous());
      return norms_.back().const_data_ptr<float>();
    };
    const float* weight = keep(norm.weight);
    return {weight, keep(norm.bias), static_cast<float>(config().layer_norm_epsilon)};
  }

  void run(const Chunk& chunk, const PackedBatch& batch, Workspace& workspace,
           const at::Tensor& hidden) const {
    const int64_t tokens = chunk.tokens, size = config().hidden_size, wide = config().intermediate_size;
    if (tokens == 0) return;
    grow(workspace, tokens);
    float* x = hidden.mutable_data_ptr<float>() + chunk.first_token * size;
    embed(chunk, batch, x);
    std::vector<int32_t> cumulative(chunk.sequences + 1);
    const int32_t* offset = batch.cumulative.const_data_ptr<int32_t>() + chunk.first_sequence;
    for (int64_t s = 0; s <= chunk.sequences; ++s) cumulative[s] = offset[s] - offset[0];
    const kernels::AttentionShape heads{chunk.sequences, config().heads, size / config().heads};
    for (const Layer& layer : layers_) {
      layer.query_key_value(input(x, tokens, size, workspace), kernels::Activation::none,
                            workspace.query_key_value.data());
      kernels::attention(workspace.query_key_value.data(), cumulative.data(), heads, workspace.narrow.data());
      layer.attention_output(input(workspace.narrow.data(), tokens, size, workspace),
                             kernels::Activation::none, workspace.added.data());
      kernels::add_layer_norm(x, workspace.added.data(), layer.attention_norm, tokens, size);
      layer.intermediate(input(x, tokens, size, workspace), activation_, workspace.wide.data());
      layer.output(input(workspace.wide.data(), tokens, wide, workspace), kernels::Activation::none,
                   workspace.added.data());
      kernels::add_layer_norm(x, workspace.added.data(), layer.output_norm, tokens, size);
    }
  }

  static int64_t row_size(int64_t dimensions) {
    if constexpr (std::is_same_v<Input, int8_t>) return kernels::quantized_row_size(dimensions);
    if constexpr (std::is_same_v<Input, kernels::bfloat16>) return kernels::bfloat16_row_size(dimensions);
    return dimensions;
  }

  void grow(Workspace& workspace, int64_t tokens) const {
    const auto at_least = [](auto& values, int64_t size) {
      if (static_cast<int64_t>(values.size()) < size) values.resize(size);
    };
    const int64_t size = config().hidden_size, wide = config().intermediate_size;
    at_least(workspace.query_key_value, tokens * 3 * size);
    at_least(workspace.narrow, tokens * size);
    at_least(workspace.wide, tokens * wide);
    at_least(workspace.added, tokens * size);
    if constexpr (kConverts) {
      at_least(workspace.inputs, tokens * row_size(std::max(size, wide)));
      at_least(workspace.scales, tokens);
    }
  }

  void embed(const Chunk& chunk, const PackedBatch& batch, float* x) const {
    const int64_t* ids = batch.input_ids.const_data_ptr<int64_t>() + chunk.first_token;
    const int64_t* places = batch.position_ids.const_data_ptr<int64_t>() + chunk.first_token;
    const auto embed_as = [&]<typename T>(T) {
      kernels::embed_layer_norm(elements<T>(transformer_.word_embeddings()),
                                elements<T>(transformer_.position_embeddings()),
                                elements<T>(transformer_.token_type_embeddings()), ids, places,
                                embedding_norm_, chunk.tokens, config().hidden_size, x);
    };
    if (transformer_.word_embeddings().scalar_type() == at::kFloat) {
      embed_as(float());
    } else {
      embed_as(at::BFloat16());
    }
  }

  // (rows, columns) as a linear layer takes it.
  template <typename T>
  LinearRows<Input> input(const T* values, int64_t rows, int64_t columns, Workspace& workspace) const {
    Input* inputs = workspace.inputs.data();
    if constexpr (std::is_same_v<T, Input>) {
      if (row_size(columns) == columns) return {values, nullptr, rows};
    }
    if constexpr (std::is_same_v<Input, int8_t>) {
      kernels::quantize_rows(values, rows, columns, inputs, workspace.scales.data());
    } else if constexpr (std::is_same_v<Input, int16_t>) {
      kernels::fix_rows(values, rows, columns, inputs, workspace.scales.data());
    } else if constexpr (std::is_same_v<Input, kernels::bfloat16>) {
      kernels::round_rows(values, rows, columns, inputs);
    }
    return {inputs, workspace.scales.data(), rows};
  }

  const Transformer& transformer_;
  const Parameters& parameters_;
  kernels::Activation activation_;
  int64_t version_ = -1;
  std::vector<Layer> layers_;
  std::vector<at::Tensor> norms_;  // what the layers' LayerNormWeights point to
  kernels::LayerNormWeights embedding_norm_{};
  std::vector<Workspace> workspaces_;
};

// Rows must be whole 32-bit words.
bool fits(const TransformerConfig& config, InferenceArithmetic arithmetic) {
  if (arithmetic == InferenceArithmetic::float32) return true;
  const int64_t values = arithmetic == InferenceArithmetic::int8 ? 4 : 2,
                width = config.hidden_size / config.heads;
  return config.hidden_size % values == 0 && config.intermediate_size % values == 0 && width % 2 == 0;
}

template <typename Layers>
std::unique_ptr<TransformerInference> make(const Transformer& transformer, const Parameters& parameters) {
  return std::make_unique<Inference<Layers>>(transformer, parameters,
                                             *find_activation(transformer.config().activation));
}

// With attention in Narrow, but for float32.
template <typename Narrow>
std::unique_ptr<TransformerInference> make_narrow(const Transformer& transformer,
                                                  const Parameters& parameters,
                                                  InferenceArithmetic arithmetic) {
  if (arithmetic == InferenceArithmetic::int8) return make<Int8Layers<Narrow>>(transformer, parameters);
  if (kernels::amx_granted()) return make<Bfloat16Layers<Narrow>>(transformer, parameters);
  return make<Int16Layers<Narrow>>(transformer, parameters);
}

}  // namespace

std::unique_ptr<TransformerInference> make_transformer_inference(const Transformer& transformer,
                                                                 const Parameters& parameters,
                                                                 InferenceArithmetic arithmetic) {
  const TransformerConfig& config = transformer.config();
  if (!find_activation(config.activation) || !fits(config, arithmetic)) return nullptr;
  if (arithmetic == InferenceArithmetic::float32) return make<Float32Layers>(transformer, parameters);
  if (kernels::bfloat16_attention_is_faster(config.hidden_size / config.heads))
    return make_narrow<kernels::bfloat16>(transformer, parameters, arithmetic);
  return make_narrow<float>(transformer, parameters, arithmetic);
}

}  // namespace xlembed
