// Searches of float32 vectors by way of a narrow copy.
#include <memory>

#include "check.h"
#include "device.h"
#include "kernels/top_k_narrow.h"
#include "narrow_vectors.h"

namespace {

using namespace xlembed::kernels;
using namespace narrow_vectors;

// Checks that scores and rows are those of the float32 search; returns the queries that were given up.
int64_t compare(const std::vector<float>& queries, const Stored& stored, int64_t k, int threads = 2) {
  const int64_t count = queries.size() / stored.corpus.dimensions;
  std::vector<float> scores(count * k), expected_scores(count * k);
  std::vector<int32_t> rows(count * k), expected_rows(count * k);
  const int64_t given_up = top_k_narrow(queries.data(), count, stored.corpus, stored.narrow, k, threads,
                                        scores.data(), rows.data());
  top_k(queries.data(), count, stored.corpus, {}, k, threads, expected_scores.data(), expected_rows.data());
  CHECK(scores == expected_scores);
  CHECK(rows == expected_rows);
  return given_up;
}

void agrees_with_float32(Narrow type) {
  for (const int64_t dimensions : {1, 7, 64, 100, 384, 1024}) {
    const Stored stored(random_vectors(3000, dimensions, 1), dimensions, type);
    for (const int64_t queries : {1, 3, 8, 9, 32, 33, 70, 130}) {
      compare(random_vectors(queries, dimensions, 2), stored, 10, 1 + queries % 3);
    }
  }
}

void narrow_pass_suffices(Narrow type) {
  const int64_t dimensions = 256;
  const Stored stored(random_vectors(20000, dimensions, 3), dimensions, type);
  for (const int64_t k : {1, 10, 100, 1000}) {
    CHECK(compare(random_vectors(40, dimensions, 4), stored, k) == 0);
    CHECK(compare(random_vectors(2, dimensions, 5), stored, k) == 0);
  }
}

// Rows whose order is lost in the narrow copy, or turned over, far above all others.
void order_below_the_narrow_resolution(Narrow type) {
  const int64_t dimensions = 32, rows = 9000;
  const auto q = random_vectors(35, dimensions, 7, 1.f);
  for (const float difference : {1e-5f, 5e-4f}) {
    auto x = random_vectors(rows, dimensions, 6);
    for (int64_t r = 0; r < 200; ++r) {
      for (int64_t d = 0; d < dimensions; ++d) {
        x[r * 37 * dimensions + d] = 10 + difference * static_cast<float>((r * 71 + d * 13) % 200);
      }
    }
    CHECK(compare(q, Stored(x, dimensions, type), 20) == 0);
  }
}

// Rows that bfloat16 holds exactly, and whose small values integers of 16 bits turn over: three hundred of
// 0.52 steps become 1 each, the best, of 1.47 and 0.48, becomes 1 and 0.
void order_below_a_step(Narrow type) {
  const int64_t dimensions = 65, rows = 301, best = 150;
  const float step = 1.f / 32767;
  std::vector<float> x(rows * dimensions);
  for (int64_t r = 0; r < rows; ++r) {
    x[r * dimensions] = 1;
    for (int64_t d = 1; d < dimensions; ++d) {
      const float steps = r != best ? 0.52f : d % 2 == 0 ? 1.47f : 0.48f;
      x[r * dimensions + d] = to_float(round_to_bfloat16(steps * step));
    }
  }
  std::vector<float> q(20 * dimensions, 1);
  for (int64_t i = 0; i < 20; ++i) q[i * dimensions] = 0;
  compare(q, Stored(x, dimensions, type), 1);
}

// More equal rows than a list holds: only the float32 vectors can tell which k come first.
void many_equal_rows(Narrow type) {
  const int64_t dimensions = 16, rows = 6000;
  const auto one = random_vectors(1, dimensions, 8);
  std::vector<float> x;
  for (int64_t r = 0; r < rows; ++r) x.insert(x.end(), one.begin(), one.end());
  const Stored stored(x, dimensions, type);
  CHECK(compare(random_vectors(12, dimensions, 9), stored, 5) == 12);
  CHECK(compare(std::vector<float>(3 * dimensions, 0.f), stored, 5) == 3);
}

// Vectors that share a large component, as those of many models do; lengths and scales that differ widely.
void uneven_vectors(Narrow type) {
  const int64_t dimensions = 48, rows = 4000;
  auto x = random_vectors(rows, dimensions, 10, 3.f);
  for (int64_t r = 0; r < rows; ++r) {
    const float scale = r % 11 == 0 ? 1e-20f : r % 13 == 0 ? 50.f : r % 17 == 0 ? 0.f : 1.f;
    for (int64_t d = 0; d < dimensions; ++d) x[r * dimensions + d] *= scale;
  }
  const Stored stored(x, dimensions, type);
  auto q = random_vectors(20, dimensions, 11, 3.f);
  compare(q, stored, 10);
  for (float& value : q) value *= -1e-12f;
  compare(q, stored, 10);
}

// A whole corpus far from 1: what a step, its inverse or a square of it could not be.
void extreme_lengths(Narrow type) {
  const int64_t dimensions = 32, rows = 500;
  for (const float length : {1e-33f, 1e-18f, 1e18f, 1e30f}) {
    const Stored stored(random_vectors(rows, dimensions, 15, 0, length), dimensions, type);
    compare(random_vectors(20, dimensions, 16), stored, 10);
    compare(random_vectors(20, dimensions, 17, 0, 1 / length), stored, 10);
  }
}

void few_rows(Narrow type) {
  for (const int64_t rows : {1, 31, 33, 47, 48, 100}) {
    const Stored stored(random_vectors(rows, 20, 12), 20, type);
    compare(random_vectors(1, 20, 13), stored, 200);
    compare(random_vectors(50, 20, 14), stored, 30);
  }
}

#ifdef XLEMBED_WITH_CUDA

// The GPU's corpus with its bfloat16 copy, in blocks of 384 rows, written in two pieces.
struct OnDevice {
  static constexpr int64_t rows_per_block = cuda::narrow_tile_rows;
  using Kind = device::Kind;

