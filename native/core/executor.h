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
  // The process's executor for a device ("cpu", "cuda:0"), started at first use and never destroyed: its
  // thread must outlive every static of libtorch that a running task may touch.
  static Executor& for_device(const std::string& device);

  // Runs `task` after all tasks submitted before. A task must not throw.
  void submit(std::function<void()> task);

 private:
  Executor();
  void run();

  std::mutex mutex_;
  std::condition_variable ready_;
  std::queue<std::function<void()>> tasks_;
};

}  // namespace xlembed
