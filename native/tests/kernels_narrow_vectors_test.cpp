// Vectors kept in narrow numbers alone: what they stand for, and searches of them.
#include <cmath>

#include "check.h"
#include "device.h"
#include "kernels/top_k_narrow.h"
#include "kernels/top_k_two_pass.h"
#include "narrow_vectors.h"

namespace {

using namespace xlembed::kernels;
using namespace narrow_vectors;

// The vectors that narrow numbers stand for, and nothing else.
struct Alone {
  Alone(const std::vector<float>& vectors, int64_t dimensions, Narrow type)
      : narrow{type, nullptr, 0, 0},
        corpus{nullptr,        96,     static_cast<int64_t>(vectors.size()) / dimensions, dimensions,
               Layout::narrow, &narrow} {
    for (int64_t first = 0; first < corpus.rows; first += 96) words.add(96 * narrow_words(type, dimensions));
    narrow.blocks = words.addresses.data();
    for (int64_t first = 0, count = 1; first < corpus.rows; first += count, count = 3 * count + 7) {
      count = std::min(count, corpus.rows - first);
      write_narrow(&vectors[first * dimensions], first, count, corpus, 2, narrow);
    }
  }
  std::vector<float> vectors() const {
    std::vector<float> all(corpus.rows * corpus.dimensions);
    for (int64_t row = 0; row < corpus.rows; ++row) read_row(corpus, row, &all[row * corpus.dimensions]);
    return all;
  }
  NarrowCorpus narrow;
  Corpus corpus;
  Blocks<uint32_t> words;
};

std::vector<float> uneven(int64_t rows, int64_t dimensions, uint32_t seed) {
  auto x = random_vectors(rows, dimensions, seed, 0.3f);
  for (int64_t r = 0; r < rows; ++r) {
    const float scale = r % 11 == 0 ? 1e-20f : r % 13 == 0 ? 50.f : r % 17 == 0 ? 0.f : 1.f;
    for (int64_t d = 0; d < dimensions; ++d) x[r * dimensions + d] *= scale;
  }
  return x;
}

// What is kept is near the vector, and narrowing it again changes nothing.
void stands_for_near_vectors(Narrow type) {
  for (const int64_t dimensions : {1, 7, 31, 384}) {
    const auto x = uneven(300, dimensions, 21);
    const auto kept = Alone(x, dimensions, type).vectors();
    CHECK(Alone(kept, dimensions, type).vectors() == kept);
    for (int64_t r = 0; r < 300; ++r) {
      float largest = 0;
      for (int64_t d = 0; d < dimensions; ++d) largest = std::max(largest, std::fabs(x[r * dimensions + d]));
      for (int64_t i = r * dimensions; i < (r + 1) * dimensions; ++i) {
        const double allowed = type == Narrow::bfloat16 ? std::fabs(x[i]) / 256 : largest / 253.9;
        CHECK(std::fabs(static_cast<double>(kept[i]) - x[i]) <= allowed);
      }
    }
  }
}

// Searches, subsets and ranks are those over the float32 vectors that the numbers stand for.
void alone_as_their_vectors(Narrow type) {
  for (const int64_t dimensions : {1, 7, 100, 384}) {
    const Alone alone(uneven(1000, dimensions, 22), dimensions, type);
    const Stored widened(alone.vectors(), dimensions, type);
    std::vector<int32_t> some, offsets = {0};
    for (int32_t row = 3; row < 1000; row += 7) some.push_back(row);
    const Subset subset{some.data(), static_cast<int64_t>(some.size())};
    for (const auto& [count, k] : {std::pair{1, 10}, {9, 1}, {33, 1000}}) {
      const auto q = random_vectors(count, dimensions, 23, 0.2f);
      std::vector<float> scores(count * k), expected_scores(count * k);
      std::vector<int32_t> rows(count * k), expected(count * k);
      top_k(q.data(), count, widened.corpus, {}, k, 2, expected_scores.data(), expected.data());
      top_k_narrow(q.data(), count, alone.corpus, alone.narrow, k, 2, scores.data(), rows.data());
      CHECK(scores == expected_scores && rows == expected);
      top_k(q.data(), count, widened.corpus, subset, k, 2, expected_scores.data(), expected.data());
      top_k(q.data(), count, alone.corpus, subset, k, 2, scores.data(), rows.data());
      CHECK(scores == expected_scores && rows == expected);
      top_k_two_pass(q.data(), count, alone.corpus, subset, k, 2, scores.data(), rows.data());
      CHECK(scores == expected_scores && rows == expected);
    }
    for (int32_t i = 0; i < 5; ++i) offsets.push_back((i + 1) * 20);
    const auto q = random_vectors(5, dimensions, 24);
    std::vector<int32_t> ranks_alone(100), ranks_widened(100);
    ranks(q.data(), 5, alone.corpus, some.data(), offsets.data(), 2, ranks_alone.data());
    ranks(q.data(), 5, widened.corpus, some.data(), offsets.data(), 2, ranks_widened.data());
    CHECK(ranks_alone == ranks_widened);
  }
  // The narrow queries alone are inexact: the first pass suffices, and where many rows tie it does not.
  const Alone spread(random_vectors(5000, 64, 25), 64, type);
  std::vector<float> scores(40), q = random_vectors(4, 64, 26);
  std::vector<int32_t> rows(40);
  CHECK(top_k_narrow(q.data(), 4, spread.corpus, spread.narrow, 10, 2, scores.data(), rows.data()) == 0);
  std::vector<float> equal;
  for (int64_t r = 0; r < 6000; ++r) equal.insert(equal.end(), q.begin(), q.begin() + 16);
  const Alone tied(equal, 16, type);
  CHECK(top_k_narrow(q.data(), 4, tied.corpus, tied.narrow, 10, 2, scores.data(), rows.data()) == 4);
  for (int64_t i = 0; i < 40; ++i) CHECK(rows[i] == i % 10);
}

#ifdef XLEMBED_WITH_CUDA

// Narrow numbers alone, in blocks of 384 rows, written in two pieces.
struct StoredOnDevice {
  static constexpr int64_t rows_per_block = cuda::narrow_tile_rows;
  using Kind = device::Kind;

