#include <limits>
#include <string>

#include "check.h"
#include "core/error.h"
#include "core/flat_index.h"

namespace {

using xlembed::FlatIndex;
using xlembed::SearchResult;

at::Tensor random_vectors(int64_t count, int64_t dimensions, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return at::randn({count, dimensions}, generator, at::kFloat);
}

void matches_a_product_in_float64() {
  const int64_t dimensions = 64, rows = 3000, count = 19, k = 50;
  const at::Tensor x = random_vectors(rows, dimensions, 1), q = random_vectors(count, dimensions, 2);
  FlatIndex index(dimensions, at::kCPU);
  for (int64_t begin = 0; begin < rows;) {  // in uneven pieces
    const int64_t piece = std::min<int64_t>(rows - begin, 1 + begin % 777);
    index.add(x.const_data_ptr<float>() + begin * dimensions, piece);
    begin += piece;
  }
  CHECK(index.size() == rows);
  const SearchResult found = index.search(q.const_data_ptr<float>(), count, k);
  const at::Tensor all = at::mm(q.to(at::kDouble), x.to(at::kDouble).t());
  const auto [scores, ids] = all.topk(k, 1, true, true);
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < k; ++j) {
      CHECK_CLOSE(found.scores[i * k + j], scores[i][j].item<double>(), 1e-5, 1e-5);
      CHECK_CLOSE(all[i][found.ids[i * k + j]].item<double>(), scores[i][j].item<double>(), 1e-5, 1e-5);
    }
  }
}

void grows_over_several_blocks() {
  const int64_t dimensions = 4096, rows = 9000;  // 147 MB
  FlatIndex index(dimensions, at::kCPU);
  std::vector<float> piece(500 * dimensions, 0.f);
  for (int64_t begin = 0; begin < rows; begin += 500) {
    for (int64_t r = 0; r < 500; ++r) piece[r * dimensions + 17] = static_cast<float>(begin + r);
    index.add(piece.data(), 500);
  }
  std::vector<float> query(dimensions, 0.f);
  query[17] = 1;
  const SearchResult found = index.search(query.data(), 1, 3);
  CHECK((found.ids == std::vector<int32_t>{8999, 8998, 8997}));
  CHECK((found.scores == std::vector<float>{8999, 8998, 8997}));
}

void ranks_agree_with_search() {
  const int64_t dimensions = 16, rows = 700, count = 5;
  const at::Tensor x = random_vectors(rows, dimensions, 3), q = random_vectors(count, dimensions, 4);
  FlatIndex index(dimensions, at::kCPU);
  index.add(x.const_data_ptr<float>(), rows);
  const SearchResult full = index.search(q.const_data_ptr<float>(), count, rows);
  std::vector<int32_t> offsets;
  for (int64_t i = 0; i <= count; ++i) offsets.push_back(static_cast<int32_t>(i * rows));
  const auto ranks = index.ranks(q.const_data_ptr<float>(), count, full.ids.data(), offsets.data());
  for (int64_t i = 0; i < count * rows; ++i) CHECK(ranks[i] == i % rows + 1);
}

void removed_rows_are_gone() {
  const int64_t dimensions = 9, rows = 400;
  const at::Tensor x = random_vectors(rows, dimensions, 5), q = random_vectors(3, dimensions, 6);
  FlatIndex index(dimensions, at::kCPU), expected(dimensions, at::kCPU);
  index.add(x.const_data_ptr<float>(), rows);
  std::vector<int32_t> gone;
  for (int32_t row = 0; row < rows; ++row) {
    if (row % 7 == 0 || row == 399) {
      gone.push_back(row);
    } else {
      expected.add(x.const_data_ptr<float>() + row * dimensions, 1);
    }
  }
  index.remove(gone.data(), gone.size());
  CHECK(index.size() == expected.size());
  CHECK(index.vectors(0, index.size()) == expected.vectors(0, expected.size()));
  const SearchResult left = index.search(q.const_data_ptr<float>(), 3, 20);
  const SearchResult right = expected.search(q.const_data_ptr<float>(), 3, 20);
  CHECK(left.ids == right.ids && left.scores == right.scores);
}

