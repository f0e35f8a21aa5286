#include "core/executor.h"

namespace xlembed {

Executor& Executor::for_device(const std::string& device) {
  static std::mutex mutex;
  static auto* executors = new std::map<std::string, Executor*>();
  const std::lock_guard lock(mutex);
  Executor*& executor = (*executors)[device];
  if (executor == nullptr) executor = new Executor();
  return *executor;
}

Executor::Executor() {
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
  for (;;) {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [this] { return !tasks_.empty(); });
    const std::function<void()> task = std::move(tasks_.front());
    tasks_.pop();
    lock.unlock();
    task();
  }
}

}  // namespace xlembed
