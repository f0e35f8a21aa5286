#include "arrivals.h"

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

// Of one place.
struct Rounds {
  unsigned number = 0;  // of those that are over
  std::deque<Copy> copies;
  races::Place words;
};

constexpr size_t most_expected = size_t{1} << 20;  // PTX ISA: the range of an mbarrier's tx-count
std::map<void*, Rounds> places;

Rounds& rounds_at(void* place) {
  const auto found = places.find(place);
  if (found == places.end()) Block::running().fail("arrives where nothing was begun");
  return found->second;
}

}  // namespace

void begin_arrivals(void* arrivals) {
  const races::Unwatched own;
  places.insert_or_assign(arrivals, Rounds());
}

void begin_copy(void* to, const void* from, size_t bytes, void* arrivals) {
  races::writes(to, bytes);
  const races::Unwatched own;
  if (bytes >= most_expected) Block::running().fail("expects more bytes than can be counted");
  std::memset(to, 0xFF, bytes);  // NaN for whoever still reads what was there
  Rounds& rounds = rounds_at(arrivals);
  rounds.words.leave_word();
  rounds.copies.push_back({to, from, bytes});
}

void wait_for_arrivals(void* arrivals, unsigned round) {
  const races::Unwatched own;
  Rounds& rounds = rounds_at(arrivals);
  if (rounds.number % 2 == round) {
    if (rounds.copies.empty()) Block::running().fail("waits for a copy that has not begun");
    const Copy copy = rounds.copies.front();
    std::memcpy(copy.to, copy.from, copy.bytes);
    rounds.copies.pop_front();
    ++rounds.number;
  }
  rounds.words.take_word();
}

}  // namespace emulation
