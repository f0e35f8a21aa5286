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

// What has arrived at one place and belongs to no round that is over.
class Rounds {
 public:
  explicit Rounds(unsigned count) : count_(count) {}
  void arrive(size_t bytes) { arrived_.push_back(bytes); }
  void begin(const Copy& copy) { copies_.push_back(copy); }
  // Whether the round of this parity is over, which it then becomes if all is here.
  bool over(unsigned parity) {
    if (number_ % 2 == parity && arrived_.size() >= count_) finish();
    return number_ % 2 != parity;
  }
  races::Place words;

 private:
  void finish() {
    size_t expected = 0, begun = 0;
    for (unsigned k = 0; k < count_; ++k) expected += arrived_[k];
    size_t copies = 0;
    for (; begun < expected && copies < copies_.size(); ++copies) begun += copies_[copies].bytes;
    if (begun > expected) Block::running().fail("a copy of more bytes than are expected");
    if (begun < expected) return;
    for (; copies > 0; --copies, copies_.pop_front()) {
      std::memcpy(copies_.front().to, copies_.front().from, copies_.front().bytes);
    }
    arrived_.erase(arrived_.begin(), arrived_.begin() + count_);
    ++number_;
  }

  unsigned count_, number_ = 0;
  std::deque<size_t> arrived_;  // the bytes that each expects
  std::deque<Copy> copies_;
};

constexpr size_t most_expected = size_t{1} << 20;  // PTX ISA: the range of an mbarrier's tx-count
std::map<void*, Rounds> places;

Rounds& rounds_at(void* place) {
  const auto found = places.find(place);
  if (found == places.end()) Block::running().fail("arrives where nothing was begun");
  return found->second;
}

}  // namespace

void begin_arrivals(void* arrivals, unsigned count) {
  const races::Unwatched own;
  places.insert_or_assign(arrivals, Rounds(count));
}

void arrive(void* arrivals, unsigned rank, size_t bytes) {
  const races::Unwatched own;
  Rounds& rounds = rounds_at(shared_memory_of(rank, arrivals));
  if (bytes >= most_expected) Block::running().fail("expects more bytes than can be counted");
  rounds.words.leave_word();
  rounds.arrive(bytes);
}

void begin_copy(void* to, const void* from, size_t bytes, void* arrivals, unsigned rank) {
  void* const target = shared_memory_of(rank, to);
  races::writes(target, bytes);
  const races::Unwatched own;
  std::memset(target, 0xFF, bytes);  // NaN for whoever still reads what was there
  Rounds& rounds = rounds_at(shared_memory_of(rank, arrivals));
  rounds.words.leave_word();
  rounds.begin({target, from, bytes});
}

void wait_for_arrivals(void* arrivals, unsigned round) {
  Block::running().wait_until([arrivals, round] {
    const races::Unwatched own;
    return rounds_at(arrivals).over(round);
  });
  const races::Unwatched own;
  rounds_at(arrivals).words.take_word();
}

}  // namespace emulation
