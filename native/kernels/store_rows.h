// float32 values stored as T, many at once.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/bfloat16.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace xlembed::kernels {

inline void store_row(const float* values, int64_t count, float* out) {
  std::memcpy(out, values, count * sizeof(float));
}

// To nearest, ties to even; subnormal numbers may become zero.
inline void store_row(const float* values, int64_t count, bfloat16* out) {
#if defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512VL__)
  for (int64_t i = 0; i < count; i += 16) {
    const auto lanes = static_cast<__mmask16>(count - i >= 16 ? 0xFFFF : (1 << (count - i)) - 1);
    const __m256bh rounded = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(lanes, values + i));
    _mm256_mask_storeu_epi16(out + i, lanes, (__m256i)rounded);
  }
#else
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) out[i] = round_to_bfloat16(values[i]);
#endif
}

// Copies `count` values past the caches, where the processor can and `out` is aligned for it: a line that is
// written whole then need not be read first. A fence must come before another thread reads them.
template <typename T>
void stream_row(const T* values, int64_t count, T* out) {
#if defined(__AVX2__)
  constexpr int64_t vector = sizeof(__m256i) / sizeof(T);
  if (reinterpret_cast<uintptr_t>(out) % sizeof(__m256i) == 0) {
    const int64_t whole = count / vector * vector;
    for (int64_t i = 0; i < whole; i += vector) {
      _mm256_stream_si256(reinterpret_cast<__m256i*>(out + i),
                          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values + i)));
    }
    values += whole, out += whole, count -= whole;
  }
#endif
  std::memcpy(out, values, count * sizeof(T));
}

// Output of so many bytes leaves the caches before anybody reads it: it goes past them.
inline constexpr int64_t streamed_bytes = int64_t{16} << 20;

// One thread's writer of rows (count) of an output of `bytes`: past the caches if that is large.
template <typename T>
class RowWriter {
 public:
  RowWriter(int64_t bytes, int64_t count) : row_(bytes >= streamed_bytes ? count : 0), count_(count) {}
  RowWriter(const RowWriter&) = delete;
  RowWriter& operator=(const RowWriter&) = delete;
  // Other threads see the rows once this one has gone.
  ~RowWriter() {
#if defined(__AVX2__)
    if (!row_.empty()) _mm_sfence();
#endif
  }

  // fill(row) writes all values of a row.
  template <typename Fill>
  void write(T* out, const Fill& fill) {
    if (row_.empty()) return fill(out);
    fill(row_.data());
    stream_row(row_.data(), count_, out);
  }

 private:
  std::vector<T> row_;
  int64_t count_;
};

}  // namespace xlembed::kernels
