// A linear layer as encoders run it: weights laid out beforehand, activations in the layer's own type. On a
// GPU it is libtorch's.
#include "addon/arguments.h"
#include "addon/benchmark_case.h"
#include "core/error.h"
#include "core/packed_linear.h"

namespace xlembed::addon {
namespace {

struct Layer {
  at::Tensor x, weight, bias;  // (rows, in), (out, in), (out), of one type
};

at::Tensor empty_output(const Layer& layer) {
  return at::empty({layer.x.size(0), layer.bias.size(0)}, layer.bias.options());
}

template <typename Element>
Work packed_work(const Layer& layer) {
  const auto linear = std::make_shared<PackedLinear<Element>>(layer.weight, layer.bias);
  const bool narrow = std::is_same_v<Element, kernels::bfloat16>;
  const at::Tensor x = layer.x.to(narrow ? at::kBFloat16 : at::kFloat), y = empty_output(layer);
  return [=](int64_t) -> std::vector<at::Tensor> {
    using Stored = std::conditional_t<std::is_same_v<Element, float>, float, at::BFloat16>;
    (*linear)({elements<Stored>(x), nullptr, x.size(0)}, kernels::Activation::none,
              y.mutable_data_ptr<float>());
    return {y};
  };
}

Work int8_work(const Layer& layer) {
  const auto linear = std::make_shared<PackedLinear<int8_t>>(layer.weight, layer.bias);
  const int64_t rows = layer.x.size(0), in = layer.x.size(1);
  const at::Tensor x = at::empty({rows, kernels::quantized_row_size(in)}, at::kChar), y = empty_output(layer);
  const auto quantized = std::make_shared<std::vector<kernels::QuantizedRow>>(rows);
  kernels::quantize_rows(layer.x.const_data_ptr<float>(), rows, in, x.mutable_data_ptr<int8_t>(),
                         quantized->data());
  return [=](int64_t) -> std::vector<at::Tensor> {
    (*linear)({x.const_data_ptr<int8_t>(), quantized->data(), rows}, kernels::Activation::none,
              y.mutable_data_ptr<float>());
    return {y};
  };
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
      {"xlembed", bytes(4), operations, "float32", [=] { return packed_work<float>(layer); }},
      {"libtorch", bytes(4), operations, "float32", [=] { return libtorch_work(layer); }},
      {"xlembed, int8", bytes(1), operations, "int8", [=] { return int8_work(layer); }}};
  if (kernels::kBfloat16Products) {
    all.push_back({"xlembed, bfloat16", bytes(2), operations, "bfloat16",
                   [=] { return packed_work<kernels::bfloat16>(layer); }});
  }
  return all;
}

}  // namespace xlembed::addon
