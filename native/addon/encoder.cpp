#include "addon/encoder.h"

#include "addon/files.h"
#include "addon/task.h"

namespace xlembed::addon {
namespace {

TransformerConfig parse_transformer(const Fields& fields) {
  return {.vocabulary_size = fields.integer("vocabularySize"),
          .hidden_size = fields.integer("hiddenSize"),
          .layers = fields.integer("layers"),
          .heads = fields.integer("heads"),
          .intermediate_size = fields.integer("intermediateSize"),
          .max_positions = fields.integer("maxPositions"),
          .token_types = fields.integer("tokenTypes"),
          .layer_norm_epsilon = fields.number("layerNormEpsilon"),
          .first_position = fields.integer("firstPosition"),
          .activation = fields.text("activation"),
          .hidden_dropout = fields.number("hiddenDropout"),
          .attention_dropout = fields.number("attentionDropout"),
          .drops_attention_output = fields.boolean("dropsAttentionOutput")};
}

LstmConfig parse_lstm(const Fields& fields) {
  return {.vocabulary_size = fields.integer("vocabularySize"),
          .embedding_size = fields.integer("embeddingSize"),
          .hidden_size = fields.integer("hiddenSize"),
          .layers = fields.integer("layers"),
          .bidirectional = fields.boolean("bidirectional"),
          .dropout = fields.number("dropout")};
}

std::vector<std::string> texts(const Fields& fields, const char* name) {
  std::vector<std::string> values;
  for (const Napi::Value& value : fields.list(name)) values.push_back(value.As<Napi::String>().Utf8Value());
  return values;
}

HeadModule parse_head_module(const Fields& fields) {
  const std::string type = fields.text("type");
  if (type == "pool") return {.kind = HeadModule::Kind::pool, .modes = texts(fields, "modes")};
  if (type == "normalize") return {.kind = HeadModule::Kind::normalize};
  if (type != "dense") throw CodedError("MODEL_UNSUPPORTED", "head module " + type);
  return {.kind = HeadModule::Kind::dense,
          .activation = fields.text("activation"),
          .in_features = fields.integer("inFeatures"),
          .out_features = fields.integer("outFeatures"),
          .bias = fields.boolean("bias")};
}

EncoderOptions parse_options(const Fields& fields) {
  EncoderOptions options;
  const Fields backbone(fields.value("backbone"));
  const std::string type = backbone.text("type");
  if (type == "transformer") {
    options.backbone = parse_transformer(backbone);
  } else if (type == "lstm") {
    options.backbone = parse_lstm(backbone);
  } else {
    throw CodedError("MODEL_UNSUPPORTED", "backbone " + type);
  }
  for (const Napi::Value& module : fields.list("head"))
    options.head.push_back(parse_head_module(Fields(module)));
  const Fields weights(fields.value("weights"));
  if (weights.has("sources")) {
    options.sources = parse_sources(weights.list("sources"));
    if (options.sources.empty()) throw CodedError("TENSOR_MISSING", "no weights at all");
  } else {
    options.seed = static_cast<uint64_t>(weights.integer("seed"));
    options.initializer_range = weights.number("initializerRange");
  }
  options.device = parse_device(fields.text("device"));
  const std::string dtype = fields.text("dtype");
  options.int8_layers = dtype == "int8";
  options.dtype = options.int8_layers ? at::kFloat : parse_dtype(dtype);
  return options;
}

LoraOptions parse_lora(const Fields& fields) {
  LoraOptions options{.rank = fields.integer("rank"),
                      .alpha = fields.number("alpha"),
                      .dropout = fields.number("dropout"),
                      .targets = texts(fields, "targets")};
  for (const double layer : fields.numbers("layers")) options.layers.push_back(static_cast<int64_t>(layer));
  options.seed = static_cast<uint64_t>(fields.number_or("seed", 0));
  return options;
}

Napi::Value create_encoder(const Napi::CallbackInfo& info) {
  const EncoderOptions options = parse_options(Fields(info[0]));
  const std::string device = options.device.str();
  return run_task(
      info.Env(), device, [options] { return std::make_shared<Encoder>(options); },
      [device](Napi::Env, std::shared_ptr<Encoder>& encoder) {
        return EncoderHandle::create(encoder, device);
      });
}

}  // namespace

void EncoderHandle::register_in(Napi::Env env, Napi::Object exports) {
  define(env, {InstanceMethod<&EncoderHandle::encode>("encode"),
               InstanceMethod<&EncoderHandle::parameters>("parameters"),
               InstanceMethod<&EncoderHandle::write_parameters>("writeParameters"),
               InstanceMethod<&EncoderHandle::read_parameters>("readParameters"),
               InstanceMethod<&EncoderHandle::add_adapters>("addAdapters"),
               InstanceMethod<&EncoderHandle::adapter_parameters>("adapterParameters"),
               InstanceMethod<&EncoderHandle::write_adapters>("writeAdapters"),
               InstanceMethod<&EncoderHandle::merge_adapters>("mergeAdapters"),
               InstanceAccessor<&EncoderHandle::dimensions>("dimensions")});
  exports.Set("createEncoder", Napi::Function::New(env, create_encoder));
}

Napi::Value EncoderHandle::encode(const Napi::CallbackInfo& info) {
  const Fields batch(info[0]);
  const std::shared_ptr<Encoder> encoder = object();
  auto begin = [encoder, ids = int32_values(batch.value("inputIds"), "inputIds"),
                cumulative = int32_values(batch.value("cumulativeSeqLengths"), "cumulativeSeqLengths")] {
    return encoder->begin_encode(ids, cumulative);
  };
  const auto wait = [](Download& download) { return download.wait(); };
  const auto convert = [](Napi::Env env, std::vector<float>& embeddings) {
    return typed_array<Napi::Float32Array>(env, embeddings);
  };
  if (encoder->device().is_cuda()) return run_task(info.Env(), device(), std::move(begin), wait, convert);
  return run_task(
      info.Env(), device(),
      [begin = std::move(begin), wait] {
        Download download = begin();
        return wait(download);
      },
      convert);
}

Napi::Value EncoderHandle::dimensions(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(object()->dimensions()));
}

