#include <algorithm>
#include <limits>
#include <memory>

#include "check.h"
#include "device.h"
#include "float_vectors.h"

namespace {

using namespace xlembed::kernels;
using namespace float_vectors;

double exact(const float* a, const float* b, int64_t dimensions) {
  double sum = 0;
  for (int64_t d = 0; d < dimensions; ++d) sum += static_cast<double>(a[d]) * b[d];
  return sum;
}

// The scores of rows found are the k largest in float64, up to float32 rounding, and belong to those rows.
void compare_with_float64(int64_t queries, int64_t rows, int64_t dimensions, int64_t k) {
  const auto q = random_vectors(queries, dimensions, 1);
  const auto x = random_vectors(rows, dimensions, 2);
  const Found found = find(q, Stored(x, dimensions), k);
  for (int64_t i = 0; i < queries; ++i) {
    std::vector<double> all(rows);
    for (int64_t r = 0; r < rows; ++r) all[r] = exact(&q[i * dimensions], &x[r * dimensions], dimensions);
    std::vector<double> sorted = all;
    std::sort(sorted.rbegin(), sorted.rend());
    std::vector<int32_t> unique;
    for (int64_t j = 0; j < std::min(k, rows); ++j) {
      const int32_t row = found.rows[i * k + j];
      CHECK(row >= 0 && row < rows);
      unique.push_back(row);
      CHECK_CLOSE(found.scores[i * k + j], all[row], 1e-4, 1e-5);
      CHECK_CLOSE(found.scores[i * k + j], sorted[j], 1e-4, 1e-5);
    }
    std::sort(unique.begin(), unique.end());
    CHECK(std::adjacent_find(unique.begin(), unique.end()) == unique.end());
  }
}

void matches_float64() {
  for (const int64_t queries : {1, 2, 3, 7, 8, 9, 17, 33, 97, 300}) {
    for (const int64_t rows : {1, 47, 48, 49, 500}) compare_with_float64(queries, rows, 20, 10);
  }
  for (const int64_t rows : {1, 31, 33, 1000, 4097}) {
    for (const int64_t dimensions : {1, 7, 384, 1024}) compare_with_float64(5, rows, dimensions, 100);
  }
  compare_with_float64(1100, 100, 3, 2);  // more queries than one block holds
}

void same_bits_in_any_company() {
  const int64_t dimensions = 100;
  const auto q = random_vectors(21, dimensions, 3);
  const Stored corpus(random_vectors(1000, dimensions, 4), dimensions);
  const Found together = find(q, corpus, 7);
  for (const int threads : {1, 3}) {
    for (int64_t i = 0; i < 21; ++i) {
      const Found alone =
          find({q.begin() + i * dimensions, q.begin() + (i + 1) * dimensions}, corpus, 7, threads);
      CHECK(std::equal(alone.scores.begin(), alone.scores.end(), together.scores.begin() + i * 7));
      CHECK(std::equal(alone.rows.begin(), alone.rows.end(), together.rows.begin() + i * 7));
    }
  }
}

void equal_bits_on_every_run() {
  const int64_t dimensions = 100;
  const auto q = random_vectors(21, dimensions, 3);
  const Stored corpus(random_vectors(1000, dimensions, 4), dimensions);
  const Found first = find(q, corpus, 7);
  for (int run = 0; run < 100; ++run) {
    const Found again = find(q, corpus, 7);
    CHECK(device::equal_bits(again.scores, first.scores) && again.rows == first.rows);
  }
}

void equal_scores_by_smaller_row() {
  const int64_t dimensions = 30, rows = 2000;
  const auto one = random_vectors(1, dimensions, 5);
  std::vector<float> x;
  for (int64_t r = 0; r < rows; ++r) x.insert(x.end(), one.begin(), one.end());
  const Found found = find(random_vectors(3, dimensions, 6), Stored(x, dimensions), 300);
  for (int64_t i = 0; i < 3 * 300; ++i) CHECK(found.rows[i] == i % 300);
}

void fewer_rows_than_k() {
  const Found found = find(random_vectors(2, 5, 7), Stored(random_vectors(3, 5, 8), 5), 6);
  for (int64_t i = 0; i < 12; ++i) {
    CHECK((found.rows[i] == -1) == (i % 6 >= 3));
    CHECK((found.scores[i] == -std::numeric_limits<float>::infinity()) == (i % 6 >= 3));
  }
  const Found empty = find(random_vectors(2, 5, 7), Stored({}, 5), 2);
  CHECK(empty.rows == std::vector<int32_t>(4, -1));
}

void every_row_has_its_rank() {
  const int64_t dimensions = 24, rows = 301, queries = 11;
  auto x = random_vectors(rows, dimensions, 9);
  for (int64_t r = 0; r < 40; ++r) {  // repeated vectors: ties
    std::copy_n(&x[r * dimensions], dimensions, &x[(r * 7 % 300) * dimensions]);
  }
  const auto q = random_vectors(queries, dimensions, 10);
  const Stored corpus(x, dimensions);
  const Found full = find(q, corpus, rows);
  std::vector<int32_t> relevant, offsets = {0}, found(queries * rows);
  for (int64_t i = 0; i < queries; ++i) {
    relevant.insert(relevant.end(), full.rows.begin() + i * rows, full.rows.begin() + (i + 1) * rows);
    offsets.push_back(static_cast<int32_t>(relevant.size()));
  }
  ranks(q.data(), queries, corpus.view, relevant.data(), offsets.data(), 2, found.data());
  for (int64_t i = 0; i < queries * rows; ++i) CHECK(found[i] == i % rows + 1);
}

void rows_with_nan_stand_last() {
  const int64_t dimensions = 5, rows = 101;
  auto x = random_vectors(rows, dimensions, 15);
  const std::vector<int32_t> relevant = {0, 60, 100, 3}, offsets = {0, 4};
  for (int i = 0; i < 3; ++i) x[relevant[i] * dimensions + i] = std::numeric_limits<float>::quiet_NaN();
  const auto q = random_vectors(1, dimensions, 16);
  for (const Layout layout : {Layout::panels, Layout::rows}) {
    const Stored corpus(x, dimensions, layout);
    const Found found = find(q, corpus, rows);
    CHECK(found.rows[97] >= 0 && found.rows[98] == -1);
    std::vector<int32_t> rank(4);
    ranks(q.data(), 1, corpus.view, relevant.data(), offsets.data(), 2, rank.data());
    for (int i = 0; i < 3; ++i) CHECK(rank[i] == rows - 2);
    CHECK(found.rows[rank[3] - 1] == 3);
  }
}

void ranks_of_more_queries_than_a_block() {
  const int64_t queries = 1500, dimensions = 8;
  const auto x = random_vectors(200, dimensions, 11);
  const Stored corpus(x, dimensions);
  const auto q = random_vectors(queries, dimensions, 12);
  const Found best = find(q, corpus, 4);
  std::vector<int32_t> relevant, offsets = {0};
  for (int64_t i = 0; i < queries; ++i) {
    if (i % 3 != 0) relevant.push_back(best.rows[i * 4 + i % 4]);  // every third query has none
    offsets.push_back(static_cast<int32_t>(relevant.size()));
  }
  std::vector<int32_t> found(relevant.size());
  ranks(q.data(), queries, corpus.view, relevant.data(), offsets.data(), 2, found.data());
  for (int64_t i = 0; i < queries; ++i) {
    if (i % 3 != 0) CHECK(found[offsets[i]] == i % 4 + 1);
  }
}

void layouts_and_subsets_agree() {
  const int64_t dimensions = 37, rows = 700;
  const auto x = random_vectors(rows, dimensions, 13), q = random_vectors(10, dimensions, 15);
  const Stored panels(x, dimensions), plain(x, dimensions, Layout::rows);
  const Found whole = find(q, panels, rows), other = find(q, plain, rows);
  CHECK(whole.rows == other.rows && whole.scores == other.scores);
  std::vector<int32_t> some;
  for (int32_t row = 3; row < rows; row += 1 + row % 5) some.push_back(row);
  const int64_t count = static_cast<int64_t>(some.size());
  const Found inside = find(q, panels, count + 1, 2, &some), outside = find(q, plain, count + 1, 3, &some);
  CHECK(inside.rows == outside.rows && inside.scores == outside.scores);
  for (int64_t i = 0; i < 10; ++i) {  // the full ranking, less the rows that are not allowed
    int64_t at = i * (count + 1);
    for (int64_t j = i * rows; j < (i + 1) * rows; ++j) {
      if (!std::binary_search(some.begin(), some.end(), whole.rows[j])) continue;
      CHECK(inside.rows[at] == whole.rows[j] && inside.scores[at] == whole.scores[j]);
      ++at;
    }
    CHECK(inside.rows[at] == -1);
  }
  const std::vector<int32_t> none;
  CHECK(find(q, panels, 1, 2, &none).rows == std::vector<int32_t>(10, -1));
}

#ifdef XLEMBED_WITH_CUDA

// The GPU's answers, vectors written in two pieces to blocks of two panels, or of more than a tile has.
struct OnDevice {
  OnDevice(const std::vector<float>& vectors, int64_t dimensions)
      : view{nullptr, dimensions == 20 ? 96 : 480, static_cast<int64_t>(vectors.size()) / dimensions,
             dimensions, Layout::panels},
        uploaded(device::Kind::cuda, vectors) {
    for (int64_t first = 0; first < view.rows; first += view.rows_per_block) {
      blocks.push_back(std::make_unique<device::Array<float>>(
          device::Kind::cuda, std::vector<float>(view.rows_per_block * dimensions)));
      addresses.push_back(blocks.back()->data());
    }
    view.blocks = addresses.data();
    const int64_t half = view.rows / 2;
    cuda::write_vectors(uploaded.data(), 0, half, view, nullptr);
    cuda::write_vectors(uploaded.data() + half * dimensions, half, view.rows - half, view, nullptr);
  }