  StoredOnDevice(const std::vector<float>& vectors, int64_t dimensions, Narrow type)
      : bounds(Kind::cuda, std::vector<float>(2)),
        view{type,       nullptr, rows_per_block, static_cast<int64_t>(vectors.size()) / dimensions,
             dimensions, nullptr} {
    std::vector<char*> table;
    for (int64_t first = 0; first < view.rows; first += rows_per_block) {
      blocks.push_back(std::make_unique<device::Array<char>>(
          Kind::cuda, rows_per_block * cuda::stored_row_bytes(type, dimensions)));
      table.push_back(blocks.back()->data());
    }
    addresses = std::make_unique<device::Array<char*>>(Kind::cuda, table);
    view.blocks = addresses->data();
    view.bounds = bounds.data();
    device::Array<float> uploaded(Kind::cuda, vectors);
    const int64_t half = view.rows / 2;
    cuda::write_stored(uploaded.data(), 0, half, view, nullptr);
    cuda::write_stored(uploaded.data() + half * dimensions, half, view.rows - half, view, nullptr);
    uploaded.get();
  }

  int64_t compare(const std::vector<float>& queries, const Alone& alone, int64_t k) {
    const int64_t count = queries.size() / view.dimensions;
    device::Array<float> q(Kind::cuda, queries), scores(Kind::cuda, count * k);
    device::Array<int32_t> rows(Kind::cuda, count * k);
    device::Array<uint64_t> workspace(Kind::cuda,
                                      cuda::top_k_stored_workspace_bytes(count, view.dimensions) / 8 + 1);
    const int64_t given_up =
        cuda::top_k_stored(q.data(), count, view, k, workspace.data(), scores.data(), rows.data(), nullptr);
    std::vector<float> expected_scores(count * k);
    std::vector<int32_t> expected_rows(count * k);
    top_k(queries.data(), count, alone.corpus, {}, k, 2, expected_scores.data(), expected_rows.data());
    CHECK(scores.get() == expected_scores);
    CHECK(rows.get() == expected_rows);
    check_ranks(queries, alone);
    return given_up;
  }

