// A linear layer laid out for the kernels, in each arithmetic; and the rows of activations that go into it.
#pragma once

#include "core/launch.h"
#include "core/torch.h"
#include "kernels/arithmetic.h"
#include "kernels/linear.h"
#include "kernels/linear_int8.h"

namespace xlembed {

// What an activation is stored as between layers, and what it is brought to before a linear layer.
struct Float32Layers {
  using Activation = float;
  using Input = float;
};
struct Bfloat16Layers {
  using Activation = kernels::bfloat16;
  using Input = kernels::bfloat16;
};
struct Int8Layers {
  using Activation = std::conditional_t<kernels::kBfloat16Products, kernels::bfloat16, float>;
  using Input = int8_t;
};

// Rows of a linear layer's input; for integers with what makes floats of them.
template <typename Input>
struct LinearRows {
  const Input* values;
  const kernels::QuantizedRow* quantized;
  int64_t rows;
};

template <typename Input>
class PackedLinear {
 public:
  PackedLinear(const at::Tensor& weight, const at::Tensor& bias) : in_(weight.size(1)), out_(weight.size(0)) {
    bias_ = bias.to(at::kFloat).contiguous();
    const int64_t size = kernels::packed_weight_size(out_, in_);
    if constexpr (std::is_same_v<Input, int8_t>) {
      const at::Tensor dense = weight.to(at::kFloat).contiguous();
      packed_ = at::empty({size}, at::kByte);
      scales_ = at::empty({out_}, at::kFloat);
      piece_lengths_ = at::empty({kernels::int8_lengths_size(out_, in_)}, at::kFloat);
      kernels::pack_weight_int8(dense.const_data_ptr<float>(), out_, in_, packed_.mutable_data_ptr<uint8_t>(),
                                scales_.mutable_data_ptr<float>(), piece_lengths_.mutable_data_ptr<float>());
    } else {
      const at::Tensor dense = weight.to(kType).contiguous();
      packed_ = at::empty({size}, kType);
      kernels::pack_weight(elements<Element>(dense), out_, in_, mutable_elements<Element>(packed_));
    }
  }

  // y (rows, out)
  template <typename Out>
  void operator()(const LinearRows<Input>& x, kernels::Activation activation, Out* y) const {
    const kernels::LinearShape shape{x.rows, in_, out_};
    const float* bias = bias_.const_data_ptr<float>();
    if constexpr (std::is_same_v<Input, int8_t>) {
      const kernels::Int8Weight weight{packed_.const_data_ptr<uint8_t>(), scales_.const_data_ptr<float>(),
                                       piece_lengths_.const_data_ptr<float>()};
      kernels::linear_int8(x.values, x.quantized, weight, bias, shape, activation, y);
    } else {
      kernels::linear(x.values, elements<Element>(packed_), bias, shape, activation, y);
    }
  }

 private:
  using Element = std::conditional_t<std::is_same_v<Input, float>, float, at::BFloat16>;
  static constexpr at::ScalarType kType = std::is_same_v<Input, float> ? at::kFloat : at::kBFloat16;

  int64_t in_, out_;
  at::Tensor packed_, scales_, piece_lengths_, bias_;
};

}  // namespace xlembed