  OnDevice(const std::vector<float>& vectors, int64_t dimensions)
      : view{nullptr, rows_per_block, static_cast<int64_t>(vectors.size()) / dimensions, dimensions,
             Layout::panels},
        bounds(Kind::cuda, std::vector<float>(2)) {
    for (int64_t first = 0; first < view.rows; first += rows_per_block) {
      floats.push_back(std::make_unique<device::Array<float>>(
          Kind::cuda, std::vector<float>(rows_per_block * dimensions)));
      words.push_back(std::make_unique<device::Array<bfloat16>>(
          Kind::cuda, rows_per_block * cuda::narrow_width(dimensions)));
      addresses.push_back(floats.back()->data());
      word_addresses.push_back(words.back()->data());
    }
    view.blocks = addresses.data();
    device_addresses = std::make_unique<device::Array<const float*>>(Kind::cuda, addresses);
    device_words = std::make_unique<device::Array<bfloat16*>>(Kind::cuda, word_addresses);
    device::Array<float> uploaded(Kind::cuda, vectors);
    const int64_t half = view.rows / 2;
    for (const auto& [first, count] : {std::pair{int64_t{0}, half}, std::pair{half, view.rows - half}}) {
      const float* from = uploaded.data() + first * dimensions;
      cuda::write_vectors(from, first, count, view, nullptr);
      cuda::write_narrow(from, first, count, dimensions, rows_per_block, device_words->data(), bounds.data(),
                         nullptr);
    }
    uploaded.get();  // both have been read
  }

