// A linear layer laid out for the kernels, in each arithmetic; and the rows of activations that go into it.
#pragma once

#include "core/launch.h"
#include "core/torch.h"
#include "kernels/bfloat16.h"
#include "kernels/linear.h"
#include "kernels/linear_bfloat16.h"
#include "kernels/linear_int16.h"
#include "kernels/linear_int8.h"

namespace xlembed {

// What activations are stored as where attention takes them, and between the two layers of a feed-forward
// block; and what they are brought to before a linear layer. Narrow is bfloat16 or float, whichever attention
// is faster in.
struct Float32Layers {
  using Activation = float;
  using Wide = float;
  using Input = float;
};
template <typename Narrow>
struct Bfloat16Layers {
  using Activation = Narrow;
  using Wide = kernels::bfloat16;
  using Input = kernels::bfloat16;
};
template <typename Narrow>
struct Int16Layers {
  using Activation = Narrow;
  using Wide = Narrow;
  using Input = int16_t;
};
template <typename Narrow>
struct Int8Layers {
  using Activation = Narrow;
  using Wide = Narrow;
  using Input = int8_t;
};

// What goes with a row of integers.
template <typename Input>
struct RowScaleOf {
  using type = float;  // int16: the step
};
template <>
struct RowScaleOf<int8_t> {
  using type = kernels::QuantizedRow;
};

// Rows of a linear layer's input; for integers with what makes floats of them.
template <typename Input>
struct LinearRows {
  const Input* values;
  const typename RowScaleOf<Input>::type* scales;
  int64_t rows;
};

template <typename Input>
class PackedLinear {
 public:
  PackedLinear(const at::Tensor& weight, const at::Tensor& bias) : in_(weight.size(1)), out_(weight.size(0)) {
    bias_ = bias.to(at::kFloat).contiguous();
    const at::Tensor dense = weight.to(at::kFloat).contiguous();
    const float* values = dense.const_data_ptr<float>();
    packed_ = at::empty({packed_size()}, kType);
    if constexpr (std::is_same_v<Input, float>) {
      kernels::pack_weight(values, out_, in_, packed_.mutable_data_ptr<float>());
    } else if constexpr (std::is_same_v<Input, kernels::bfloat16>) {
      kernels::pack_weight_bfloat16(values, out_, in_, mutable_elements<at::BFloat16>(packed_));
    } else if constexpr (std::is_same_v<Input, int16_t>) {
      scales_ = at::empty({out_}, at::kFloat);
      kernels::pack_weight_int16(values, out_, in_, packed_.mutable_data_ptr<int16_t>(),
                                 scales_.mutable_data_ptr<float>());
    } else {
      scales_ = at::empty({out_}, at::kFloat);
      piece_lengths_ = at::empty({kernels::int8_lengths_size(out_, in_)}, at::kFloat);
      kernels::pack_weight_int8(values, out_, in_, packed_.mutable_data_ptr<uint8_t>(),
                                scales_.mutable_data_ptr<float>(), piece_lengths_.mutable_data_ptr<float>());
    }
  }

  // y (rows, out)
  template <typename Out>
  void operator()(const LinearRows<Input>& x, kernels::Activation activation, Out* y) const {
    const kernels::LinearShape shape{x.rows, in_, out_};
    const float* bias = bias_.const_data_ptr<float>();
    if constexpr (std::is_same_v<Input, float>) {
      kernels::linear(x.values, packed_.const_data_ptr<float>(), bias, shape, activation, y);
    } else if constexpr (std::is_same_v<Input, kernels::bfloat16>) {
      kernels::linear_bfloat16(x.values, elements<at::BFloat16>(packed_), bias, shape, activation, y);
    } else if constexpr (std::is_same_v<Input, int16_t>) {
      const kernels::Int16Weight weight{packed_.const_data_ptr<int16_t>(), scales_.const_data_ptr<float>()};
      kernels::linear_int16(x.values, x.scales, weight, bias, shape, activation, y);
    } else {
      const kernels::Int8Weight weight{packed_.const_data_ptr<uint8_t>(), scales_.const_data_ptr<float>(),
                                       piece_lengths_.const_data_ptr<float>()};
      kernels::linear_int8(x.values, x.scales, weight, bias, shape, activation, y);
    }
  }

 private:
  static constexpr at::ScalarType kType = std::is_same_v<Input, float>               ? at::kFloat
                                          : std::is_same_v<Input, kernels::bfloat16> ? at::kBFloat16
                                          : std::is_same_v<Input, int16_t>           ? at::kShort
                                                                                     : at::kByte;
  int64_t packed_size() const {
    if constexpr (std::is_same_v<Input, kernels::bfloat16>) return kernels::bfloat16_weight_size(out_, in_);
    if constexpr (std::is_same_v<Input, int8_t>) return kernels::int8_weight_size(out_, in_);
    return kernels::packed_weight_size(out_, in_);
  }

  int64_t in_, out_;
  at::Tensor packed_, scales_, piece_lengths_, bias_;
};

}  // namespace xlembed
