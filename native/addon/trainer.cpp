#include "addon/trainer.h"

#include "addon/encoder.h"
#include "addon/files.h"
#include "addon/process_group.h"

namespace xlembed::addon {
namespace {

NegativeLanguages parse_negative_languages(const std::string& text) {
  if (text == "any") return NegativeLanguages::any;
  if (text == "same") return NegativeLanguages::same;
  if (text == "other") return NegativeLanguages::other;
  throw CodedError("INVALID_ARGUMENT", "expected negativeLanguages any, same or other, received " + text);
}

LossOptions parse_loss(const Fields& fields) {
  LossOptions loss;
  loss.kind = fields.text_or("loss", loss.kind);
  loss.normalize = fields.boolean("normalize");
  loss.temperature = fields.number("temperature");
  loss.learn_temperature = fields.has("temperatureRate");
  loss.symmetric = fields.boolean("symmetric");
  loss.products = parse_dtype(fields.text_or("lossPrecision", "float32"));
  loss.negative_languages = parse_negative_languages(fields.text_or("negativeLanguages", "any"));
  loss.margin = fields.number_or("margin", loss.margin);
  loss.teacher_temperature = fields.number_or("teacherTemperature", loss.teacher_temperature);
  for (const double size : fields.numbers("matryoshkaSizes")) {
    loss.matryoshka_sizes.push_back(static_cast<int64_t>(size));
  }
  loss.matryoshka_weights = fields.numbers("matryoshkaWeights");
  return loss;
}

TrainerOptions parse_options(const Fields& fields) {
  TrainerOptions options;
  options.loss = parse_loss(fields);
  options.optimizer.weight_decay = fields.number("weightDecay");
  options.optimizer.beta1 = fields.number("beta1");
  options.optimizer.beta2 = fields.number("beta2");
  options.optimizer.epsilon = fields.number("epsilon");
  options.max_gradient_norm = fields.number("maxGradientNorm");
  options.dropout = fields.boolean("dropout");
  options.seed = static_cast<uint64_t>(fields.integer("seed"));
  options.chunk_tokens = static_cast<int64_t>(fields.number_or("chunkTokens", 0));
  options.graph_tokens = static_cast<int64_t>(fields.number_or("graphTokens", 0));
  options.embedding_layer = static_cast<int64_t>(fields.number_or("embeddingLayer", -1));
  options.recompute = fields.has("recomputeActivations") && fields.boolean("recomputeActivations");
  options.dtype = parse_dtype(fields.text_or("precision", "float32"));
  options.temperature_rate = fields.number_or("temperatureRate", 1);
  if (fields.has("learningRateFactors")) {
    for (const Napi::Value& item : fields.list("learningRateFactors")) {
      const Fields factor(item);
      options.rates.emplace_back(factor.text("prefix"), factor.number("factor"));
    }
  }
  return options;
}

at::Tensor int32_tensor(const Fields& fields, const char* name) {
  if (!fields.has(name)) return {};
  return at::tensor(int32_values(fields.value(name), name), at::kInt);
}

at::Tensor float32_tensor(const Fields& fields, const char* name) {
  if (!fields.has(name)) return {};
  return at::tensor(float32_values(fields.value(name), name), at::kFloat);
}

TrainingBatch parse_batch(const Fields& fields) {
  TrainingBatch batch{
      .ids = int32_values(fields.value("inputIds"), "inputIds"),
      .cumulative = int32_values(fields.value("cumulativeSeqLengths"), "cumulativeSeqLengths"),
      .queries = fields.integer("queries"),
      .step = fields.integer("step"),
      .learning_rate = fields.number("learningRate")};
  batch.labels = {.row_weights = float32_tensor(fields, "rowWeights"),
                  .passage_groups = int32_tensor(fields, "passageGroups"),
                  .query_languages = int32_tensor(fields, "queryLanguages"),
                  .passage_languages = int32_tensor(fields, "passageLanguages"),
                  .teacher_scores = float32_tensor(fields, "teacherScores")};
  at::Tensor& scores = batch.labels.teacher_scores;
  if (scores.defined() && batch.queries > 0 && scores.size(0) % batch.queries == 0) {
    scores = scores.view({batch.queries, -1});
  }
  batch.weight = fields.number_or("weight", 1);
  batch.update = !fields.has("update") || fields.boolean("update");
  batch.all_queries = static_cast<int64_t>(fields.number_or("allQueries", 0));
  batch.all_passages = static_cast<int64_t>(fields.number_or("allPassages", 0));
  batch.counts = fields.numbers("counts");
  return batch;
}

std::map<std::string, double> parse_counters(const Napi::Value& value) {
  const Fields fields(value);
  std::map<std::string, double> counters;
  for (const Napi::Value& name : array_items(value.As<Napi::Object>().GetPropertyNames(), "counters")) {
    const std::string text = name.As<Napi::String>();
    counters[text] = fields.number(text.c_str());
  }
  return counters;
}

Napi::Value step_result(Napi::Env env, const StepResult& result) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("loss", result.loss);
  object.Set("accuracy", result.accuracy);
  object.Set("gradientNorm", result.gradient_norm);
  object.Set("skipped", result.skipped);
  object.Set("chunks", static_cast<double>(result.chunks));
  object.Set("chunkTokens", static_cast<double>(result.chunk_tokens));
  object.Set("temperature", result.temperature);
  object.Set("lossScale", result.loss_scale);
  Napi::Array counts = Napi::Array::New(env, result.counts.size());
  for (uint32_t i = 0; i < result.counts.size(); ++i) counts.Set(i, result.counts[i]);
  object.Set("counts", counts);
  object.Set("modelSeconds", result.model_seconds);
  object.Set("lossSeconds", result.loss_seconds);
  object.Set("optimizerSeconds", result.optimizer_seconds);
  return object;
}

Napi::Value create_trainer(const Napi::CallbackInfo& info) {
  const EncoderHandle* encoder = EncoderHandle::from(info[0]);
  const std::string device = encoder->device();
  return run_task(
      info.Env(), device,
      [encoder = encoder->object(), options = parse_options(Fields(info[1])),
       group = info[2].IsUndefined() ? nullptr : ProcessGroupHandle::from(info[2])->object()] {
        return std::make_shared<Trainer>(encoder, options, group);
      },
      [device](Napi::Env, std::shared_ptr<Trainer>& trainer) {
        return TrainerHandle::create(trainer, device);
      });
}

}  // namespace

