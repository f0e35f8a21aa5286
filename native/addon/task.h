// Promises over the device executors: work runs on a device's ordered thread, its result is converted on the
// JavaScript thread. Survives worker threads that end, and processes that exit, with work in flight.
#pragma once

#include <napi.h>

#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/executor.h"

namespace xlembed::addon {

// What one JavaScript environment (main thread or worker) has in flight.
class Environment {
 public:
  explicit Environment(Napi::Env env);

  static std::shared_ptr<Environment> of(Napi::Env env);

  struct Step {
    Executor& executor;
    std::function<void()> work;
  };

  // Runs the steps one after the other, then `settle` on the JavaScript thread; none of it once the
  // environment closes.
  static void run(const std::shared_ptr<Environment>& self, Napi::Env env, std::vector<Step> steps,
                  std::function<void(Napi::Env)> settle);

  // Drops queued work, waits for running work; called when the environment ends.
  void close();

 private:
  struct Task {
    std::vector<Step> steps;
    std::function<void(Napi::Env)> settle;
  };
  static void run_from(const std::shared_ptr<Environment>& self, std::shared_ptr<Task> task, size_t step);

  struct Completion {
    std::shared_ptr<Environment> environment;
    std::function<void(Napi::Env)> settle;
  };
  static void complete(Napi::Env env, Napi::Function, Completion* completion);

  std::mutex mutex_;
  std::condition_variable idle_;
  bool closing_ = false;
  int running_ = 0;
  int pending_ = 0;  // JavaScript thread only: keeps the event loop alive while above zero
  Napi::ThreadSafeFunction completions_;
};

// The text of any exception as "CODE: message"; libtorch's own lose their stack trace.
std::string error_text(const std::exception_ptr& error);

// What the steps of a task leave for each other: a value, or what was thrown in its place.
template <typename Value>
struct Outcome {
  std::optional<Value> value;
  std::exception_ptr error;

  template <typename Work>
  void set(Work&& work) {
    try {
      value.emplace(work());
    } catch (...) {
      error = std::current_exception();
    }
  }
};

template <typename Result, typename Convert>
std::function<void(Napi::Env)> settling(std::shared_ptr<Outcome<Result>> outcome,
                                        Napi::Promise::Deferred deferred, Convert convert) {
  return [outcome, deferred, convert = std::move(convert)](Napi::Env env) mutable {
    if (outcome->error) {
      deferred.Reject(Napi::Error::New(env, error_text(outcome->error)).Value());
      return;
    }
    try {
      deferred.Resolve(convert(env, *outcome->value));
    } catch (...) {
      deferred.Reject(Napi::Error::New(env, error_text(std::current_exception())).Value());
    }
  };
}

// A Promise for convert(env, work()). `work` runs on the device's thread and may throw; `convert` runs on the
// JavaScript thread.
template <typename Work, typename Convert>
Napi::Promise run_task(Napi::Env env, const std::string& device, Work work, Convert convert) {
  auto outcome = std::make_shared<Outcome<decltype(work())>>();
  const auto deferred = Napi::Promise::Deferred::New(env);
  Environment::run(
      Environment::of(env), env,
      {{Executor::for_device(device), [outcome, work = std::move(work)]() mutable { outcome->set(work); }}},
      settling(outcome, deferred, std::move(convert)));
  return deferred.Promise();
}

// A Promise for convert(env, finish(begin())): `finish` waits on a thread beside the device's own, which goes
// on with the next task.
template <typename Begin, typename Finish, typename Convert>
Napi::Promise run_task(Napi::Env env, const std::string& device, Begin begin, Finish finish,
                       Convert convert) {
  using Begun = decltype(begin());
  auto begun = std::make_shared<Outcome<Begun>>();
  auto outcome = std::make_shared<Outcome<decltype(finish(std::declval<Begun&>()))>>();
  const auto deferred = Napi::Promise::Deferred::New(env);
  Environment::run(
      Environment::of(env), env,
      {{Executor::for_device(device), [begun, begin = std::move(begin)]() mutable { begun->set(begin); }},
       {Executor::for_device(device + " results"),
        [begun, outcome, finish = std::move(finish)]() mutable {
          if (begun->error) {
            outcome->error = begun->error;
          } else {
            outcome->set([&] { return finish(*begun->value); });
          }
        }}},
      settling(outcome, deferred, std::move(convert)));
  return deferred.Promise();
}

// For work without a result.
struct Nothing {};
inline Napi::Value undefined(Napi::Env env, Nothing&) { return env.Undefined(); }

}  // namespace xlembed::addon
