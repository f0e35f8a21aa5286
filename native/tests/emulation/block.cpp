#include "block.h"

#include <cstdio>
#include <cstdlib>

namespace emulation {
namespace {

constexpr size_t stack_bytes = size_t{128} << 10;

Block* block_that_runs = nullptr;
thread_local char in_shared_memory;

}  // namespace

Block& Block::running() { return *block_that_runs; }

void Block::fail(const char* message) const {
  std::fprintf(stderr, "CUDA emulation: block (%u, %u), thread %u: %s\n", index_.x, index_.y, current_,
               message);
  std::abort();
}

void Block::live_here() {
  host_ = races::Thread::current();
  shared_ = &in_shared_memory;
}

void Block::begin(const Launch& launch, dim3 index, unsigned rank, const std::vector<Block*>& cluster) {
  ++blocks_begun_;
  launch_ = launch;
  index_ = index;
  rank_ = rank;
  cluster_ = cluster;
  count_ = launch.block.x * launch.block.y * launch.block.z;
  ended_ = passes_ = 0;
  const races::Unwatched poison;
  dynamic_.assign(launch.shared_bytes + 16, 0xFF);  // NaN for whoever reads before anybody wrote
  warps_.resize((count_ + lanes - 1) / lanes);
  for (Warp& warp : warps_) {
    for (Meeting& meeting : warp.meetings) meeting.arrived = 0;
  }
  while (fibers_.size() < count_) add_fiber();
  for (unsigned t = 0; t < count_; ++t) fibers_[t]->state = State::ready;
}

bool Block::advance() {
  for (bool moved_ever = false;; ++passes_) {
    bool moved = false;
    for (unsigned k = 0; k < count_; ++k) {
      const unsigned t = passes_ % 2 == 0 ? k : count_ - 1 - k;
      if (!can_run(*fibers_[t])) continue;
      moved = true;
      enter(t);
      ended_ += fibers_[t]->state == State::ended;
    }
    moved_ever |= moved;
    if (ended() || (!moved && waits_for_cluster())) return moved_ever;
    if (moved) continue;
    for (unsigned t = 0; t < count_; ++t) {
      current_ = t;
      if (fibers_[t]->state == State::at_meeting) fail("waits for lanes that do not come");
      if (fibers_[t]->state == State::at_cluster) fail("waits for its cluster, others for its block");
      if (fibers_[t]->state == State::at_barrier) fibers_[t]->state = State::ready;
    }
    ++barriers_passed_;
  }
}

bool Block::waits_for_cluster() const {
  for (unsigned t = 0; t < count_; ++t) {
    const State state = fibers_[t]->state;
    if (state != State::at_cluster && state != State::ended) return false;
  }
  return true;
}

bool Block::can_run(const Fiber& fiber) const {
  if (fiber.state == State::at_meeting) return fiber.meeting->held > fiber.awaited;
  if (fiber.state == State::at_cluster) return clusters_passed_ > fiber.awaited;
  return fiber.state == State::ready;
}

void Block::add_fiber() {
  fibers_.push_back(std::make_unique<Fiber>());
  Fiber& fiber = *fibers_.back();
  fiber.stack.reset(new char[stack_bytes]);
  fiber.watched = races::Thread::fiber();
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = stack_bytes;
  makecontext(&fiber.context, run_bodies, 0);
}

void Block::run_bodies() {
  for (;;) {
    Block& block = running();
    block.begins_.take_word();
    block.ends_[(block.blocks_begun_ - 1) % 2]
        .take_word();  // of the block that had this shared memory before
    (*block.launch_.body)();
    block.ends_[block.blocks_begun_ % 2].leave_word();
    block.leave(State::ended);
  }
}

void Block::enter(unsigned thread) {
  block_that_runs = this;
  current_ = thread;
  blockIdx = index_;
  const dim3 size = launch_.block;
  threadIdx = dim3(thread % size.x, thread / size.x % size.y, thread / size.x / size.y);
  Fiber& fiber = *fibers_[thread];
  if (_setjmp(scheduler_) != 0) return;
  fiber.watched.run();
  if (fiber.begun) _longjmp(fiber.place, 1);
  fiber.begun = true;
  setcontext(&fiber.context);
}

void Block::leave(State state) {
  Fiber& fiber = *fibers_[current_];
  fiber.state = state;
  if (_setjmp(fiber.place) != 0) return;
  host_.run();
  _longjmp(scheduler_, 1);
}

// The words of two barriers, and of two blocks, in turn: nobody takes the word of those who are at the next
// one already, or at the end before it has begun.

void Block::wait_for_block() {
  races::Place& words = barriers_[barriers_passed_ % 2];
  words.leave_word();
  leave(State::at_barrier);
  words.take_word();
}

races::Place& Block::words_of_cluster() { return cluster_[0]->clusters_[clusters_passed_ % 2]; }

void Block::arrive_at_cluster() { words_of_cluster().leave_word(); }

void Block::wait_for_cluster() {
  races::Place& words = words_of_cluster();
  fibers_[current_]->awaited = clusters_passed_;
  leave(State::at_cluster);
  words.take_word();
}

void* Block::dynamic_shared_memory() {
  void* memory = dynamic_.data();
  size_t space = dynamic_.size();
  return std::align(16, space - 16, memory, space);
}

void* Block::shared_memory_of(unsigned rank, void* place) const {
  return static_cast<char*>(place) - shared_ + cluster_[rank]->shared_;
}

Block::Meeting& Block::meeting_of(unsigned mask) {
  return warps_[current_ / lanes].meetings[__builtin_ctz(mask)];
}

const unsigned char* Block::exchange(unsigned mask, const void* value, size_t bytes) {
  const unsigned lane = current_ % lanes, own = 1u << lane;
  if ((mask & own) == 0) fail("is not in the mask it names");
  const races::Unwatched copies;
  Meeting& meeting = meeting_of(mask);
  std::memcpy(meeting.brought + lane * slot_bytes, value, bytes);
  meeting.arrived |= own;
  if (meeting.arrived == mask) {
    std::memcpy(meeting.taken, meeting.brought, sizeof meeting.taken);
    meeting.arrived = 0;
    ++meeting.held;
    return meeting.taken;
  }
  fibers_[current_]->meeting = &meeting;
  fibers_[current_]->awaited = meeting.held;
  leave(State::at_meeting);
  return meeting.taken;
}

void Block::wait_for_lanes(unsigned mask) {
  Meeting& meeting = meeting_of(mask);
  races::Place& words = meeting.words[meeting.held % 2];
  words.leave_word();
  exchange(mask, "", 1);
  words.take_word();
}

}  // namespace emulation