void TrainerHandle::register_in(Napi::Env env, Napi::Object exports) {
  define(env,
         {InstanceMethod<&TrainerHandle::step>("step"), InstanceMethod<&TrainerHandle::evaluate>("evaluate"),
          InstanceMethod<&TrainerHandle::state>("state"),
          InstanceMethod<&TrainerHandle::fingerprint>("fingerprint"),
          InstanceMethod<&TrainerHandle::write_state>("writeState"),
          InstanceMethod<&TrainerHandle::read_state>("readState")});
  exports.Set("createTrainer", Napi::Function::New(env, create_trainer));
}

Napi::Value TrainerHandle::step(const Napi::CallbackInfo& info) {
  return run_task(
      info.Env(), device(),
      [trainer = object(), batch = parse_batch(Fields(info[0]))] { return trainer->step(batch); },
      step_result);
}

Napi::Value TrainerHandle::evaluate(const Napi::CallbackInfo& info) {
  return run_task(
      info.Env(), device(),
      [trainer = object(), batch = parse_batch(Fields(info[0]))] { return trainer->evaluate(batch); },
      step_result);
}

Napi::Value TrainerHandle::state(const Napi::CallbackInfo& info) {
  return run_task(
      info.Env(), device(), [trainer = object()] { return trainer->state(); },
      [](Napi::Env env, TrainerState& state) {
        Napi::Object counters = Napi::Object::New(env);
        for (const auto& [name, value] : state.counters) counters.Set(name, value);
        Napi::Object object = Napi::Object::New(env);
        object.Set("tensors", describe_tensors(env, state.tensors));
        object.Set("counters", counters);
        return object;
      });
}

Napi::Value TrainerHandle::fingerprint(const Napi::CallbackInfo& info) {
  return run_task(
      info.Env(), device(), [trainer = object()] { return trainer->fingerprint(); },
      [](Napi::Env env, uint64_t& hash) { return Napi::String::New(env, std::to_string(hash)); });
}

Napi::Value TrainerHandle::write_state(const Napi::CallbackInfo& info) {
  return run_task(
      info.Env(), device(),
      [trainer = object(), targets = parse_targets(info[0])] {
        write_tensors(trainer->state().tensors, targets);
        return Nothing{};
      },
      undefined);
}

Napi::Value TrainerHandle::read_state(const Napi::CallbackInfo& info) {
  return run_task(
      info.Env(), device(),
      [trainer = object(), sources = parse_sources(array_items(info[0], "sources")),
       counters = parse_counters(info[1])] {
        trainer->restore(sources, counters);
        return Nothing{};
      },
      undefined);
}

}  // namespace xlembed::addon
