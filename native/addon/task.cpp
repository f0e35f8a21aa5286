#include "addon/task.h"

#include <c10/util/Exception.h>

#include "core/memory.h"

namespace xlembed::addon {
namespace {

struct InstanceData {
  std::shared_ptr<Environment> environment;
};

}  // namespace

Environment::Environment(Napi::Env env)
    : completions_(Napi::ThreadSafeFunction::New(
          env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}), "xlembed completions", 0, 1)) {
  completions_.Unref(env);
}

std::shared_ptr<Environment> Environment::of(Napi::Env env) {
  auto* data = env.GetInstanceData<InstanceData>();
  if (data == nullptr) {
    data = new InstanceData{std::make_shared<Environment>(env)};
    env.SetInstanceData(data);
    // Hooks run in reverse order of registration: this one before the thread-safe function's own.
    env.AddCleanupHook([environment = data->environment] { environment->close(); });
  }
  return data->environment;
}

void Environment::run(const std::shared_ptr<Environment>& self, Napi::Env env, std::vector<Step> steps,
                      std::function<void(Napi::Env)> settle) {
  if (self->pending_++ == 0) self->completions_.Ref(env);
  run_from(self, std::make_shared<Task>(Task{std::move(steps), std::move(settle)}), 0);
}

void Environment::run_from(const std::shared_ptr<Environment>& self, std::shared_ptr<Task> task,
                           size_t step) {
  task->steps[step].executor.submit([self, task, step]() mutable {
    const bool is_waited_for = !task->steps[step].executor.may_hang();
    {
      const std::lock_guard lock(self->mutex_);
      if (self->closing_) return;
      self->running_ += is_waited_for;
    }
    task->steps[step].work();
    task->steps[step].work = nullptr;  // what it held is freed here, not on the event loop
    const std::lock_guard lock(self->mutex_);
    if (!self->closing_) {
      if (step + 1 < task->steps.size()) {
        run_from(self, std::move(task), step + 1);
      } else {
        self->completions_.NonBlockingCall(new Completion{self, std::move(task->settle)}, complete);
      }
    }
    self->running_ -= is_waited_for;
    self->idle_.notify_all();
  });
}

void Environment::complete(Napi::Env env, Napi::Function, Completion* completion) {
  const std::unique_ptr<Completion> owned(completion);
  if (static_cast<napi_env>(env) == nullptr) return;
  if (--owned->environment->pending_ == 0) owned->environment->completions_.Unref(env);
  owned->settle(env);
}

void Environment::close() {
  std::unique_lock lock(mutex_);
  closing_ = true;
  idle_.wait(lock, [this] { return running_ == 0; });
}

std::string error_text(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const CodedError& coded) {
    return coded.what();
  } catch (const std::bad_alloc&) {
    return "OUT_OF_MEMORY: the system has no more memory";
  } catch (const std::exception& other) {
    const auto* torch = dynamic_cast<const c10::Error*>(&other);
    return (is_out_of_memory(other) ? "OUT_OF_MEMORY: " : "NATIVE_FAILED: ") +
           std::string(torch ? torch->what_without_backtrace() : other.what());
  } catch (...) {
    return "NATIVE_FAILED: an exception of unknown type";
  }
}

}  // namespace xlembed::addon
