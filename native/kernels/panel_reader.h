// The rows of a corpus as float32 panels, for the searches that read them in order.
#pragma once

#include "kernels/aligned_vector.h"
#include "kernels/narrow_vectors.h"
#include "kernels/panels.h"

namespace xlembed::kernels {

// Gives the corpus, or the rows of it that a search is confined to, panel by panel: from where they lie if
// they lie as panels, else gathered or widened into a buffer of the thread.
class PanelReader {
 public:
  PanelReader(const Corpus& corpus, const Subset& subset, int threads)
      : corpus_(corpus), subset_(subset), rows_(subset.all() ? corpus.rows : subset.count) {
    if (!direct()) buffers_.resize(threads, AlignedVector<float>(corpus.dimensions * kPanelRows, 0.f));
    if (is_narrow() && !subset.all()) {
      widened_.resize(threads, std::vector<float>(corpus.dimensions * kPanelRows));
    }
  }
  int64_t panels() const { return (rows_ + kPanelRows - 1) / kPanelRows; }
  int64_t valid_rows(int64_t p) const { return std::min(kPanelRows, rows_ - p * kPanelRows); }

  PanelAndNext<float> operator()(int64_t p, int thread) {
    if (direct()) {
      const float* panel = address(corpus_, p * kPanelRows);
      return {panel, panel + corpus_.dimensions * kPanelRows};
    }
    float* panel = buffers_[thread].data();
    if (is_narrow() && subset_.all()) {
      read_panel(corpus_, p, panel);
      return {panel, panel};
    }
    const float* vectors[kPanelRows];
    const int64_t count = valid_rows(p);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at = p * kPanelRows + i;
      vectors[i] = vector_of(subset_.all() ? at : subset_.rows[at], i, thread);
    }
    write_panel(vectors, is_narrow() ? 1 : stride(corpus_), count, corpus_.dimensions, panel);
    // What follows the last row is the next panel's first one, unless the rows are some here and there.
    return {panel, subset_.all() ? vectors[count - 1] + corpus_.dimensions : panel};
  }

 private:
  bool direct() const { return subset_.all() && corpus_.layout == Layout::panels; }
  bool is_narrow() const { return corpus_.layout == Layout::narrow; }

  const float* vector_of(int64_t row, int64_t lane, int thread) {
    if (!is_narrow()) return address(corpus_, row);
    float* vector = &widened_[thread][lane * corpus_.dimensions];
    read_row(corpus_, row, vector);
    return vector;
  }

  Corpus corpus_;
  Subset subset_;
  int64_t rows_;
  std::vector<AlignedVector<float>> buffers_;
  std::vector<std::vector<float>> widened_;  // by thread: (48, D), of narrow rows here and there
};

}  // namespace xlembed::kernels
