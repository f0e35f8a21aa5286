#include "core/encoder.h"

#include <optional>
#include <regex>

#include "core/error.h"
#include "core/pool.h"

#ifdef XLEMBED_WITH_CUDA
#include <ATen/cuda/CUDAContext.h>
#endif

namespace xlembed {
namespace {

// Of a build with CUDA, libtorch says that it has none where no device can be used.
#ifdef XLEMBED_WITH_CUDA
constexpr const char* kNoCuda = "no CUDA device can be used";
#else
constexpr const char* kNoCuda = "this build has no CUDA";
#endif

}  // namespace

at::Device parse_device(const std::string& text) {
  const auto unavailable = [&](const std::string& why) {
    return CodedError("DEVICE_UNAVAILABLE", text + ": " + why);
  };
  if (text == "cpu") return at::kCPU;
  static const std::regex form("cuda(?::([0-9]{1,3}))?");
  std::smatch parts;
  if (!std::regex_match(text, parts, form)) throw unavailable("expected cpu, cuda or cuda:N");
  if (!at::hasCUDA()) throw unavailable(kNoCuda);
  const int devices = at::detail::getCUDAHooks().deviceCount();
  const int index = parts[1].matched ? std::stoi(parts[1]) : 0;
  if (index >= devices) throw unavailable(std::to_string(devices) + " CUDA device(s) present");
#ifdef XLEMBED_WITH_CUDA
  const auto& properties = *at::cuda::getDeviceProperties(static_cast<at::DeviceIndex>(index));
  if (properties.major < 8) {
    throw unavailable("a " + std::string(properties.name) + " has compute capability " +
                      std::to_string(properties.major) + "." + std::to_string(properties.minor) +
                      ", the kernels are for 8.0 and newer");
  }
#endif
  return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
}

namespace {

std::unique_ptr<Backbone> make_backbone(const EncoderOptions& options, Parameters& parameters) {
  if (const auto* lstm = std::get_if<LstmConfig>(&options.backbone)) {
    return std::make_unique<Lstm>(*lstm, parameters, options.device);
  }
  return std::make_unique<Transformer>(std::get<TransformerConfig>(options.backbone), parameters,
                                       options.device);
}

std::optional<InferenceArithmetic> inference_arithmetic(const EncoderOptions& options) {
  if (options.int8_layers) return InferenceArithmetic::int8;
  if (options.dtype == at::kFloat) return InferenceArithmetic::float32;
  if (options.dtype == at::kBFloat16) return InferenceArithmetic::bfloat16;
  return {};
}

std::unique_ptr<TransformerInference> make_inference(const EncoderOptions& options, const Backbone& backbone,
                                                     const Parameters& parameters) {
  const auto* transformer = dynamic_cast<const Transformer*>(&backbone);
  const auto arithmetic = inference_arithmetic(options);
  std::unique_ptr<TransformerInference> inference;
  if (transformer != nullptr && options.device.is_cpu() && arithmetic) {
    inference = make_transformer_inference(*transformer, parameters, *arithmetic);
  }
  if (options.int8_layers && !inference) {
    throw CodedError("MODEL_UNSUPPORTED",
                     "dtype int8 is for transformers on the CPU, with hidden and intermediate sizes that are "
                     "multiples of 4");
  }
  return inference;
}

}  // namespace

Encoder::Encoder(const EncoderOptions& options)
    : device_(options.device),
      dtype_(options.dtype),
      parameters_(options.device, options.dtype),
      backbone_(make_backbone(options, parameters_)),
      head_(std::make_unique<Head>(options.head, backbone_->hidden_size(), parameters_)) {
  if (options.sources.empty()) {
    parameters_.initialise(options.seed, options.initializer_range);
  } else {
    parameters_.load(options.sources);
  }
  inference_ = make_inference(options, *backbone_, parameters_);
}

void Encoder::add_adapters(const LoraOptions& options, const std::vector<TensorSource>& sources) {
  if (adapters_) throw CodedError("INVALID_ARGUMENT", "this encoder has adapters already: merge them first");
  Parameters parameters(device_, dtype_);
  backbone_->add_adapters(options, parameters);
  try {
    if (!sources.empty()) parameters.load(sources);
  } catch (...) {
    backbone_->drop_adapters();
    throw;
  }
  adapters_ = std::move(parameters);
}

void Encoder::merge_adapters() {
  backbone_->merge_adapters();
  adapters_.reset();
}

at::Tensor Encoder::embed(const PackedBatch& batch, const ForwardMode& mode) const {
  const at::Tensor hidden = backbone_->forward(batch, mode);
  const at::Tensor rows = mode.layers < 0 ? head_->forward(hidden, batch)
                                          : pool(hidden, batch.cumulative, PoolMode::mean).to(at::kFloat);
  return rows.index_select(0, batch.row_of);
}

Download Encoder::begin_encode(std::span<const int32_t> ids, std::span<const int32_t> cumulative) {
  const c10::InferenceMode inference;
  const PackedBatch batch = upload(device_, [&] { return pack(ids, cumulative); });
  const bool ours = inference_ && !adapters_;
  const at::Tensor hidden = ours ? inference_->forward(batch) : backbone_->forward(batch, {});
  return Download(head_->forward(hidden, batch).index_select(0, batch.row_of));
}

}  // namespace xlembed