void a_narrow_copy_changes_nothing() {
  const int64_t dimensions = 70, rows = 5000, count = 40;
  const at::Tensor x = random_vectors(rows, dimensions, 7), q = random_vectors(count, dimensions, 8);
  const float* queries = q.const_data_ptr<float>();
  FlatIndex plain(dimensions, at::kCPU);
  std::vector<int32_t> gone, some;
  for (int32_t row = 0; row < 4000; row += 3) gone.push_back(row + 100);
  for (int32_t row = 5; row < 1000; row += 4) some.push_back(row);
  const xlembed::kernels::Subset subset{some.data(), static_cast<int64_t>(some.size())};
  plain.add(x.const_data_ptr<float>(), rows);
  plain.remove(gone.data(), gone.size());
  const SearchResult all = plain.search(queries, count, 30), inside = plain.search(queries, count, 9, subset);
  std::vector<int32_t> offsets;
  for (int32_t i = 0; i <= count; ++i) offsets.push_back(i * 30);
  const auto ranks = plain.ranks(queries, count, all.ids.data(), offsets.data());
  for (const auto type : {xlembed::kernels::Narrow::bfloat16, xlembed::kernels::Narrow::int8}) {
    FlatIndex index(dimensions, at::kCPU, type);
    index.add(x.const_data_ptr<float>(), 1234);
    index.add(x.const_data_ptr<float>() + 1234 * dimensions, rows - 1234);
    index.remove(gone.data(), gone.size());
    const SearchResult found = index.search(queries, count, 30),
                       found_inside = index.search(queries, count, 9, subset);
    CHECK(found.ids == all.ids && found.scores == all.scores);
    CHECK(found_inside.ids == inside.ids && found_inside.scores == inside.scores);
    CHECK(index.ranks(queries, count, all.ids.data(), offsets.data()) == ranks);
    CHECK(index.vectors(0, index.size()) == plain.vectors(0, plain.size()));
  }
}

std::vector<at::Device> devices() {
  std::vector<at::Device> all = {at::kCPU};
  if (at::hasCUDA() && at::detail::getCUDAHooks().deviceCount() > 0) all.emplace_back(at::kCUDA, 0);
  return all;
}

// Every kind of storage on every device: the float32 index over what it keeps, whose scores are those of
// float64.
void a_storage_is_exact_over_what_it_keeps() {
  const int64_t dimensions = 70, rows = 5000, count = 40, k = 30;
  const at::Tensor x = random_vectors(rows, dimensions, 11), q = random_vectors(count, dimensions, 12);
  std::vector<int32_t> gone, some, offsets;
  for (int32_t row = 0; row < 4000; row += 3) gone.push_back(row + 100);
  for (int32_t row = 5; row < 1000; row += 4) some.push_back(row);
  for (int32_t i = 0; i <= count; ++i) offsets.push_back(static_cast<int32_t>(i * k));
  const xlembed::kernels::Subset subset{some.data(), static_cast<int64_t>(some.size())};
  using xlembed::Storage;
  for (const Storage storage : {Storage::bfloat16, Storage::int8, Storage::binary}) {
    const bool is_binary = storage == Storage::binary;
    const at::Tensor asked = is_binary ? q.gt(0).to(at::kFloat).mul(2).sub(1) : q;
    std::vector<float> first_kept;
    for (const at::Device device : devices()) {
      FlatIndex index(dimensions, device, storage), plain(dimensions, at::kCPU);
      index.add(x.const_data_ptr<float>(), 1234);
      index.add(x.const_data_ptr<float>() + 1234 * dimensions, rows - 1234);
      index.remove(gone.data(), gone.size());
      const std::vector<float> kept = index.vectors(0, index.size());
      if (first_kept.empty()) first_kept = kept;
      CHECK(kept == first_kept);
      plain.add(kept.data(), index.size());
      const float *queries = q.const_data_ptr<float>(), *plain_queries = asked.const_data_ptr<float>();
      const SearchResult found = index.search(queries, count, k),
                         expected = plain.search(plain_queries, count, k);
      CHECK(found.ids == expected.ids && found.scores == expected.scores);
      const SearchResult inside = index.search(queries, count, 9, subset),
                         expected_inside = plain.search(plain_queries, count, 9, subset);
      CHECK(inside.ids == expected_inside.ids && inside.scores == expected_inside.scores);
      CHECK(index.ranks(queries, count, found.ids.data(), offsets.data()) ==
            plain.ranks(plain_queries, count, expected.ids.data(), offsets.data()));
      const at::Tensor all = at::mm(asked.to(at::kDouble),
                                    at::tensor(kept).view({index.size(), dimensions}).to(at::kDouble).t());
      const at::Tensor best = std::get<0>(all.topk(k, 1, true, true));
      for (int64_t i = 0; i < count * k; ++i) {
        CHECK_CLOSE(found.scores[i], best[i / k][i % k].item<double>(), 1e-5, 1e-5);
      }
    }
  }
}

