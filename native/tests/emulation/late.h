// Work that a thread begins and that goes on beside it, in groups: here it is done at the last moment
// allowed, when the thread waits for it. ThreadSanitizer is told of it at the first moment, too.
#pragma once

#include <vector>

#include "threads.h"

namespace emulation {

// One for each thread of the block: that of the thread that runs.
template <typename T>
T& of_thread() {
  static thread_local T* by_thread[largest_block];  // for the life of the process
  T*& own = by_thread[(threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x];
  if (own == nullptr) own = new T;
  return *own;
}

// What a thread must do before its next product, which goes past the order of its own accesses.
struct BeforeProducts {
  bool fence = true;  // wgmma.fence, after it may have used the sums' registers
  bool show = false;  // fence.proxy.async, after copies of its own have arrived in shared memory
};

template <typename Work>
class Late {
 public:
  // What the running thread of the block has begun. All of it is done at a block's end if the kernel waited.
  static Late& own() { return of_thread<Late>(); }

  void begin(const Work& work) { open_.push_back(work); }
  void commit() {
    groups_.push_back(std::move(open_));
    open_.clear();
  }
  // Does all but the last `left` groups.
  template <typename Do>
  void wait(size_t left, const Do& perform) {
    while (groups_.size() > left) {
      for (const Work& work : groups_.front()) perform(work);
      groups_.erase(groups_.begin());
    }
  }

 private:
  std::vector<std::vector<Work>> groups_;
  std::vector<Work> open_;  // the next group
};

}  // namespace emulation
