// Work that a thread begins and that goes on beside it, in groups: here it is done at the last moment
// allowed, when the thread waits for it. ThreadSanitizer is told of it at the first moment, too.
#pragma once

#include <vector>

#include "threads.h"

namespace emulation {

template <typename Work>
class Late {
 public:
  // What the running thread of the block has begun. All of it is done at a block's end if the kernel waited.
  static Late& own() {
    static thread_local Late* by_thread[largest_block];  // for the life of the process
    Late*& own = by_thread[(threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x];
    if (own == nullptr) own = new Late;
    return *own;
  }

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
  static constexpr int largest_block = 1024;
  std::vector<std::vector<Work>> groups_;
  std::vector<Work> open_;  // the next group
};

}  // namespace emulation
