// Vectors for tests of narrow numbers: float32 rows with a narrow copy.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "float_vectors.h"
#include "kernels/top_k_narrow.h"

namespace narrow_vectors {

using namespace xlembed::kernels;

using float_vectors::random_vectors;

template <typename T>
struct Blocks {
  void add(size_t count) {
    T* block = static_cast<T*>(std::aligned_alloc(64, count * sizeof(T)));
    std::fill(block, block + count, T{});
    owned.emplace_back(block, std::free);
    addresses.push_back(block);
  }
  std::vector<std::unique_ptr<T, decltype(&std::free)>> owned;
  std::vector<T*> addresses;
};

// Vectors as rows in blocks of 96, with their narrow copy written in uneven pieces.
struct Stored {
  Stored(const std::vector<float>& vectors, int64_t dimensions, Narrow type)
      : corpus{nullptr, 96, static_cast<int64_t>(vectors.size()) / dimensions, dimensions, Layout::rows},
        narrow{type, nullptr, 0, 0} {
    for (int64_t first = 0; first < corpus.rows; first += corpus.rows_per_block) {
      floats.add(96 * dimensions);
      words.add(96 * narrow_words(type, dimensions));
    }
    corpus.blocks = const_cast<const float**>(floats.addresses.data());
    narrow.blocks = words.addresses.data();
    for (int64_t first = 0, count = 1; first < corpus.rows; first += count, count = 3 * count + 7) {
      count = std::min(count, corpus.rows - first);
      write_vectors(&vectors[first * dimensions], first, count, corpus, 2);
      write_narrow(&vectors[first * dimensions], first, count, corpus, 2, narrow);
    }
  }
  Corpus corpus;
  NarrowCorpus narrow;
  Blocks<float> floats;
  Blocks<uint32_t> words;
};

inline void both(void (*body)(Narrow)) {
  body(Narrow::bfloat16);
  body(Narrow::int8);
}

}  // namespace narrow_vectors
