#include <algorithm>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>

#include "check.h"
#include "device.h"
#include "kernels/quantize.h"
#include "kernels/top_k_binary.h"

namespace {

using namespace xlembed::kernels;
using device::Array;
using device::Kind;

// The signs of random vectors (count, D), packed.
std::vector<uint8_t> random_bits(int64_t count, int64_t dimensions, uint64_t seed) {
  const auto vectors = device::random<float>(count * dimensions, seed);
  std::vector<uint8_t> bits(count * binary_bytes(dimensions));
  quantize_binary(vectors.data(), count, dimensions, bits.data());
  return bits;
}

// Rows in blocks of 96, written in two pieces.
struct Stored {
  Stored(Kind kind, const std::vector<uint8_t>& bits, int64_t rows, int64_t dimensions)
      : kind(kind), view{nullptr, 96, rows, dimensions} {
    for (int64_t first = 0; first < rows; first += 96) {
      // A full block that is aligned: 64 bytes more than needed. Rows past the last one are all ones.
      blocks.push_back(std::make_unique<Array<uint32_t>>(kind, 96 * binary_words(dimensions) + 16));
      const auto address = reinterpret_cast<uintptr_t>(blocks.back()->data());
      addresses.push_back(reinterpret_cast<uint32_t*>((address + 63) / 64 * 64));
    }
    view.blocks = addresses.data();
    const int64_t half = rows / 2;
    write(bits.data(), 0, half);
    write(bits.data() + half * binary_bytes(dimensions), half, rows - half);
  }

  void write(const uint8_t* bits, int64_t first, int64_t count) {
    Array<uint8_t> piece(kind, {bits, bits + count * binary_bytes(view.dimensions)});
#ifdef XLEMBED_WITH_CUDA
    if (kind == Kind::cuda) {
      cuda::write_binary(piece.data(), first, count, view, nullptr);
      device::require(cudaStreamSynchronize(nullptr));
      return;
    }
#endif
    write_binary(piece.data(), first, count, view, 2);
  }

