// A linear layer as encoders run it: weights laid out beforehand, activations in the layer's own type. On a
// GPU it is libtorch's.
#include "addon/arguments.h"
#include "addon/benchmark_case.h"
#include "core/error.h"
#include "core/packed_linear.h"
#include "kernels/amx.h"

namespace xlembed::addon {
namespace {

struct Layer {
  at::Tensor x, weight, bias;  // (rows, in), (out, in), (out), of one type
};

at::Tensor empty_output(const Layer& layer) {
  return at::empty({layer.x.size(0), layer.bias.size(0)}, layer.bias.options());
}

Work float32_work(const Layer& layer) {
  const auto linear = std::make_shared<PackedLinear<float>>(layer.weight, layer.bias);
  const at::Tensor x = layer.x, y = empty_output(layer);
  return [=](int64_t) -> std::vector<at::Tensor> {
    (*linear)({x.const_data_ptr<float>(), nullptr, x.size(0)}, kernels::Activation::none,
              y.mutable_data_ptr<float>());
    return {y};
  };
}

// convert(x, rows, narrow, scales) makes narrow rows, of `row_size` each.
template <typename Input, typename Convert>
Work narrow_work(const Layer& layer, at::ScalarType type, int64_t row_size, const Convert& convert) {
  const auto linear = std::make_shared<PackedLinear<Input>>(layer.weight, layer.bias);
  const int64_t rows = layer.x.size(0);
  const at::Tensor x = at::empty({rows, row_size}, type), y = empty_output(layer);
  const auto scales = std::make_shared<std::vector<typename RowScaleOf<Input>::type>>(rows);
  auto* const narrow = static_cast<Input*>(x.mutable_data_ptr());
  convert(layer.x.const_data_ptr<float>(), rows, narrow, scales->data());
  return [=](int64_t) -> std::vector<at::Tensor> {
    (*linear)({static_cast<const Input*>(x.const_data_ptr()), scales->data(), rows},
              kernels::Activation::none, y.mutable_data_ptr<float>());
    return {y};
  };
}

Work bfloat16_work(const Layer& layer) {
  const int64_t in = layer.x.size(1);
  const auto round = [in](const float* x, int64_t rows, kernels::bfloat16* out, float*) {
    kernels::round_rows(x, rows, in, out);
  };
  return narrow_work<kernels::bfloat16>(layer, at::kBFloat16, kernels::bfloat16_row_size(in), round);
}

Work int16_work(const Layer& layer) {
  const int64_t in = layer.x.size(1);
  const auto fix = [in](const float* x, int64_t rows, int16_t* out, float* steps) {
    kernels::fix_rows(x, rows, in, out, steps);
  };
  return narrow_work<int16_t>(layer, at::kShort, in, fix);
}

Work int8_work(const Layer& layer) {
  const int64_t in = layer.x.size(1);
  const auto quantize = [in](const float* x, int64_t rows, int8_t* out, kernels::QuantizedRow* scales) {
    kernels::quantize_rows(x, rows, in, out, scales);
  };
  return narrow_work<int8_t>(layer, at::kChar, kernels::quantized_row_size(in), quantize);
}

Work libtorch_work(const Layer& layer) {
  const at::Tensor columns = layer.weight.t(), y = empty_output(layer);
  return [=](int64_t) -> std::vector<at::Tensor> {
    at::Tensor target = y;
    at::addmm_out(target, layer.bias, layer.x, columns);
    return {target};
  };
}

}  // namespace

std::vector<Implementation> linear_case(const BenchmarkOptions& options) {
  const int64_t rows = options.size("rows"), in = options.size("in"), out = options.size("out");
  if (in % 4 != 0) throw CodedError("INVALID_ARGUMENT", "expected in to be a multiple of 4");
  const auto draw = [&](at::IntArrayRef shape, int64_t offset) {
    const at::Tensor values = random_values(shape, options.seed + offset, options.device);
    return options.device.is_cpu() ? values : values.to(options.dtype);
  };
  const Layer layer{draw({rows, in}, 0), draw({out, in}, 1), draw({out}, 2)};
  const double weights = 1.0 * in * out, operations = 2.0 * rows * weights;
  const auto bytes = [&](double input_size) { return input_size * (rows * in + weights) + 4.0 * rows * out; };
  if (!options.device.is_cpu()) {
    const auto size = static_cast<double>(layer.x.element_size());
    return {{"libtorch", size * (rows * in + weights + 1.0 * rows * out), operations,
             dtype_name(options.dtype), [=] { return libtorch_work(layer); }}};
  }
  std::vector<Implementation> all = {
      {"xlembed", bytes(4), operations, "float32", [=] { return float32_work(layer); }},
      {"libtorch", bytes(4), operations, "float32", [=] { return libtorch_work(layer); }},
      {"xlembed, int16", bytes(2), operations, "int16", [=] { return int16_work(layer); }},
      {"xlembed, int8", bytes(1), operations, "int8", [=] { return int8_work(layer); }}};
  // Where encoders take it in place of int16.
  if (kernels::amx_granted())
    all.push_back(
        {"xlembed, bfloat16", bytes(2), operations, "bfloat16", [=] { return bfloat16_work(layer); }});
  return all;
}

}  // namespace xlembed::addon