Napi::Value EncoderHandle::parameters(const Napi::CallbackInfo& info) {
  return describe_tensors(info.Env(), object()->parameters().named());
}

Napi::Value EncoderHandle::write_parameters(const Napi::CallbackInfo& info) {
  return run_task(
      info.Env(), device(),
      [encoder = object(), targets = parse_targets(info[0])] {
        encoder->parameters().write(targets);
        return Nothing{};
      },
      undefined);
}

Napi::Value EncoderHandle::read_parameters(const Napi::CallbackInfo& info) {
  return run_task(
      info.Env(), device(),
      [encoder = object(), sources = parse_sources(array_items(info[0], "sources"))] {
        encoder->parameters().load(sources);
        return Nothing{};
      },
      undefined);
}

Napi::Value EncoderHandle::add_adapters(const Napi::CallbackInfo& info) {
  const Fields fields(info[0]);
  std::vector<TensorSource> sources;
  if (fields.has("sources")) sources = parse_sources(fields.list("sources"));
  return run_task(
      info.Env(), device(),
      [encoder = object(), options = parse_lora(fields), sources] {
        encoder->add_adapters(options, sources);
        return Nothing{};
      },
      undefined);
}

Napi::Value EncoderHandle::adapter_parameters(const Napi::CallbackInfo& info) {
  const auto named = [encoder = object()] {
    return encoder->adapters() ? encoder->adapters()->named() : std::vector<NamedTensor>{};
  };
  return run_task(info.Env(), device(), named, [](Napi::Env env, std::vector<NamedTensor>& tensors) {
    return describe_tensors(env, tensors);
  });
}

Napi::Value EncoderHandle::write_adapters(const Napi::CallbackInfo& info) {
  return run_task(
      info.Env(), device(),
      [encoder = object(), targets = parse_targets(info[0])] {
        if (!encoder->adapters()) throw CodedError("TENSOR_MISSING", "this encoder has no adapters");
        encoder->adapters()->write(targets);
        return Nothing{};
      },
      undefined);
}

Napi::Value EncoderHandle::merge_adapters(const Napi::CallbackInfo& info) {
  return run_task(
      info.Env(), device(),
      [encoder = object()] {
        encoder->merge_adapters();
        return Nothing{};
      },
      undefined);
}

}  // namespace xlembed::addon
