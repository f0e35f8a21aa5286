// One ordered thread per device: work on a device never overlaps and never runs on the event loop.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <queue>
#include <string>
#include <thread>

namespace xlembed {

class Executor {
 public:
  // The process's executor for a device ("cpu", "cuda:0"), started at first use and never destroyed. When the
  // process ends, what runs is waited for and nothing else begins: the statics of libtorch that a task may
  // touch are destroyed after that.
  static Executor& for_device(const std::string& device);

  // A "device" for questions to other processes, which may never answer: its tasks are not waited for at the
  // end.
  static constexpr const char* kNetwork = "network";
  bool may_hang() const { return may_hang_; }

  // Runs `task` after all tasks submitted before. A task must not throw.
  void submit(std::function<void()> task);

 private:
  explicit Executor(bool may_hang);
  void run();
  void stop();

  std::mutex mutex_;
  std::condition_variable ready_, idle_;
  const bool may_hang_;
  bool busy_ = false, stopped_ = false;
  std::queue<std::function<void()>> tasks_;
};

}  // namespace xlembed
