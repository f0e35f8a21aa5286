#include "addon/trainer.h"

#include "addon/encoder.h"
#include "addon/files.h"

namespace xlembed::addon {
namespace {

TrainerOptions parse_options(const Fields& fields) {
  TrainerOptions options;
  options.loss.temperature = fields.number("temperature");
  options.loss.symmetric = fields.boolean("symmetric");
  options.optimizer.weight_decay = fields.number("weightDecay");
  options.optimizer.beta1 = fields.number("beta1");
  options.optimizer.beta2 = fields.number("beta2");
  options.optimizer.epsilon = fields.number("epsilon");
  options.max_gradient_norm = fields.number("maxGradientNorm");
  options.dropout = fields.boolean("dropout");
  options.normalize = fields.boolean("normalize");
  options.seed = static_cast<uint64_t>(fields.integer("seed"));
  return options;
}

TrainingBatch parse_batch(const Fields& fields) {
  return {.ids = int32_values(fields.value("inputIds"), "inputIds"),
          .cumulative = int32_values(fields.value("cumulativeSeqLengths"), "cumulativeSeqLengths"),
          .queries = fields.integer("queries"),
          .step = fields.integer("step"),
          .learning_rate = fields.number("learningRate")};
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
      [encoder = encoder->object(), options = parse_options(Fields(info[1]))] {
        return std::make_shared<Trainer>(encoder, options);
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
