// Searches of float32 vectors by way of narrow numbers that are made on the way.
#include <cstring>
#include <limits>

#include "check.h"
#include "float_vectors.h"
#include "kernels/top_k_two_pass.h"

namespace {

using namespace xlembed::kernels;
using namespace float_vectors;

constexpr float kInfinity = std::numeric_limits<float>::infinity(),
                kNan = std::numeric_limits<float>::quiet_NaN();

// Checks that scores and rows are, bit by bit, those of one pass; returns the queries that were given up.
int64_t compare(const std::vector<float>& queries, const Stored& corpus, int64_t k, int threads = 2,
                const Subset& subset = {}) {
  const int64_t count = queries.size() / corpus.view.dimensions;
  std::vector<float> scores(count * k, 7.f), expected_scores(count * k);
  std::vector<int32_t> rows(count * k, 7), expected_rows(count * k);
  const int64_t given_up =
      top_k_two_pass(queries.data(), count, corpus.view, subset, k, threads, scores.data(), rows.data());
  top_k_one_pass(queries.data(), count, corpus.view, subset, k, threads, expected_scores.data(),
                 expected_rows.data());
  CHECK(std::memcmp(scores.data(), expected_scores.data(), scores.size() * sizeof(float)) == 0);
  CHECK(rows == expected_rows);
  return given_up;
}

// The larger number of both. With several threads it depends on who came to which rows.
int64_t compare_layouts(const std::vector<float>& queries, const std::vector<float>& x, int64_t dimensions,
                        int64_t k, int threads = 2) {
  const int64_t given_up = compare(queries, Stored(x, dimensions, Layout::rows), k, threads);
  return std::max(given_up, compare(queries, Stored(x, dimensions, Layout::panels), k, threads));
}

void agrees_with_one_pass() {
  for (const int64_t rows : {1, 31, 47, 48, 49, 1000, 4097}) {
    for (const int64_t dimensions : {1, 7, 384, 1024}) {
      const auto x = random_vectors(rows, dimensions, 1);
      for (const int64_t k : {1, 10, 100, 1000}) {
        if (rows * dimensions > 1'000'000 && k > 10) continue;
        const int64_t queries = rows < 100 ? 3 + rows : 70 + k % 9;
        compare_layouts(random_vectors(queries, dimensions, 2), x, dimensions, k, 1 + rows % 3);
      }
    }
  }
  compare_layouts(random_vectors(1100, 33, 3), random_vectors(500, 33, 4), 33, 5);  // two blocks of queries
}

void narrow_pass_suffices() {
  const int64_t dimensions = 256;
  const auto x = random_vectors(20'000, dimensions, 5);
  const auto many = random_vectors(70, dimensions, 6), few = random_vectors(3, dimensions, 7);
  for (const int64_t k : {1, 10, 100, 1000}) {
    CHECK(compare_layouts(many, x, dimensions, k) == 0);
    CHECK(compare_layouts(few, x, dimensions, k, 3) == 0);
  }
}

// One search by many queries takes two passes, each query alone one.
void same_bits_in_any_company() {
  const int64_t dimensions = 64, rows = 10'001, queries = 80, k = 20;
  const auto x = random_vectors(rows, dimensions, 8), q = random_vectors(queries, dimensions, 9);
  for (const Layout layout : {Layout::panels, Layout::rows}) {
    const Stored corpus(x, dimensions, layout);
    const Found together = find(q, corpus, k);
    for (int64_t i = 0; i < queries; ++i) {
      const Found alone = find({q.begin() + i * dimensions, q.begin() + (i + 1) * dimensions}, corpus, k);
      CHECK(std::equal(alone.scores.begin(), alone.scores.end(), together.scores.begin() + i * k));
      CHECK(std::equal(alone.rows.begin(), alone.rows.end(), together.rows.begin() + i * k));
    }
  }
}

// What values of about 10 lose as bfloat16, or as a sixteen-bit integer of a row of 32.
constexpr float kSpreads[] = {0.05f, 0.003f};

// `count` rows, `every` rows apart, above all others, whose order narrow numbers turn over.
void set_nearly_equal(std::vector<float>& x, int64_t dimensions, int64_t first, int64_t every, int64_t count,
                      float size, float spread) {
  const auto lost = random_vectors(count, dimensions, 29, 0, spread);
  for (int64_t i = 0; i < count; ++i) {
    float* row = &x[(first + i * every) * dimensions];
    for (int64_t d = 0; d < dimensions; ++d) row[d] = size * (10 + lost[i * dimensions + d]);
  }
}

void order_below_the_narrow_resolution() {
  const int64_t dimensions = 32;
  for (const float spread : kSpreads) {
    auto x = random_vectors(20'000, dimensions, 10);
    set_nearly_equal(x, dimensions, 0, 97, 200, 1, spread);
    CHECK(compare_layouts(random_vectors(70, dimensions, 11, 1.f), x, dimensions, 20) == 0);
  }
}

// What the first rows are off by says nothing about later, longer ones.
void lengths_that_grow() {
  const int64_t dimensions = 32, rows = 20'000;
  const auto q = random_vectors(70, dimensions, 13, 1.f);
  for (const float spread : kSpreads) {
    auto x = random_vectors(rows, dimensions, 12, 0, 1e-3f);
    for (const int64_t first : {5'000, 10'000, 15'000})
      set_nearly_equal(x, dimensions, first, 2, 60, static_cast<float>(first) / 10'000, spread);
    CHECK(compare_layouts(q, x, dimensions, 20, 1) == 0);
    compare_layouts(q, x, dimensions, 20, 2);
    for (int64_t i = 0; i < rows * dimensions; ++i)
      x[i] *= std::exp(static_cast<float>(i / dimensions) * 1e-3f);
    compare_layouts(q, x, dimensions, 20, 1);
  }
}

// Rows that are off by more than the scores of all before them: large values that a query's equal ones
// cancel.
void long_rows_at_the_end() {
  const int64_t dimensions = 32, rows = 12'000;
  auto x = random_vectors(rows, dimensions, 30);
  for (int64_t i = (rows - 50) * dimensions; i < rows * dimensions; i += 2) {
    x[i] = 500 + 3 * x[i];
    x[i + 1] = -500;
  }
  auto q = random_vectors(70, dimensions, 31);
  for (size_t i = 0; i < q.size(); i += 2) q[i + 1] = q[i];
  CHECK(compare_layouts(q, x, dimensions, 20, 1) == 0);
  compare_layouts(q, x, dimensions, 20, 2);
}

// More rows within the margin than it pays to score.
void many_nearly_equal_rows() {
  const int64_t dimensions = 48, rows = 12'000;
  auto x = random_vectors(rows, dimensions, 14);
  set_nearly_equal(x, dimensions, 0, 2, rows / 2, 1, 1e-4f);
  CHECK(compare_layouts(random_vectors(70, dimensions, 15, 1.f), x, dimensions, 10) == 70);
  for (float& value : x) value = 3;
  CHECK(compare_layouts(random_vectors(70, dimensions, 15), x, dimensions, 10) == 70);
  // Few of the queries look that way: the others are answered.
  x = random_vectors(rows, dimensions, 14);
  set_nearly_equal(x, dimensions, 0, 2, rows / 2, 1, 1e-4f);
  for (int64_t i = 0; i < rows * dimensions; ++i) x[i] = i % dimensions < 24 ? x[i] : x[i] / 1000;
  auto q = random_vectors(70, dimensions, 16);
  for (int64_t i = 0; i < 70 * dimensions; ++i) {
    const bool looks_that_way = i / dimensions % 7 == 0;
    q[i] = looks_that_way == (i % dimensions < 24) ? std::fabs(q[i]) : 0;
  }
  const int64_t given_up = compare_layouts(q, x, dimensions, 10);
  CHECK(given_up >= 10 && given_up <= 70);
}

void zero_vectors() {
  const int64_t dimensions = 40, rows = 3000;
  auto x = random_vectors(rows, dimensions, 17);
  for (int64_t r = 0; r < rows; r += 3) std::fill_n(&x[r * dimensions], dimensions, r % 2 == 0 ? 0.f : -0.f);
  auto q = random_vectors(70, dimensions, 18);
  CHECK(compare_layouts(q, x, dimensions, 10) == 0);
  std::fill_n(q.begin(), dimensions, 0.f);
  CHECK(compare_layouts(q, x, dimensions, 10) == 1);
  std::fill(x.begin(), x.end(), 0.f);
  CHECK(compare_layouts(q, x, dimensions, 10) == 70);
}

void rows_with_nan_are_never_found() {
  const int64_t dimensions = 35, rows = 9000;
  auto x = random_vectors(rows, dimensions, 19);
  for (int64_t r = 0; r < rows; r += 7) {  // they would be the best
    for (int64_t d = 0; d < dimensions; ++d) x[r * dimensions + d] = 50;
    uint32_t bits = 0x7FFFFFFFu;  // which rounds to a number
    std::memcpy(&x[r * dimensions + r % dimensions], &bits, sizeof bits);
  }
  const auto q = random_vectors(70, dimensions, 20, 1.f);
  CHECK(compare_layouts(q, x, dimensions, 10) == 0);
  std::fill(x.begin(), x.end(), kNan);
  compare_layouts(q, x, dimensions, 10);
}

// Scores that are not finite, or whose bounds are not.
void huge_and_tiny_values() {
  const int64_t dimensions = 33, rows = 3000;
  const auto usual = random_vectors(rows, dimensions, 21), q = random_vectors(70, dimensions, 22);
  for (const float value : {1e16f, 1e25f, -3e38f, kInfinity, -kInfinity}) {
    auto x = usual;
    for (int64_t r = 100; r < rows; r += 900) x[r * dimensions + r % dimensions] = value;
    compare_layouts(q, x, dimensions, 10);
    auto some = q;
    for (int64_t i = 0; i < 5; ++i) some[i * 14 * dimensions + i] = value;
    CHECK(compare_layouts(some, usual, dimensions, 10) == 5);
    compare_layouts(some, x, dimensions, 10);
  }
  for (const float length : {1e-42f, 1e-33f, 1e-18f, 1e-12f, 1e-9f, 1e-3f, 1e12f, 1e18f, 1e30f}) {
    const auto x = random_vectors(rows, dimensions, 23, 0, length);
    compare_layouts(q, x, dimensions, 10);
    compare_layouts(random_vectors(70, dimensions, 24, 0, 1 / length), x, dimensions, 10);
  }
  auto x = usual;
  for (int64_t i = 0; i < rows * dimensions; ++i) x[i] *= i / dimensions % 2 == 0 ? 1e-20f : 1e-13f;
  compare_layouts(q, x, dimensions, 10);
}

// What is in the memory of rows that are not there makes no difference to bounds.
void lanes_beyond_the_last_row() {
  const int64_t dimensions = 64;
  const auto x = random_vectors(1001, dimensions, 25), q = random_vectors(70, dimensions, 26);
  for (const float rest : {1e30f, kInfinity, kNan}) {
    Stored corpus(x, dimensions);
    float* last = const_cast<float*>(corpus.addresses.back());
    for (int64_t lane = 1001 % kPanelRows; lane < kPanelRows; ++lane) {
      float* panel = last + 1001 % 96 / kPanelRows * kPanelRows * dimensions;
      for (int64_t d = 0; d < dimensions; ++d) panel[d * kPanelRows + lane] = rest;
    }
    CHECK(compare(q, corpus, 10) == 0);
  }
}

void subsets_agree() {
  const int64_t dimensions = 50, rows = 12'000;
  const auto x = random_vectors(rows, dimensions, 27), q = random_vectors(70, dimensions, 28);
  std::vector<int32_t> some;
  for (int32_t row = 3; row < rows; row += 1 + row % 5) some.push_back(row);
  const std::vector<int32_t> one = {77};
  for (const std::vector<int32_t>& only : {some, one, std::vector<int32_t>{}}) {
    for (const Layout layout : {Layout::panels, Layout::rows}) {
      const Subset subset{only.data(), static_cast<int64_t>(only.size())};
      CHECK(compare(q, Stored(x, dimensions, layout), 30, 2, subset) == 0);
    }
  }
}

}  // namespace

int main() {
  return check::run({{"agrees with one pass", agrees_with_one_pass},
                     {"the narrow pass suffices", narrow_pass_suffices},
                     {"same bits in any company", same_bits_in_any_company},
                     {"order below the narrow resolution", order_below_the_narrow_resolution},
                     {"lengths that grow", lengths_that_grow},
                     {"long rows at the end", long_rows_at_the_end},
                     {"many nearly equal rows", many_nearly_equal_rows},
                     {"zero vectors", zero_vectors},
                     {"rows with NaN are never found", rows_with_nan_are_never_found},
                     {"huge and tiny values", huge_and_tiny_values},
                     {"lanes beyond the last row", lanes_beyond_the_last_row},
                     {"subsets agree", subsets_agree}});
}