  // Checks that scores and rows are those of the CPU; returns the queries that were given up.
  int64_t compare(const std::vector<float>& queries, const Stored& stored, int64_t k) {
    const int64_t count = queries.size() / view.dimensions;
    device::Array<float> q(Kind::cuda, queries), scores(Kind::cuda, count * k);
    device::Array<int32_t> rows(Kind::cuda, count * k);
    device::Array<char> workspace(Kind::cuda, cuda::top_k_narrow_workspace_bytes(count, view.dimensions));
    const cuda::NarrowCorpus narrow{device_words->data(), device_addresses->data(), bounds.data()};
    const int64_t given_up = cuda::top_k_narrow(q.data(), count, view, narrow, k, workspace.data(),
                                                scores.data(), rows.data(), nullptr);
    std::vector<float> expected_scores(count * k);
    std::vector<int32_t> expected_rows(count * k);
    top_k(queries.data(), count, stored.corpus, {}, k, 2, expected_scores.data(), expected_rows.data());
    CHECK(scores.get() == expected_scores);
    CHECK(rows.get() == expected_rows);
    return given_up;
  }

  Corpus view;
  device::Array<float> bounds;
  std::vector<std::unique_ptr<device::Array<float>>> floats;
  std::vector<std::unique_ptr<device::Array<bfloat16>>> words;
  std::vector<const float*> addresses;
  std::vector<bfloat16*> word_addresses;
  std::unique_ptr<device::Array<const float*>> device_addresses;
  std::unique_ptr<device::Array<bfloat16*>> device_words;
};

void gpu_agrees(const std::vector<float>& x, int64_t dimensions, int64_t k,
                const std::vector<int64_t>& query_counts, bool all_given_up = false) {
  const Stored stored(x, dimensions, Narrow::bfloat16);
  OnDevice gpu(x, dimensions);
  for (const int64_t count : query_counts) {
    const int64_t given_up = gpu.compare(random_vectors(count, dimensions, 15), stored, k);
    CHECK(given_up == (all_given_up ? count : 0));
  }
}

void gpu_gives_the_same_bits() {
  if (device::all().size() < 2) return;
  const std::vector<int64_t> counts = {1, 2, 127, 130, 270}, few = {1, 3};
  for (const int64_t dimensions : {1, 7, 20, 64, 136, 384, 1000}) {
    if (device::emulated && dimensions > 136) continue;
    const int64_t rows = device::emulated ? 500 : 20000;
    gpu_agrees(random_vectors(rows, dimensions, 16), dimensions, 10, counts);
  }
  // More slabs than one, and lists near their limit.
  gpu_agrees(random_vectors(device::emulated ? 9000 : 200000, 96, 17), 96, 100, few);
  gpu_agrees(random_vectors(device::emulated ? 6000 : 100000, 96, 18), 96, 1000, few);
  gpu_agrees(random_vectors(30, 24, 19), 24, 100, few);
  gpu_agrees(random_vectors(2500, 72, 35), 72, 10, {257});  // tiles of two slabs
  // More equal rows than a list holds.
  const auto one = random_vectors(1, 8, 20);
  std::vector<float> x;
  for (int64_t r = 0; r < 14000; ++r) x.insert(x.end(), one.begin(), one.end());
  gpu_agrees(x, 8, 5, few, true);
}

#endif

}  // namespace

int main() {
  return check::run({{"agrees with float32", [] { both(agrees_with_float32); }},
                     {"the narrow pass suffices", [] { both(narrow_pass_suffices); }},
                     {"order below the narrow resolution", [] { both(order_below_the_narrow_resolution); }},
                     {"order below a step", [] { both(order_below_a_step); }},
                     {"many equal rows", [] { both(many_equal_rows); }},
                     {"uneven vectors", [] { both(uneven_vectors); }},
#ifdef XLEMBED_WITH_CUDA
                     {"the GPU gives the same bits", gpu_gives_the_same_bits},
#endif
                     {"extreme lengths", [] { both(extreme_lengths); }},
                     {"few rows", [] { both(few_rows); }}});
}
