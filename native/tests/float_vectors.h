// Vectors for tests of exact search in float32.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "kernels/top_k.h"

namespace float_vectors {

using namespace xlembed::kernels;

inline std::vector<float> random_vectors(int64_t count, int64_t dimensions, uint32_t seed, float shift = 0,
                                         float scale = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(shift);
  std::vector<float> values(count * dimensions);
  for (float& value : values) value = scale * normal(generator);
  return values;
}

// Vectors in blocks of 96 rows, in either layout.
struct Stored {
  Stored(const std::vector<float>& vectors, int64_t dimensions, Layout layout = Layout::panels)
      : view{nullptr, 96, static_cast<int64_t>(vectors.size()) / dimensions, dimensions, layout} {
    const size_t floats = view.rows_per_block * dimensions;
    for (int64_t first = 0; first < view.rows; first += view.rows_per_block) {
      float* block = static_cast<float*>(std::aligned_alloc(64, floats * sizeof(float)));
      std::fill(block, block + floats, 1e30f);  // lanes past the last row must never be found
      blocks.emplace_back(block, std::free);
      addresses.push_back(block);
    }
    view.blocks = addresses.data();
    const int64_t half = view.rows / 2;
    write_vectors(vectors.data(), 0, half, view, 2);
    write_vectors(vectors.data() + half * dimensions, half, view.rows - half, view, 2);
  }

  Corpus view;
  std::vector<std::unique_ptr<float, decltype(&std::free)>> blocks;
  std::vector<const float*> addresses;
};

struct Found {
  std::vector<float> scores;
  std::vector<int32_t> rows;
};

inline Found find(const std::vector<float>& queries, const Stored& corpus, int64_t k, int threads = 2,
                  const std::vector<int32_t>* subset = nullptr) {
  const int64_t count = queries.size() / corpus.view.dimensions;
  Found found{std::vector<float>(count * k), std::vector<int32_t>(count * k)};
  const Subset only = subset ? Subset{subset->data(), static_cast<int64_t>(subset->size())} : Subset{};
  top_k(queries.data(), count, corpus.view, only, k, threads, found.scores.data(), found.rows.data());
  return found;
}

}  // namespace float_vectors
