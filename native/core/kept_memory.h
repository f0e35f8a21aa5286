// Memory of large CPU tensors, kept for the next ones. The system clears every page that it hands out, and
// takes each back that malloc lets go of: a training step on the CPU, which makes the same activations again
// and again, spends a fifth of its time on that (bench train).
#pragma once

#include <cstdint>

namespace xlembed {

// While one lives, CPU tensors of 1 MiB and more that this thread makes take the memory that others have
// left, and leave theirs behind. Other threads' tensors, smaller ones and those of a GPU are libtorch's as
// before. What is in use and what is kept are together never more than what was in use at once, sizes rounded
// up by an eighth.
class KeepMemory {
 public:
  KeepMemory();
  ~KeepMemory();
  KeepMemory(const KeepMemory&) = delete;
  KeepMemory& operator=(const KeepMemory&) = delete;
};

// In bytes.
struct KeptMemory {
  int64_t in_use, kept;
};
KeptMemory kept_memory();

// Gives back to the system what is kept, and forgets how much was in use at once.
void release_kept_memory();

}  // namespace xlembed
