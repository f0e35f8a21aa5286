#include "threads.h"

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "block.h"

namespace emulation {
namespace {

// Blocks of a cluster need shared memory each. Where races are looked for, neighbouring blocks have it, too:
// those that follow each other in the same memory count as ordered. (More than two in turn would make
// ThreadSanitizer several times as slow.)
constexpr unsigned blocks_apart = races::watched ? 2 : 1;

// A thread with the shared memory of one block: the caller's, or one of its own. Only one of all of them runs
// at a time.
class Worker {
 public:
  explicit Worker(bool is_caller) {
    if (!is_caller) thread_ = std::thread([this] { work(); });
    run([this] { block.live_here(); });
  }
  ~Worker() {
    if (!thread_.joinable()) return;
    run({});
    thread_.join();
  }
  // On this thread, until it is done.
  void run(std::function<void()> task) {
    if (!thread_.joinable()) return task();
    std::unique_lock lock(mutex_);
    task_ = std::move(task);
    waiting_ = true;
    changed_.notify_all();
    changed_.wait(lock, [&] { return !waiting_; });
  }
  Block block;

 private:
  void work() {
    for (bool goes_on = true; goes_on;) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return waiting_; });
      goes_on = static_cast<bool>(task_);
      if (goes_on) task_();
      waiting_ = false;
      changed_.notify_all();
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> task_;
  bool waiting_ = false;
  std::thread thread_;
};

Worker& worker(unsigned which) {
  static std::unique_ptr<Worker> workers[largest_cluster];
  if (!workers[which]) workers[which] = std::make_unique<Worker>(which == 0);
  return *workers[which];
}

// On the workers from `first` on.
void run_cluster(unsigned first, unsigned cluster, const Launch& launch, dim3 index) {
  std::vector<Block*> blocks;
  for (unsigned rank = 0; rank < cluster; ++rank) blocks.push_back(&worker(first + rank).block);
  for (unsigned rank = 0; rank < cluster; ++rank) {
    blocks[rank]->begin(launch, dim3(index.x + rank, index.y, index.z), rank, blocks);
  }
  for (;;) {
    bool moved = false, ended = true;
    for (unsigned rank = 0; rank < cluster; ++rank) {
      if (!blocks[rank]->ended()) worker(first + rank).run([&] { moved |= blocks[rank]->advance(); });
      ended &= blocks[rank]->ended();
    }
    if (ended) return;
    if (moved) continue;
    for (Block* block : blocks) block->release_cluster();
  }
}

}  // namespace

void run(dim3 grid, dim3 block, size_t shared_bytes, unsigned cluster, const std::function<void()>& body) {
  gridDim = grid;
  blockDim = block;
  const Launch launch = {&body, block, shared_bytes};
  const unsigned workers = std::max(cluster, blocks_apart);
  for (unsigned w = 0; w < workers; ++w) worker(w).block.precede();
  unsigned next = 0;
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; x += cluster) {
        run_cluster(next, cluster, launch, dim3(x, y, z));
        next = (next + cluster) % workers;
      }
    }
  }
  for (unsigned w = 0; w < workers; ++w) worker(w).block.follow();
}

void* dynamic_shared_memory() { return Block::running().dynamic_shared_memory(); }
void* shared_memory_of(unsigned rank, void* place) { return Block::running().shared_memory_of(rank, place); }
void wait_for_block() { Block::running().wait_for_block(); }
void arrive_at_cluster() { Block::running().arrive_at_cluster(); }
void wait_for_cluster() { Block::running().wait_for_cluster(); }
unsigned rank_in_cluster() { return Block::running().rank(); }
int lane() { return static_cast<int>(Block::running().thread() % 32); }
const unsigned char* exchange(unsigned mask, const void* value, size_t bytes) {
  return Block::running().exchange(mask, value, bytes);
}
[[noreturn]] void fail(const char* message) { Block::running().fail(message); }
void wait_for_lanes(unsigned mask) { Block::running().wait_for_lanes(mask); }

}  // namespace emulation
