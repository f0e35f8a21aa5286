// Vectors on a GPU, in blocks of few rows, against the same on the CPU: added, removed, searched. On a GPU
// where there is one, and emulated.
#include <numeric>

#include "check.h"
#include "core/vector_store.h"
#include "scarce_memory.h"

namespace {

using xlembed::VectorStore;
using xlembed::kernels::Narrow;
using xlembed::kernels::Subset;

constexpr int64_t kDimensions = 20;
constexpr int64_t kBlockBytes = 1;  // the fewest rows that a block can have: 384

std::vector<at::Device> devices() {
#ifdef XLEMBED_EMULATED_CUDA
  return {at::kCPU};
#else
  if (at::hasCUDA() && at::detail::getCUDAHooks().deviceCount() > 0) return {at::Device(at::kCUDA, 0)};
  return {};
#endif
}

// A store on the device, and the one on the CPU that it must equal.
struct Pair {
  const char* name;
  std::function<std::unique_ptr<VectorStore>(at::Device)> on_device;
  std::function<std::unique_ptr<VectorStore>()> on_cpu;
};

const std::vector<Pair> kPairs = {
    {"float32",
     [](at::Device device) { return xlembed::device_vectors(kDimensions, device, false, kBlockBytes); },
     [] { return xlembed::host_vectors(kDimensions, {}); }},
    {"float32 with a bfloat16 copy",
     [](at::Device device) { return xlembed::device_vectors(kDimensions, device, true, kBlockBytes); },
     [] { return xlembed::host_vectors(kDimensions, {}); }},
    {"bfloat16",
     [](at::Device device) {
       return xlembed::narrow_device_vectors(kDimensions, device, Narrow::bfloat16, kBlockBytes);
     },
     [] { return xlembed::narrow_host_vectors(kDimensions, Narrow::bfloat16); }},
    {"int8",
     [](at::Device device) {
       return xlembed::narrow_device_vectors(kDimensions, device, Narrow::int8, kBlockBytes);
     },
     [] { return xlembed::narrow_host_vectors(kDimensions, Narrow::int8); }},
    {"binary",
     [](at::Device device) { return xlembed::binary_device_vectors(kDimensions, device, kBlockBytes); },
     [] { return xlembed::binary_vectors(kDimensions); }},
};

at::Tensor random_vectors(int64_t rows, uint64_t seed) {
  return at::randn({rows, kDimensions}, at::detail::createCPUGenerator(seed), at::kFloat);
}

struct Found {
  std::vector<float> scores;
  std::vector<int32_t> rows;
  bool operator==(const Found&) const = default;
};

Found search(const VectorStore& store, const Subset& subset) {
  constexpr int64_t count = 3, k = 6;
  const at::Tensor queries = random_vectors(count, 9);
  Found found{std::vector<float>(count * k), std::vector<int32_t>(count * k)};
  store.search(queries.const_data_ptr<float>(), count, k, subset, found.scores.data(), found.rows.data());
  return found;
}

void are_equal(const char* name, const VectorStore& a, const VectorStore& b, int64_t rows) {
  std::vector<int32_t> some(rows / 2);
  for (size_t i = 0; i < some.size(); ++i) some[i] = static_cast<int32_t>(2 * i + 1);
  const bool equal = a.vectors(0, rows) == b.vectors(0, rows) && search(a, {}) == search(b, {}) &&
                     search(a, {some.data(), rows / 2}) == search(b, {some.data(), rows / 2});
  check::that(equal, name, __FILE__, __LINE__);
}

void equal_those_on_the_cpu() {
  constexpr int64_t rows = 900;  // three blocks
  const at::Tensor x = random_vectors(rows, 1);
  std::vector<int32_t> gone;
  for (int32_t row = 0; row < rows; ++row) {
    if (row > 50 && (row % 7 == 0 || (row >= 384 && row < 768))) gone.push_back(row);
  }
  for (const at::Device device : devices()) {
    for (const Pair& pair : kPairs) {
      const auto store = pair.on_device(device), expected = pair.on_cpu();
      for (VectorStore* each : {store.get(), expected.get()}) {
        each->add(x.const_data_ptr<float>(), 100);
        each->add(x.const_data_ptr<float>() + 100 * kDimensions, rows - 100);
      }
      are_equal(pair.name, *store, *expected, rows);
      for (VectorStore* each : {store.get(), expected.get()}) {
        each->remove(gone.data(), static_cast<int64_t>(gone.size()));
      }
      are_equal(pair.name, *store, *expected, rows - static_cast<int64_t>(gone.size()));
    }
  }
}

#ifdef XLEMBED_EMULATED_CUDA

constexpr size_t kSmallestBlock = 384 * 4;  // binary: a word to a row

void memory_that_runs_out_leaves_the_vectors_before() {
  constexpr int64_t before = 300, rows = 600;
  const at::Tensor x = random_vectors(rows, 2);
  for (const Pair& pair : kPairs) {
    for (const int blocks : {0, 1, 2}) {
      const auto store = pair.on_device(at::kCPU), expected = pair.on_cpu();
      store->add(x.const_data_ptr<float>(), before);
      bool failed = false;
      try {
        const ScarceMemory scarce(blocks, kSmallestBlock);
        store->add(x.const_data_ptr<float>(), 3 * rows);
      } catch (const c10::OutOfMemoryError&) {
        failed = true;
      }
      CHECK(failed);
      store->add(x.const_data_ptr<float>() + before * kDimensions, rows - before);
      expected->add(x.const_data_ptr<float>(), rows);
      are_equal(pair.name, *store, *expected, rows);
    }
  }
}

#endif

}  // namespace

int main() {
  return check::run({
      {"equal to those on the CPU", equal_those_on_the_cpu},
#ifdef XLEMBED_EMULATED_CUDA
      {"memory that runs out", memory_that_runs_out_leaves_the_vectors_before},
#endif
  });
}
