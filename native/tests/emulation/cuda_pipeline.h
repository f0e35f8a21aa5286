// Copies to shared memory that go on beside the kernel.
#pragma once

#include "cuda_runtime.h"
#include "late.h"
#include "races.h"

namespace emulation {

struct Copy {
  void* to;
  const void* from;
  size_t bytes, zeros;  // the last `zeros` of the bytes are zeros
};

}  // namespace emulation

inline void __pipeline_memcpy_async(void* to, const void* from, size_t bytes, size_t zeros = 0) {
  if ((reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from)) % bytes != 0)
    emulation::fail("a copy of misaligned memory");
  emulation::races::writes(to, bytes);
  std::memset(to, 0xFF, bytes);  // NaN for whoever still reads what was there
  emulation::Late<emulation::Copy>::own().begin({to, from, bytes, zeros});
}

inline void __pipeline_commit() { emulation::Late<emulation::Copy>::own().commit(); }

// Until all but the last `left` groups have arrived.
inline void __pipeline_wait_prior(size_t left) {
  emulation::Late<emulation::Copy>::own().wait(left, [](const emulation::Copy& copy) {
    std::memcpy(copy.to, copy.from, copy.bytes - copy.zeros);
    std::memset(static_cast<char*>(copy.to) + copy.bytes - copy.zeros, 0, copy.zeros);
    emulation::of_thread<emulation::BeforeProducts>().show = true;
  });
}
