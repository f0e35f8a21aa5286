// One block of an emulated kernel. Its threads are fibers of one thread of the CPU, whose thread_local
// variables are the block's shared memory.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <functional>
#include <memory>
#include <vector>

#include "races.h"
#include "threads.h"

namespace emulation {

struct Launch {
  const std::function<void()>* body;
  dim3 block;
  size_t shared_bytes;
};

class Block {
 public:
  // Before anything else, on the thread that all blocks here will run on.
  void live_here();
  // `cluster` are all blocks of the cluster, this one at `rank`.
  void begin(const Launch& launch, dim3 index, unsigned rank, const std::vector<Block*>& cluster);
  // Runs its threads until each has ended or waits for the cluster; returns whether any moved.
  bool advance();
  bool ended() const { return ended_ == count_; }
  bool waits_for_cluster() const;
  void release_cluster() { ++clusters_passed_; }
  // What the host did until now comes before the blocks that begin here; what these did, before what it does
  // next.
  void precede() { begins_.leave_word(); }
  void follow() { ends_[blocks_begun_ % 2].take_word(); }

  // For the fiber that runs.
  static Block& running();
  void wait_for_block();
  void arrive_at_cluster();
  void wait_for_cluster();
  const unsigned char* exchange(unsigned mask, const void* value, size_t bytes);
  void wait_for_lanes(unsigned mask);
  unsigned thread() const { return current_; }
  unsigned rank() const { return rank_; }
  void* dynamic_shared_memory();
  void* shared_memory_of(unsigned rank, void* place) const;
  [[noreturn]] void fail(const char* message) const;

 private:
  static constexpr int lanes = 32;

  // Lanes that exchange values together, known by the lowest of them.
  struct Meeting {
    unsigned arrived = 0;
    uint64_t held = 0;  // meetings so far
    races::Place words[2];
    unsigned char brought[lanes * slot_bytes];
    unsigned char taken[lanes * slot_bytes];
  };
  struct Warp {
    Meeting meetings[lanes];
  };

  enum class State { ready, at_barrier, at_meeting, at_cluster, ended };

  // A context is made once and then left and entered by jumps, which need no system call.
  struct Fiber {
    ucontext_t context;
    jmp_buf place;
    std::unique_ptr<char[]> stack;
    bool begun = false;
    State state = State::ready;
    const Meeting* meeting = nullptr;
    uint64_t awaited = 0;  // meetings, or the cluster's barriers, that are over when it goes on
    races::Thread watched;
  };

  races::Place& words_of_cluster();
  static void run_bodies();
  void add_fiber();
  void enter(unsigned thread);
  void leave(State state);
  bool can_run(const Fiber& fiber) const;
  Meeting& meeting_of(unsigned mask);

  Launch launch_;
  dim3 index_;
  unsigned blocks_begun_ = 0;
  unsigned rank_ = 0, count_ = 0, ended_ = 0, current_ = 0, passes_ = 0;
  std::vector<Block*> cluster_;
  std::vector<std::unique_ptr<Fiber>> fibers_;  // used again by the blocks to come
  std::vector<Warp> warps_;
  std::vector<unsigned char> dynamic_;
  char* shared_ = nullptr;  // a place in this thread's thread_local variables
  jmp_buf scheduler_;
  races::Thread host_;
  races::Place begins_, ends_[2], barriers_[2], clusters_[2];
  unsigned barriers_passed_ = 0;
  uint64_t clusters_passed_ = 0;
};

}  // namespace emulation
