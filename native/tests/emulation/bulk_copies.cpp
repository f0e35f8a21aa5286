#include "bulk_copies.h"

#include <cstring>
#include <deque>
#include <map>

#include "block.h"

namespace emulation {
namespace {

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
};

// Of one place in a block's shared memory.
struct Round {
  unsigned number = 0;
  std::deque<size_t> expected;
  std::deque<Copy> copies;
  races::Place words[2];
};

constexpr size_t most_expected = size_t{1} << 20;  // PTX ISA: the range of an mbarrier's tx-count
std::map<void*, Round> rounds;

}  // namespace

void begin_arrivals(void* arrivals) {
  const races::Unwatched own;
  rounds[arrivals] = {};
}

void expect_bytes(void* arrivals, size_t bytes) {
  const races::Unwatched own;
  if (bytes >= most_expected) Block::running().fail("expects more bytes than can be counted");
  rounds.at(arrivals).expected.push_back(bytes);
}

void begin_copy(void* to, const void* from, size_t bytes, void* arrivals, unsigned rank) {
  void* const target = shared_memory_of(rank, to);
  races::writes(target, bytes);
  const races::Unwatched own;
  Round& round = rounds.at(shared_memory_of(rank, arrivals));
  for (races::Place& words : round.words) words.leave_word();
  round.copies.push_back({target, from, bytes});
}

void wait_for_bytes(void* arrivals, unsigned parity) {
  const races::Unwatched own;
  Round& round = rounds.at(arrivals);
  if (round.number % 2 == parity) {
    if (round.expected.empty()) Block::running().fail("waits for bytes that nobody expects");
    for (size_t missing = round.expected.front(); missing > 0; round.copies.pop_front()) {
      if (round.copies.empty()) Block::running().fail("waits for a copy that has not begun");
      const Copy copy = round.copies.front();
      if (copy.bytes > missing) Block::running().fail("a copy of more bytes than are expected");
      std::memcpy(copy.to, copy.from, copy.bytes);
      missing -= copy.bytes;
    }
    round.expected.pop_front();
    ++round.number;
  }
  round.words[parity].take_word();
}

}  // namespace emulation
