// float32 values stored as T, many at once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <type_traits>
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

#if defined(__AVX512F__)
using StreamedVector = __m512i;  // a whole line
inline void stream(StreamedVector* out, const void* values) {
  _mm512_stream_si512(out, _mm512_loadu_si512(values));
}
#elif defined(__AVX2__)
using StreamedVector = __m256i;
inline void stream(StreamedVector* out, const void* values) {
  _mm256_stream_si256(out, _mm256_loadu_si256(static_cast<const __m256i*>(values)));
}
#endif

// Copies `count` values past the caches, where the processor can and `out` is aligned for it: a line that is
// written whole then need not be read first. A fence must come before another thread reads them.
template <typename T>
void stream_row(const T* values, int64_t count, T* out) {
#if defined(__AVX2__)
  constexpr int64_t vector = sizeof(StreamedVector) / sizeof(T);
  if (reinterpret_cast<uintptr_t>(out) % sizeof(StreamedVector) == 0) {
    const int64_t whole = count / vector * vector;
    for (int64_t i = 0; i < whole; i += vector)
      stream(reinterpret_cast<StreamedVector*>(out + i), values + i);
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

  // value_of(d) is the float32 value of a row's dimension d.
  template <typename Value>
  void write_values(T* out, const Value& value_of) {
    write(out, [&](T* row) {
      if constexpr (std::is_same_v<T, float>) {
#pragma omp simd
        for (int64_t d = 0; d < count_; ++d) row[d] = value_of(d);
        return;
      }
      alignas(64) float some[256];
      for (int64_t first = 0; first < count_; first += std::size(some)) {
        const int64_t count = std::min<int64_t>(std::size(some), count_ - first);
#pragma omp simd
        for (int64_t d = 0; d < count; ++d) some[d] = value_of(first + d);
        store_row(some, count, row + first);
      }
    });
  }

  // A row that is there already.
  void copy(T* out, const T* values) {
    if (row_.empty()) {
      std::memcpy(out, values, count_ * sizeof(T));
    } else {
      stream_row(values, count_, out);
    }
  }

 private:
  std::vector<T> row_;
  int64_t count_;
};

}  // namespace xlembed::kernels
