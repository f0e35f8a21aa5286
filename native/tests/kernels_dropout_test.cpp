#include <cmath>
#include <set>

#include "check.h"
#include "device.h"
#include "kernels/dropout.h"

namespace {

using device::Array;
using device::Kind;
using xlembed::kernels::bfloat16;
using xlembed::kernels::DropoutRule;

DropoutRule rule(double probability, uint32_t site) {
  return {static_cast<uint32_t>(probability * 4294967296.0), site, static_cast<float>(1 / (1 - probability))};
}

std::vector<int32_t> keys_of(int64_t rows) {
  std::vector<int32_t> keys(rows);
  for (int64_t r = 0; r < rows; ++r) {
    keys[r] = static_cast<int32_t>(xlembed::kernels::mix_bits(static_cast<uint32_t>(r + 1)));
  }
  return keys;
}

template <typename T>
std::vector<T> dropped(Kind kind, const std::vector<T>& x, const std::vector<int32_t>& keys, int64_t columns,
                       const DropoutRule& rule) {
  Array<T> input(kind, x), output(kind, x.size());
  Array<int32_t> rows(kind, keys);
  LAUNCH(kind, dropout, input.data(), rows.data(), static_cast<int64_t>(keys.size()), columns, rule,
         output.data());
  return output.get();
}

template <typename T>
void keeps_or_drops() {
  for (const Kind kind : device::all()) {
    for (const int64_t columns : {1, 3, 17, 64, 384}) {
      const int64_t rows = 101;
      const std::vector<T> x = device::random<T>(rows * columns, 4);
      const std::vector<int32_t> keys = keys_of(rows);
      const std::vector<T> y = dropped(kind, x, keys, columns, rule(0.25, 7));
      for (size_t k = 0; k < y.size(); ++k) {
        const auto row = xlembed::kernels::dropout_row(keys[k / columns], 7);
        const bool keeps =
            xlembed::kernels::dropout_keeps(row, static_cast<uint32_t>(k % columns), uint32_t{1} << 30);
        const double expected = keeps ? xlembed::kernels::to_float(x[k]) / 0.75 : 0.0;
        CHECK_CLOSE(xlembed::kernels::to_float(y[k]), expected, 0, 2 * device::rounding<T>);
      }
    }
  }
}

// Rows taken apart and put together in another order keep their masks.
void a_mask_belongs_to_its_row() {
  const int64_t columns = 48;
  const std::vector<int32_t> keys = keys_of(6), some = {keys[4], keys[1]};
  const std::vector<float> ones(6 * columns, 1.0f), two(2 * columns, 1.0f);
  const std::vector<float> whole = dropped(Kind::cpu, ones, keys, columns, rule(0.5, 0));
  const std::vector<float> part = dropped(Kind::cpu, two, some, columns, rule(0.5, 0));
  for (int64_t c = 0; c < columns; ++c) {
    CHECK(part[c] == whole[4 * columns + c]);
    CHECK(part[columns + c] == whole[columns + c]);
  }
}

// Shares within five standard deviations: over all, for each column, and for pairs of neighbours in both
// directions and of the same element at two sites, which must be independent.
void masks_look_random() {
  const int64_t rows = 4096, columns = 384;
  const std::vector<float> ones(rows * columns, 1.0f);
  const std::vector<int32_t> keys = keys_of(rows);
  for (const double p : {0.1, 0.5}) {
    const std::vector<float> a = dropped(Kind::cpu, ones, keys, columns, rule(p, 3));
    const std::vector<float> b = dropped(Kind::cpu, ones, keys, columns, rule(p, 4));
    double all = 0, right = 0, below = 0, other = 0;
    std::vector<double> column(columns);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        const int64_t k = r * columns + c;
        const bool drop = a[k] == 0;
        all += drop;
        column[c] += drop;
        right += drop && c + 1 < columns && a[k + 1] == 0;
        below += drop && r + 1 < rows && a[k + columns] == 0;
        other += drop && b[k] == 0;
      }
    }
    const auto near = [](double hits, double trials, double share) {
      CHECK_CLOSE(hits / trials, share, 5 * std::sqrt(share * (1 - share) / trials), 0);
    };
    const double count = static_cast<double>(rows * columns);
    near(all, count, p);
    for (const double hits : column) near(hits, rows, p);
    near(right, static_cast<double>(rows * (columns - 1)), p * p);
    near(below, static_cast<double>((rows - 1) * columns), p * p);
    near(other, count, p * p);
  }
}

}  // namespace

int main() {
  return check::run({{"float32 elements are kept and scaled, or zero", keeps_or_drops<float>},
                     {"bfloat16 elements are kept and scaled, or zero", keeps_or_drops<bfloat16>},
                     {"a mask belongs to its row", a_mask_belongs_to_its_row},
                     {"masks look random", masks_look_random}});
}