  Found find(const std::vector<float>& queries, int64_t k) {
    const int64_t count = queries.size() / view.dimensions;
    device::Array<float> q(device::Kind::cuda, queries), scores(device::Kind::cuda, count * k);
    device::Array<int32_t> rows(device::Kind::cuda, count * k);
    device::Array<char> workspace(device::Kind::cuda, cuda::top_k_workspace_bytes(count, view.dimensions));
    cuda::top_k(q.data(), count, view, k, workspace.data(), scores.data(), rows.data(), nullptr);
    return {scores.get(), rows.get()};
  }

  std::vector<int32_t> ranks_of(const std::vector<float>& queries, const std::vector<int32_t>& relevant,
                                const std::vector<int32_t>& offsets) {
    const int64_t count = queries.size() / view.dimensions;
    device::Array<float> q(device::Kind::cuda, queries), scores(device::Kind::cuda, relevant.size());
    device::Array<int32_t> rows(device::Kind::cuda, relevant), bounds(device::Kind::cuda, offsets);
    device::Array<int32_t> found(device::Kind::cuda, relevant.size());
    device::Array<char> workspace(device::Kind::cuda, cuda::top_k_workspace_bytes(count, view.dimensions));
    cuda::ranks(q.data(), count, view, rows.data(), bounds.data(), workspace.data(), scores.data(),
                found.data(), nullptr);
    return found.get();
  }

