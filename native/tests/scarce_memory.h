// Memory of the CPU that runs out.
#pragma once

#include "core/torch.h"

// While it lives there is memory for `count` more tensors of `bytes` or more.
class ScarceMemory final : public c10::Allocator {
 public:
  ScarceMemory(int count, size_t bytes) : below_(c10::GetAllocator(c10::kCPU)), left_(count), bytes_(bytes) {
    c10::SetAllocator(c10::kCPU, this, kPriority);
  }
  ~ScarceMemory() override { c10::SetAllocator(c10::kCPU, below_, kPriority); }
  ScarceMemory(const ScarceMemory&) = delete;

  c10::DataPtr allocate(size_t bytes) override {
    TORCH_CHECK_WITH(OutOfMemoryError, bytes < bytes_ || --left_ >= 0, "out of memory");
    return below_->allocate(bytes);
  }
  c10::DeleterFnPtr raw_deleter() const override { return below_->raw_deleter(); }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    below_->copy_data(to, from, bytes);
  }

 private:
  static constexpr uint8_t kPriority = 100;
  c10::Allocator* const below_;
  int left_;
  const size_t bytes_;
};
