#include "core/kept_memory.h"

#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

#include <algorithm>
#include <bit>
#include <iterator>
#include <list>
#include <mutex>
#include <unordered_map>

namespace xlembed {
namespace {

constexpr size_t kSmallest = size_t{1} << 20;

// Up to the next eighth of a power of two, so that tensors of nearly one size can share memory.
size_t rounded(size_t bytes) {
  const size_t step = std::bit_floor(bytes) / 8;
  return (bytes + step - 1) / step * step;
}

class Allocator final : public c10::Allocator {
 public:
  // Never destroyed: tensors may outlive everything else of a process.
  static Allocator& instance() {
    static auto* const allocator = new Allocator;
    return *allocator;
  }

  c10::DataPtr allocate(size_t bytes) override {
    if (keepers_ == 0 || bytes < kSmallest) return below_->allocate(bytes);
    void* const data = take(rounded(bytes));
    return {data, data, &leave, c10::Device(c10::DeviceType::CPU)};
  }

  // Takes the pointers of both kinds of memory.
  c10::DeleterFnPtr raw_deleter() const override { return &leave; }

  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

  KeptMemory sizes() {
    const std::lock_guard lock(mutex_);
    return {static_cast<int64_t>(in_use_), static_cast<int64_t>(kept_bytes_)};
  }

  void release() {
    const std::lock_guard lock(mutex_);
    most_in_use_ = in_use_;
    let_go();
  }

  static thread_local int keepers_;

 private:
  struct Block {
    void* data;
    size_t bytes;
  };

  Allocator() : below_(c10::GetCPUAllocator()) { c10::SetCPUAllocator(this, /*priority=*/UINT8_MAX); }

  void* take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    // What was left last is most likely still in a cache.
    const auto fits = std::find_if(kept_.rbegin(), kept_.rend(),
                                   [bytes](const Block& block) { return block.bytes == bytes; });
    void* data;
    if (fits != kept_.rend()) {
      data = fits->data;
      kept_.erase(std::next(fits).base());
      kept_bytes_ -= bytes;
    } else {
      data = fresh(bytes);
    }
    in_use_ += bytes;
    most_in_use_ = std::max(most_in_use_, in_use_);
    used_[data] = bytes;
    let_go();
    return data;
  }

  // Of the system, which may have too little until what is kept has gone.
  void* fresh(size_t bytes) {
    try {
      return c10::alloc_cpu(bytes);
    } catch (const c10::Error&) {
      if (kept_.empty()) throw;
    }
    most_in_use_ = 0;
    let_go();
    most_in_use_ = in_use_;
    return c10::alloc_cpu(bytes);
  }

  static void leave(void* data) {
    Allocator& self = instance();
    {
      const std::lock_guard lock(self.mutex_);
      const auto block = self.used_.find(data);
      if (block != self.used_.end()) {
        self.kept_.push_back({data, block->second});
        self.kept_bytes_ += block->second;
        self.in_use_ -= block->second;
        self.used_.erase(block);
        return;
      }
    }
    self.below_->raw_deleter()(data);
  }

  // What has been kept for longest, until the rest is within what was in use at once.
  void let_go() {
    while (!kept_.empty() && in_use_ + kept_bytes_ > most_in_use_) {
      c10::free_cpu(kept_.front().data);
      kept_bytes_ -= kept_.front().bytes;
      kept_.pop_front();
    }
  }

  c10::Allocator* const below_;
  std::mutex mutex_;
  std::unordered_map<void*, size_t> used_;
  std::list<Block> kept_;  // as they were left
  size_t in_use_ = 0, kept_bytes_ = 0, most_in_use_ = 0;
};

thread_local int Allocator::keepers_ = 0;

}  // namespace

KeepMemory::KeepMemory() {
  Allocator::instance();
  ++Allocator::keepers_;
}

KeepMemory::~KeepMemory() { --Allocator::keepers_; }

KeptMemory kept_memory() { return Allocator::instance().sizes(); }

void release_kept_memory() { Allocator::instance().release(); }

}  // namespace xlembed
