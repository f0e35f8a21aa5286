// Copies to shared memory that go on beside the kernel: here they are made at the last moment allowed, when
// the thread waits for them.
#pragma once

#include <vector>

#include "cuda_runtime.h"

namespace emulation {

struct Copy {
  void* to;
  const void* from;
  size_t bytes, zeros;  // the last `zeros` of the bytes are zeros
};

// Of one thread: groups that were committed, and the copies of the next one.
struct Pipeline {
  std::vector<std::vector<Copy>> groups;
  std::vector<Copy> open;
};

// By thread of the block; empty at a block's end if its kernel waited for all.
inline std::vector<Pipeline> pipelines(1024);

inline Pipeline& own_pipeline() {
  return pipelines[(threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x];
}

}  // namespace emulation

inline void __pipeline_memcpy_async(void* to, const void* from, size_t bytes, size_t zeros = 0) {
  emulation::own_pipeline().open.push_back({to, from, bytes, zeros});
}

inline void __pipeline_commit() {
  emulation::Pipeline& own = emulation::own_pipeline();
  own.groups.push_back(std::move(own.open));
  own.open.clear();
}

// Until all but the last `left` groups have arrived.
inline void __pipeline_wait_prior(size_t left) {
  auto& groups = emulation::own_pipeline().groups;
  while (groups.size() > left) {
    for (const emulation::Copy& copy : groups.front()) {
      std::memcpy(copy.to, copy.from, copy.bytes - copy.zeros);
      std::memset(static_cast<char*>(copy.to) + copy.bytes - copy.zeros, 0, copy.zeros);
    }
    groups.erase(groups.begin());
  }
}