  Kind kind;
  BinaryCorpus view;
  std::vector<std::unique_ptr<Array<uint32_t>>> blocks;
  std::vector<uint32_t*> addresses;
};

struct Found {
  std::vector<float> scores;
  std::vector<int32_t> rows;
};

Found find(const std::vector<uint8_t>& queries, int64_t count, const Stored& corpus, int64_t k,
           int threads = 2) {
  Array<uint8_t> q(corpus.kind, queries);
  Array<float> scores(corpus.kind, count * k);
  Array<int32_t> rows(corpus.kind, count * k);
#ifdef XLEMBED_WITH_CUDA
  if (corpus.kind == Kind::cuda) {
    Array<uint64_t> workspace(corpus.kind, cuda::top_k_list_bytes(count) / 8 + 2);
    cuda::top_k_binary(q.data(), count, corpus.view, k, workspace.data(), scores.data(), rows.data(),
                       nullptr);
    return {scores.get(), rows.get()};
  }
#endif
  top_k_binary(q.data(), count, corpus.view, {}, k, threads, scores.data(), rows.data());
  return {scores.get(), rows.get()};
}

int64_t distance(const uint8_t* a, const uint8_t* b, int64_t dimensions) {
  int64_t differing = 0;
  for (int64_t d = 0; d < dimensions; ++d) differing += (a[d / 8] ^ b[d / 8]) >> (7 - d % 8) & 1;
  return differing;
}

// Every row of the corpus by (distance, row).
std::vector<std::pair<int64_t, int32_t>> ranking(const uint8_t* query, const std::vector<uint8_t>& bits,
                                                 int64_t rows, int64_t dimensions) {
  std::vector<std::pair<int64_t, int32_t>> all;
  for (int64_t r = 0; r < rows; ++r) {
    all.emplace_back(distance(query, &bits[r * binary_bytes(dimensions)], dimensions),
                     static_cast<int32_t>(r));
  }
  std::sort(all.begin(), all.end());
  return all;
}

void compare_with_a_plain_loop(Kind kind, int64_t queries, int64_t rows, int64_t dimensions, int64_t k) {
  const auto q = random_bits(queries, dimensions, 1), x = random_bits(rows, dimensions, 2);
  const Found found = find(q, queries, Stored(kind, x, rows, dimensions), k);
  for (int64_t i = 0; i < queries; ++i) {
    const auto expected = ranking(&q[i * binary_bytes(dimensions)], x, rows, dimensions);
    for (int64_t j = 0; j < k; ++j) {
      const bool there = j < rows;
      CHECK(found.rows[i * k + j] == (there ? expected[j].second : -1));
      CHECK(found.scores[i * k + j] == (there ? static_cast<float>(dimensions - 2 * expected[j].first)
                                              : -std::numeric_limits<float>::infinity()));
    }
  }
}

void matches_a_plain_loop() {
  for (const Kind kind : device::all()) {
    const bool slow = device::emulated && kind == Kind::cuda;
    for (const int64_t dimensions : {1, 7, 31, 32, 33, 384, 1024}) {
      for (const int64_t rows : {1, 31, 33, 49, slow ? 100 : 1000})
        compare_with_a_plain_loop(kind, 9, rows, dimensions, 10);
    }
    compare_with_a_plain_loop(kind, 2, 200, 5000, 17);  // more words than shared memory holds
    if (slow) {
      compare_with_a_plain_loop(kind, 3, 4500, 40, 100);  // more rows than the first slab has
      continue;
    }
    for (const int64_t queries : {1, 2, 8, 33}) compare_with_a_plain_loop(kind, queries, 4097, 384, 1000);
    compare_with_a_plain_loop(kind, 1100, 97, 40, 3);  // more queries than one block holds
  }
}

void same_answer_in_any_company() {
  for (const Kind kind : device::all()) {
    const int64_t dimensions = 100, bytes = binary_bytes(dimensions), rows = 300;
    const auto q = random_bits(21, dimensions, 3);
    const Stored corpus(kind, random_bits(rows, dimensions, 4), rows, dimensions);
    const Found together = find(q, 21, corpus, 7);
    for (const int threads : {1, 3}) {
      for (int64_t i = 0; i < 21; i += 4) {
        const Found alone = find({&q[i * bytes], &q[i * bytes] + bytes}, 1, corpus, 7, threads);
        CHECK(std::equal(alone.scores.begin(), alone.scores.end(), together.scores.begin() + i * 7));
        CHECK(std::equal(alone.rows.begin(), alone.rows.end(), together.rows.begin() + i * 7));
      }
    }
  }
}

// Equal distances go by the smaller row, also where far more rows tie than are asked for.
void ties_by_smaller_row() {
  for (const Kind kind : device::all()) {
    const int64_t rows = 10000, dimensions = 64;
    std::vector<uint8_t> x(rows * 8, 0x0F);
    const Found found = find(std::vector<uint8_t>(16, 0xF0), 2, Stored(kind, x, rows, dimensions), 500);
    for (int64_t i = 0; i < 1000; ++i) CHECK(found.rows[i] == i % 500 && found.scores[i] == -64);
  }
}

void only_a_subset() {
  const int64_t rows = 700, dimensions = 50, k = 30;
  const auto q = random_bits(5, dimensions, 5), x = random_bits(rows, dimensions, 6);
  const Stored corpus(Kind::cpu, x, rows, dimensions);
  std::vector<int32_t> some;
  for (int32_t row = 3; row < rows; row += 7) some.push_back(row);
  std::vector<float> scores(5 * k);
  std::vector<int32_t> found(5 * k);
  top_k_binary(q.data(), 5, corpus.view, {some.data(), static_cast<int64_t>(some.size())}, k, 2,
               scores.data(), found.data());
  for (int64_t i = 0; i < 5; ++i) {
    std::vector<int32_t> expected;
    for (const auto& [distance, row] : ranking(&q[i * binary_bytes(dimensions)], x, rows, dimensions)) {
      if (row % 7 == 3) expected.push_back(row);
    }
    CHECK(std::equal(found.begin() + i * k, found.begin() + (i + 1) * k, expected.begin()));
  }
}

std::vector<int32_t> find_ranks(const std::vector<uint8_t>& queries, const Stored& corpus,
                                const std::vector<int32_t>& relevant, const std::vector<int32_t>& offsets) {
  const int64_t count = offsets.size() - 1;
  Array<uint8_t> q(corpus.kind, queries);
  Array<int32_t> rows(corpus.kind, relevant), bounds(corpus.kind, offsets);
  Array<int32_t> ranks(corpus.kind, relevant.size());
#ifdef XLEMBED_WITH_CUDA
  if (corpus.kind == Kind::cuda) {
    Array<float> scores(corpus.kind, relevant.size());
    cuda::ranks_binary(q.data(), count, corpus.view, rows.data(), bounds.data(), scores.data(), ranks.data(),
                       nullptr);
    return ranks.get();
  }
#endif
  ranks_binary(q.data(), count, corpus.view, rows.data(), bounds.data(), 3, ranks.data());
  return ranks.get();
}

void check_ranks(Kind kind, int64_t rows, int64_t dimensions, int64_t count) {
  const auto q = random_bits(count, dimensions, 7), x = random_bits(rows, dimensions, 8);
  const Stored corpus(kind, x, rows, dimensions);
  std::vector<int32_t> relevant, offsets = {0};
  for (int64_t i = 0; i < count; ++i) {
    for (int32_t row = static_cast<int32_t>(i); row < rows; row += 11) relevant.push_back(row);
    offsets.push_back(static_cast<int32_t>(relevant.size()));
  }
  const std::vector<int32_t> ranks = find_ranks(q, corpus, relevant, offsets);
  for (int64_t i = 0; i < count; ++i) {
    const auto all = ranking(&q[i * binary_bytes(dimensions)], x, rows, dimensions);
    for (int32_t j = offsets[i]; j < offsets[i + 1]; ++j) CHECK(all[ranks[j] - 1].second == relevant[j]);
  }
}

void ranks_are_places_in_the_ranking() {
  for (const Kind kind : device::all()) {
    check_ranks(kind, 500, 24, 4);
    check_ranks(kind, 97, 70, 11);
    check_ranks(kind, 50, 33, 1);
  }
}

void no_rows_no_queries() {
  for (const Kind kind : device::all()) {
    CHECK(find(random_bits(2, 9, 9), 2, Stored(kind, {}, 0, 9), 3).rows == std::vector<int32_t>(6, -1));
    CHECK(find({}, 0, Stored(kind, random_bits(3, 9, 10), 3, 9), 3).rows.empty());
  }
}

}  // namespace

int main() {
  return check::run({{"matches a plain loop", matches_a_plain_loop},
                     {"same answer in any company", same_answer_in_any_company},
                     {"ties by smaller row", ties_by_smaller_row},
                     {"only a subset", only_a_subset},
                     {"ranks are places in the ranking", ranks_are_places_in_the_ranking},
                     {"no rows, no queries", no_rows_no_queries}});
}
