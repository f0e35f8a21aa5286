#include "addon/trainer.h"

#include "addon/encoder.h"

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
  define(env, {InstanceMethod<&TrainerHandle::step>("step"),
               InstanceMethod<&TrainerHandle::evaluate>("evaluate")});
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

}  // namespace xlembed::addon
