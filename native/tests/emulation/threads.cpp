#include "threads.h"

#include <setjmp.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

namespace emulation {
namespace {

constexpr size_t stack_bytes = size_t{128} << 10;
constexpr int lanes = 32;

// Lanes that exchange values together, known by the lowest of them.
struct Meeting {
  unsigned arrived = 0;
  uint64_t held = 0;  // meetings so far
  unsigned char brought[lanes * slot_bytes];
  unsigned char taken[lanes * slot_bytes];
};

struct Warp {
  Meeting meetings[lanes];
};

enum class State { ready, at_barrier, at_meeting, ended };

// A context is made once and then left and entered by jumps, which need no system call.
struct Fiber {
  ucontext_t context;
  jmp_buf place;
  std::unique_ptr<char[]> stack{new char[stack_bytes]};
  bool begun = false;
  State state = State::ready;
  const Meeting* meeting = nullptr;
  uint64_t awaited = 0;
};

std::vector<std::unique_ptr<Fiber>> fibers;  // reused from block to block
std::vector<Warp> warps;
std::vector<unsigned char> shared_memory;
jmp_buf scheduler;
const std::function<void()>* kernel_body;
unsigned current;

[[noreturn]] void fail(const char* message) {
  std::fprintf(stderr, "CUDA emulation: block (%u, %u), thread %u: %s\n", blockIdx.x, blockIdx.y, current,
               message);
  std::abort();
}

void leave(State state) {
  Fiber& fiber = *fibers[current];
  fiber.state = state;
  if (_setjmp(fiber.place) == 0) _longjmp(scheduler, 1);
}

void run_bodies() {
  for (;;) {
    (*kernel_body)();
    leave(State::ended);
  }
}

void enter(unsigned thread, dim3 block) {
  current = thread;
  threadIdx = dim3(thread % block.x, thread / block.x % block.y, thread / block.x / block.y);
  Fiber& fiber = *fibers[thread];
  if (_setjmp(scheduler) != 0) return;
  if (fiber.begun) _longjmp(fiber.place, 1);
  fiber.begun = true;
  setcontext(&fiber.context);
}

bool can_run(const Fiber& fiber) {
  if (fiber.state == State::at_meeting) return fiber.meeting->held > fiber.awaited;
  return fiber.state == State::ready;
}

void add_fiber() {
  fibers.push_back(std::make_unique<Fiber>());
  Fiber& fiber = *fibers.back();
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = stack_bytes;
  makecontext(&fiber.context, run_bodies, 0);
}

void run_block(dim3 block) {
  const unsigned threads = block.x * block.y * block.z;
  for (Warp& warp : warps) {
    for (Meeting& meeting : warp.meetings) meeting.arrived = 0;
  }
  while (fibers.size() < threads) add_fiber();
  for (unsigned t = 0; t < threads; ++t) fibers[t]->state = State::ready;
  unsigned ended = 0;
  for (unsigned pass = 0; ended < threads; ++pass) {
    bool moved = false;
    for (unsigned k = 0; k < threads; ++k) {
      const unsigned t = pass % 2 == 0 ? k : threads - 1 - k;
      if (!can_run(*fibers[t])) continue;
      moved = true;
      enter(t, block);
      ended += fibers[t]->state == State::ended;
    }
    if (moved) continue;
    for (unsigned t = 0; t < threads; ++t) {
      current = t;
      if (fibers[t]->state == State::at_meeting) fail("waits for lanes that do not come");
      if (fibers[t]->state == State::at_barrier) fibers[t]->state = State::ready;
    }
  }
}

}  // namespace

void run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body) {
  kernel_body = &body;
  gridDim = grid;
  blockDim = block;
  warps.resize((block.x * block.y * block.z + lanes - 1) / lanes);
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        blockIdx = dim3(x, y, z);
        shared_memory.assign(shared_bytes + 16, 0xFF);  // NaN for whoever reads before anybody wrote
        run_block(block);
      }
    }
  }
}

void* dynamic_shared_memory() {
  void* memory = shared_memory.data();
  size_t space = shared_memory.size();
  return std::align(16, space - 16, memory, space);
}

void wait_for_block() { leave(State::at_barrier); }

int lane() { return static_cast<int>(current % lanes); }

const unsigned char* exchange(unsigned mask, const void* value, size_t bytes) {
  const unsigned own = 1u << lane();
  if ((mask & own) == 0) fail("is not in the mask it names");
  Meeting& meeting = warps[current / lanes].meetings[__builtin_ctz(mask)];
  std::memcpy(meeting.brought + lane() * slot_bytes, value, bytes);
  meeting.arrived |= own;
  if (meeting.arrived == mask) {
    std::memcpy(meeting.taken, meeting.brought, sizeof meeting.taken);
    meeting.arrived = 0;
    ++meeting.held;
    return meeting.taken;
  }
  fibers[current]->meeting = &meeting;
  fibers[current]->awaited = meeting.held;
  leave(State::at_meeting);
  return meeting.taken;
}

}  // namespace emulation
