#include "core/executor.h"

#include <cstdlib>

namespace xlembed {
namespace {

struct Registry {
  std::mutex mutex;
  std::map<std::string, Executor*> executors;
};
Registry& registry() {
  static auto* all = new Registry();
  return *all;
}

}  // namespace

Executor& Executor::for_device(const std::string& device) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  if (all.executors.empty()) {
    std::atexit([] {
      const std::lock_guard lock(registry().mutex);
      for (const auto& [name, executor] : registry().executors) executor->stop();
    });
  }
  Executor*& executor = all.executors[device];
  if (executor == nullptr) executor = new Executor(/*may_hang=*/device == kNetwork);
  return *executor;
}

Executor::Executor(bool may_hang) : may_hang_(may_hang) {
  std::thread([this] { run(); }).detach();
}

void Executor::submit(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push(std::move(task));
  }
  ready_.notify_one();
}

void Executor::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ready_.wait(lock, [this] { return !tasks_.empty() && !stopped_; });
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop();
    busy_ = true;
    lock.unlock();
    task();
    task = nullptr;  // with what it holds
    lock.lock();
    busy_ = false;
    idle_.notify_all();
  }
}

void Executor::stop() {
  std::unique_lock lock(mutex_);
  stopped_ = true;
  idle_.wait(lock, [this] { return !busy_ || may_hang_; });
}

}  // namespace xlembed