  Corpus view;
  device::Array<float> uploaded;
  std::vector<std::unique_ptr<device::Array<float>>> blocks;
  std::vector<const float*> addresses;
};

void compare_with_cpu(const std::vector<float>& x, int64_t dimensions, int64_t k,
                      const std::vector<int64_t>& query_counts) {
  const Stored host(x, dimensions);
  OnDevice gpu(x, dimensions);
  for (const int64_t count : query_counts) {
    const auto q = random_vectors(count, dimensions, 20);
    const Found expected = find(q, host, k), found = gpu.find(q, k);
    CHECK(found.rows == expected.rows);
    CHECK(found.scores == expected.scores);
    std::vector<int32_t> offsets = {0}, relevant, ranks;
    for (int64_t i = 0; i < count * k; ++i) {
      if (expected.rows[i] >= 0 && i % 3 != 0) {
        relevant.push_back(expected.rows[i]);
        ranks.push_back(static_cast<int32_t>(i % k) + 1);
      }
      if (i % k == k - 1) offsets.push_back(static_cast<int32_t>(relevant.size()));
    }
    CHECK(gpu.ranks_of(q, relevant, offsets) == ranks);
  }
}

void gpu_gives_the_same_bits() {
  if (device::all().size() < 2) return;
  const std::vector<int64_t> counts = {1, 9, 16, 17, 70, 131}, few = {1, 17};
  for (const int64_t dimensions : {1, 20, 128, 384, 500}) {
    if (device::emulated && dimensions > 128) continue;
    compare_with_cpu(random_vectors(device::emulated ? 700 : 10000, dimensions, 21), dimensions, 10, counts);
  }
  compare_with_cpu(random_vectors(200, 1100, 24), 1100, 10, few);  // more than a chain
  compare_with_cpu(random_vectors(device::emulated ? 5000 : 50000, 24, 22), 24, 1000, few);
  compare_with_cpu(random_vectors(30, 24, 23), 24, 100, counts);
#ifdef XLEMBED_EMULATED_CUDA
  const size_t usual = emulation::most_shared_bytes;
  emulation::most_shared_bytes = 90000;  // compute capability 8.6, 8.9, 12.0
  compare_with_cpu(random_vectors(200, 1100, 24), 1100, 10, {1, 9, 17});
  emulation::most_shared_bytes = usual;
#endif
  // Every row better than all before it: lists overflow, and the search begins again in smaller slabs.
  std::vector<float> rising(device::emulated ? 14000 : 40000);
  for (size_t i = 0; i < rising.size(); ++i) rising[i] = static_cast<float>(i / 3);
  compare_with_cpu(rising, 1, 50, few);
}

#endif

void names_unusable_rows() {
  auto x = random_vectors(10, 21, 14);
  CHECK(first_unusable_row(x.data(), 10, 21) == 10);
  x[9 * 21 + 20] = std::numeric_limits<float>::quiet_NaN();
  CHECK(first_unusable_row(x.data(), 10, 21) == 9);
  x[4 * 21] = -std::numeric_limits<float>::infinity();
  CHECK(first_unusable_row(x.data(), 10, 21) == 4);
  x[3 * 21 + 7] = 1e25f;  // its square is no float32
  CHECK(first_unusable_row(x.data(), 10, 21) == 3);
}

}  // namespace

int main() {
  return check::run({{"matches float64", matches_float64},
                     {"same bits in any company", same_bits_in_any_company},
                     {"equal bits on every run", equal_bits_on_every_run},
                     {"equal scores by smaller row", equal_scores_by_smaller_row},
                     {"fewer rows than k", fewer_rows_than_k},
                     {"every row has its rank", every_row_has_its_rank},
                     {"rows with NaN stand last", rows_with_nan_stand_last},
                     {"ranks of more queries than a block", ranks_of_more_queries_than_a_block},
                     {"layouts and subsets agree", layouts_and_subsets_agree},
#ifdef XLEMBED_WITH_CUDA
                     {"the GPU gives the same bits", gpu_gives_the_same_bits},
#endif
                     {"names unusable rows", names_unusable_rows}});
}
