// Memory that large CPU tensors leave to one another.
#include <cstring>
#include <random>
#include <thread>

#include "check.h"
#include "core/kept_memory.h"
#include "core/torch.h"

namespace {

using xlembed::KeepMemory;
using xlembed::kept_memory;
using xlembed::release_kept_memory;

constexpr int64_t kMebi = int64_t{1} << 20;

at::Tensor bytes(int64_t count) { return at::empty({count}, at::kByte); }

void what_one_leaves_another_takes() {
  release_kept_memory();
  const KeepMemory keep;
  const void* first = bytes(8 * kMebi).data_ptr();
  CHECK(kept_memory().kept == 8 * kMebi && kept_memory().in_use == 0);
  const at::Tensor second = bytes(8 * kMebi - 100);  // nearly as large
  CHECK(second.data_ptr() == first);
  CHECK(kept_memory().kept == 0 && kept_memory().in_use == 8 * kMebi);
  const at::Tensor third = bytes(8 * kMebi);
  CHECK(third.data_ptr() != first);
}

void only_large_ones_of_those_who_ask() {
  release_kept_memory();
  {
    const at::Tensor nobody_asked = bytes(8 * kMebi);
  }
  at::Tensor outlives;
  {
    const KeepMemory keep;
    {
      const at::Tensor small = bytes(kMebi - 1);
    }
    std::thread([] { const at::Tensor of_another = bytes(8 * kMebi); }).join();
    CHECK(kept_memory().kept == 0 && kept_memory().in_use == 0);
    outlives = bytes(2 * kMebi);
  }
  CHECK(kept_memory().in_use == 2 * kMebi);
  std::thread([&] { outlives.reset(); }).join();
  CHECK(kept_memory().in_use == 0 && kept_memory().kept == 2 * kMebi);
  release_kept_memory();
  CHECK(kept_memory().kept == 0);
}

// Tensors of all sizes, some resized: none writes where another lies, and no more is held than was in use.
void many_at_once() {
  release_kept_memory();
  const auto work = [](unsigned seed) {
    const KeepMemory keep;
    std::mt19937 random(seed);
    std::vector<std::pair<at::Tensor, int>> live;
    for (int i = 0; i < 600; ++i) {
      if (live.size() > 6 || (!live.empty() && random() % 3 == 0)) {
        const size_t at = random() % live.size();
        const auto [tensor, value] = live[at];
        CHECK(tensor.eq(value).all().item<bool>());
        live.erase(live.begin() + static_cast<int64_t>(at));
      } else {
        const int value = i % 251;
        at::Tensor tensor = bytes(kMebi / 2 + random() % (4 * kMebi)).fill_(value);
        if (random() % 4 == 0) tensor.resize_({tensor.size(0) + 2 * kMebi}).fill_(value);
        live.emplace_back(tensor, value);
      }
    }
  };
  std::thread other(work, 1);
  work(2);
  other.join();
  CHECK(kept_memory().in_use == 0);
  CHECK(kept_memory().kept <= 2 * 7 * 8 * kMebi);
}

void no_more_than_was_in_use() {
  release_kept_memory();
  const KeepMemory keep;
  {
    const at::Tensor a = bytes(16 * kMebi);
  }
  {
    const at::Tensor b = bytes(4 * kMebi);
  }  // the larger one has to go
  CHECK(kept_memory().kept == 4 * kMebi);
  {
    const at::Tensor c = bytes(12 * kMebi);
  }
  CHECK(kept_memory().kept == 16 * kMebi);
  release_kept_memory();
  CHECK(kept_memory().kept == 0);
}

}  // namespace

int main() {
  return check::run({
      {"what one leaves another takes", what_one_leaves_another_takes},
      {"only large ones of those who ask", only_large_ones_of_those_who_ask},
      {"many at once", many_at_once},
      {"no more than was in use", no_more_than_was_in_use},
  });
}
