// Promises over the device executors: work runs on a device's ordered thread, its result is converted on the
// JavaScript thread. Survives worker threads that end, and processes that exit, with work in flight.
#pragma once

#include <napi.h>

#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "core/error.h"
#include "core/executor.h"

namespace xlembed::addon {

// What one JavaScript environment (main thread or worker) has in flight.
class Environment {
 public:
  explicit Environment(Napi::Env env);

  static std::shared_ptr<Environment> of(Napi::Env env);

  // Runs `work` on the executor, then `settle` on the JavaScript thread; neither once the environment closes.
  static void run(const std::shared_ptr<Environment>& self, Napi::Env env, Executor& executor,
                  std::function<void()> work, std::function<void(Napi::Env)> settle);

  // Drops queued work, waits for running work; called when the environment ends.
  void close();

 private:
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

// A Promise for convert(env, work()). `work` runs on the device's thread and may throw; `convert` runs on the
// JavaScript thread.
template <typename Work, typename Convert>
Napi::Promise run_task(Napi::Env env, const std::string& device, Work work, Convert convert) {
  using Result = decltype(work());
  struct State {
    std::unique_ptr<Result> result;
    std::exception_ptr error;
  };
  auto state = std::make_shared<State>();
  const auto deferred = Napi::Promise::Deferred::New(env);
  Environment::run(
      Environment::of(env), env, Executor::for_device(device),
      [state, work = std::move(work)]() mutable {
        try {
          state->result = std::make_unique<Result>(work());
        } catch (...) {
          state->error = std::current_exception();
        }
      },
      [state, deferred, convert = std::move(convert)](Napi::Env env) mutable {
        if (state->error) {
          deferred.Reject(Napi::Error::New(env, error_text(state->error)).Value());
          return;
        }
        try {
          deferred.Resolve(convert(env, *state->result));
        } catch (...) {
          deferred.Reject(Napi::Error::New(env, error_text(std::current_exception())).Value());
        }
      });
  return deferred.Promise();
}

// For work without a result.
struct Nothing {};
inline Napi::Value undefined(Napi::Env env, Nothing&) { return env.Undefined(); }

}  // namespace xlembed::addon