  void check_ranks(const std::vector<float>& queries, const Alone& alone) {
    const int64_t count = queries.size() / view.dimensions;
    std::vector<int32_t> relevant, offsets = {0};
    for (int64_t q = 0; q < count; ++q) {
      relevant.push_back(static_cast<int32_t>(q * 7 % view.rows));
      relevant.push_back(static_cast<int32_t>(view.rows - 1));
      offsets.push_back(static_cast<int32_t>(relevant.size()));
    }
    std::vector<int32_t> expected(relevant.size());
    ranks(queries.data(), count, alone.corpus, relevant.data(), offsets.data(), 2, expected.data());
    device::Array<float> q(Kind::cuda, queries), scores(Kind::cuda, relevant.size());
    device::Array<int32_t> which(Kind::cuda, relevant), limits(Kind::cuda, offsets),
        found(Kind::cuda, relevant.size());
    device::Array<uint64_t> workspace(Kind::cuda,
                                      cuda::top_k_stored_workspace_bytes(count, view.dimensions) / 8 + 1);
    cuda::ranks_stored(q.data(), count, view, which.data(), limits.data(), workspace.data(), scores.data(),
                       found.data(), nullptr);
    CHECK(found.get() == expected);
  }

  device::Array<float> bounds;
  cuda::StoredCorpus view;
  std::vector<std::unique_ptr<device::Array<char>>> blocks;
  std::unique_ptr<device::Array<char*>> addresses;
};

void gpu_keeps_the_same_numbers(Narrow type) {
  if (device::all().size() < 2) return;
  for (const int64_t dimensions : {1, 7, 20, 136, 384}) {
    if (device::emulated && dimensions > 136) continue;
    const auto x = uneven(device::emulated ? 500 : 20000, dimensions, 27);
    const Alone alone(x, dimensions, type);
    StoredOnDevice gpu(x, dimensions, type);
    for (const int64_t count : {1, 2, 130}) {
      if (device::emulated && count > 2 && dimensions > 20) continue;
      gpu.compare(random_vectors(count, dimensions, 28), alone, 10);
    }
  }
  const auto wide = random_vectors(200, 1100, 33);  // more dimensions than a chain
  StoredOnDevice(wide, 1100, type).compare(random_vectors(2, 1100, 34), Alone(wide, 1100, type), 10);
  const auto x = random_vectors(device::emulated ? 6000 : 100000, 48, 29);
  CHECK(StoredOnDevice(x, 48, type).compare(random_vectors(2, 48, 30), Alone(x, 48, type), 1000) == 0);
  // More equal rows than a list holds.
  const auto one = random_vectors(1, 8, 31);
  std::vector<float> equal;
  for (int64_t r = 0; r < 14000; ++r) equal.insert(equal.end(), one.begin(), one.end());
  CHECK(StoredOnDevice(equal, 8, type).compare(random_vectors(3, 8, 32), Alone(equal, 8, type), 5) == 3);
}

#endif

}  // namespace

int main() {
  return check::run({{"stands for near vectors", [] { both(stands_for_near_vectors); }},
#ifdef XLEMBED_WITH_CUDA
                     {"the GPU keeps the same numbers", [] { both(gpu_keeps_the_same_numbers); }},
#endif
                     {"alone as their vectors", [] { both(alone_as_their_vectors); }}});
}
