// The transformer's forward pass on the CPU without gradients: kernels of our own over weights laid out once.
// Runs of whole sequences pass through all layers on one thread each, so that activations stay in its cache;
// a vector does not depend on the sequences beside it, to the last bit.
#pragma once

#include <memory>

#include "core/transformer.h"

namespace xlembed {

// float32: weights and activations. bfloat16: weights rounded to it; linear layers in bfloat16 where the
// processor has a matrix unit (linear_bfloat16.h), else in integers of 16 bits (linear_int16.h). int8: linear
// layers in integers of 8, weights with one scale for each output, activations with one for each token. In
// both, attention is in bfloat16 where that is faster than float32 (bfloat16_attention_is_faster). The
// residual stream is float32 always.
enum class InferenceArithmetic { float32, bfloat16, int8 };

class TransformerInference {
 public:
  virtual ~TransformerInference() = default;

  // (T, H) float32 last hidden states. The weights are laid out at the first call, and anew when they have
  // changed since.
  virtual at::Tensor forward(const PackedBatch& batch) = 0;
};

// Null where libtorch's operations have to do: sizes that do not fill 32-bit words, an unknown activation.
// Parameters are float32, for bfloat16 arithmetic bfloat16. The transformer must outlive the result.
std::unique_ptr<TransformerInference> make_transformer_inference(const Transformer& transformer,
                                                                 const Parameters& parameters,
                                                                 InferenceArithmetic arithmetic);

}  // namespace xlembed
