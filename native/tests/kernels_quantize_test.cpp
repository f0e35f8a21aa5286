#include <cmath>

#include "check.h"
#include "device.h"
#include "kernels/quantize.h"

namespace {

using device::Array;
using device::Kind;

const int64_t row_counts[] = {0, 1, 31, 33, 1000, 4097};
const int64_t dimension_counts[] = {1, 7, 8, 31, 32, 384, 387, 1024};

// The loops' time.
bool too_large(int64_t rows, int64_t D) { return rows * D > (device::emulated ? 400'000 : 2'000'000); }

void int8_is_within_half_a_step() {
  for (const Kind kind : device::all()) {
    for (const int64_t rows : row_counts) {
      for (const int64_t D : dimension_counts) {
        if (too_large(rows, D)) continue;
        Array<float> x(kind, device::random<float>(rows * D, 1)), scales(kind, rows);
        Array<int8_t> q(kind, rows * D);
        LAUNCH(kind, quantize_int8, x.data(), rows, D, q.data(), scales.data());
        for (int64_t r = 0; r < rows; ++r) {
          double largest = 0;
          for (int64_t d = 0; d < D; ++d) largest = std::fmax(largest, std::fabs(x.get()[r * D + d]));
          CHECK_CLOSE(scales.get()[r], largest / 127, 0, 1e-7);
          for (int64_t d = 0; d < D; ++d) {
            const double steps = x.get()[r * D + d] / static_cast<double>(scales.get()[r]);
            CHECK(std::fabs(q.get()[r * D + d] - steps) <= 0.5 + 1e-5);
          }
        }
      }
    }
  }
}

void int8_rounds_ties_to_even_and_keeps_zeros() {
  for (const Kind kind : device::all()) {
    Array<float> x(kind, {127, 0.5, 1.5,  -0.5, -1.5,   -127, 2.5, -2.5, 0, 0, 0, 0,
                          0,   0,   -0.0, 0,    1e-45f, 0,    0,   0,    0, 0, 0, -1e-45f});
    Array<float> scales(kind, 3);
    Array<int8_t> q(kind, 24);
    LAUNCH(kind, quantize_int8, x.data(), 3, 8, q.data(), scales.data());
    CHECK(scales.get() == (std::vector<float>{1, 0, 0}));
    std::vector<int8_t> expected(24);
    const int8_t first[] = {127, 0, 2, 0, -2, -127, 2, -2};
    std::copy_n(first, 8, expected.begin());
    CHECK(q.get() == expected);
  }
}

void binary_is_packbits() {
  for (const Kind kind : device::all()) {
    for (const int64_t rows : row_counts) {
      for (const int64_t D : dimension_counts) {
        if (too_large(rows, D)) continue;
        const int64_t bytes = (D + 7) / 8;
        Array<float> x(kind, device::random<float>(rows * D, 2));
        Array<uint8_t> packed(kind, rows * bytes);
        LAUNCH(kind, quantize_binary, x.data(), rows, D, packed.data());
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t bit = 0; bit < bytes * 8; ++bit) {
            const bool set = packed.get()[r * bytes + bit / 8] & (128 >> bit % 8);
            CHECK(set == (bit < D && x.get()[r * D + bit] > 0));
          }
        }
      }
    }
  }
}

// numpy.packbits([[1, 0, 0, 0, 0, 0, 0, 1, 1, 0]]) = [[129, 128]]; zero and NaN are not above zero.
void binary_by_hand() {
  for (const Kind kind : device::all()) {
    Array<float> x(kind, {2, 0, -0.0f, -1, std::nanf(""), -3, -2, 1e-30f, 5, -5});
    Array<uint8_t> packed(kind, 2);
    LAUNCH(kind, quantize_binary, x.data(), 1, 10, packed.data());
    CHECK(packed.get() == (std::vector<uint8_t>{129, 128}));
  }
}

void equal_bits_on_every_run() {
  for (const Kind kind : device::all()) {
    const int64_t rows = 333, D = 384;
    Array<float> x(kind, device::random<float>(rows * D, 3));
    std::vector<int8_t> expected;
    std::vector<uint8_t> expected_bits;
    for (int run = 0; run < device::repeats; ++run) {
      Array<float> scales(kind, rows);
      Array<int8_t> q(kind, rows * D);
      Array<uint8_t> packed(kind, rows * D / 8);
      LAUNCH(kind, quantize_int8, x.data(), rows, D, q.data(), scales.data());
      LAUNCH(kind, quantize_binary, x.data(), rows, D, packed.data());
      if (run == 0) expected = q.get(), expected_bits = packed.get();
      CHECK(q.get() == expected && packed.get() == expected_bits);
    }
  }
}

}  // namespace

int main() {
  return check::run({
      {"int8 is within half a step", int8_is_within_half_a_step},
      {"int8 rounds ties to even and keeps zeros", int8_rounds_ties_to_even_and_keeps_zeros},
      {"binary is packbits", binary_is_packbits},
      {"binary by hand", binary_by_hand},
      {"equal bits on every run", equal_bits_on_every_run},
  });
}