// With a budget that the vectors outgrow between two calls of add(), too.
void a_gpu_gives_the_same_bits() {
  if (!at::hasCUDA() || at::detail::getCUDAHooks().deviceCount() == 0) return;
  const int64_t dimensions = 70, rows = 9000, count = 40;
  const at::Tensor x = random_vectors(rows, dimensions, 9), q = random_vectors(count, dimensions, 10);
  const float *vectors = x.const_data_ptr<float>(), *queries = q.const_data_ptr<float>();
  std::vector<int32_t> gone, some, offsets;
  for (int32_t row = 0; row < 4000; row += 3) gone.push_back(row + 100);
  for (int32_t row = 5; row < 1000; row += 4) some.push_back(row);
  for (int32_t i = 0; i <= count; ++i) offsets.push_back(i * 30);
  const xlembed::kernels::Subset subset{some.data(), static_cast<int64_t>(some.size())};
  FlatIndex host(dimensions, at::kCPU);
  host.add(vectors, rows);
  host.remove(gone.data(), gone.size());
  const SearchResult all = host.search(queries, count, 30), inside = host.search(queries, count, 9, subset);
  const auto ranks = host.ranks(queries, count, all.ids.data(), offsets.data());
  using Narrow = std::optional<xlembed::kernels::Narrow>;
  for (const Narrow narrow : {Narrow(), Narrow(xlembed::kernels::Narrow::bfloat16)}) {
    for (const int64_t budget_bytes : {0, 1'000'000, 100'000, 1}) {
      FlatIndex index(dimensions, at::Device(at::kCUDA, 0), narrow, budget_bytes);
      index.add(vectors, 1234);
      index.add(vectors + 1234 * dimensions, rows - 1234);
      index.remove(gone.data(), gone.size());
      const SearchResult found = index.search(queries, count, 30), one = index.search(queries, 1, 30);
      CHECK(found.ids == all.ids && found.scores == all.scores);
      CHECK(std::equal(one.ids.begin(), one.ids.end(), all.ids.begin()));
      const SearchResult found_inside = index.search(queries, count, 9, subset);
      CHECK(found_inside.ids == inside.ids && found_inside.scores == inside.scores);
      CHECK(index.ranks(queries, count, all.ids.data(), offsets.data()) == ranks);
      CHECK(index.vectors(0, index.size()) == host.vectors(0, host.size()));
    }
  }
}

void refuses_what_has_no_score() {
  FlatIndex index(4, at::kCPU);
  const float good[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  index.add(good, 2);
  const float bad[8] = {1, 2, 3, 4, 5, std::numeric_limits<float>::quiet_NaN(), 7, 8};
  CHECK_REFUSED("INVALID_ARGUMENT: vector 1 ", [&] { index.add(bad, 2); });
  CHECK(index.size() == 2);
  CHECK_REFUSED("INVALID_ARGUMENT: query 1 ", [&] { index.search(bad, 2, 1); });
}

}  // namespace

int main() {
  return check::run({{"matches a product in float64", matches_a_product_in_float64},
                     {"grows over several blocks", grows_over_several_blocks},
                     {"ranks agree with search", ranks_agree_with_search},
                     {"removed rows are gone", removed_rows_are_gone},
                     {"a narrow copy changes nothing", a_narrow_copy_changes_nothing},
                     {"a storage is exact over what it keeps", a_storage_is_exact_over_what_it_keeps},
                     {"a GPU gives the same bits", a_gpu_gives_the_same_bits},
                     {"refuses what has no score", refuses_what_has_no_score}});
}
