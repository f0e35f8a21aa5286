#include "core/gradient_cache.h"

#include <algorithm>
#include <numeric>

#include "core/packed_batch.h"

namespace xlembed {

std::vector<Chunk> split_batch(std::span<const int32_t> ids, std::span<const int32_t> cumulative,
                               int64_t chunk_tokens) {
  const int64_t sequences = static_cast<int64_t>(cumulative.size()) - 1;
  const auto length_of = [&](int64_t b) { return cumulative[b + 1] - cumulative[b]; };
  std::vector<int64_t> order(sequences);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return length_of(a) < length_of(b); });
  std::vector<Chunk> chunks;
  for (const int64_t b : order) {
    const bool fits =
        !chunks.empty() && static_cast<int64_t>(chunks.back().ids.size()) + length_of(b) <= chunk_tokens;
    if (!fits) chunks.push_back({{}, {0}, {}});
    Chunk& chunk = chunks.back();
    chunk.ids.insert(chunk.ids.end(), ids.begin() + cumulative[b], ids.begin() + cumulative[b + 1]);
    chunk.cumulative.push_back(static_cast<int32_t>(chunk.ids.size()));
    chunk.sequences.push_back(b);
  }
  return chunks;
}

GradientCache::GradientCache(std::vector<Chunk> chunks, Embed embed, int64_t graph_tokens)
    : chunks_(std::move(chunks)),
      embed_(std::move(embed)),
      rows_of_(chunks_.size()),
      graphs_(chunks_.size()),
      first_kept_(chunks_.size()) {
  int64_t tokens = 0;
  while (first_kept_ > 0) {
    tokens += static_cast<int64_t>(chunks_[first_kept_ - 1].ids.size());
    if (tokens > graph_tokens) break;
    --first_kept_;
  }
}

at::Tensor GradientCache::forward_no_grad() {
  at::Tensor embeddings;
  int64_t sequences = 0;
  for (const Chunk& chunk : chunks_) sequences += static_cast<int64_t>(chunk.sequences.size());
  for (size_t k = 0; k < chunks_.size(); ++k) {
    const at::AutoGradMode with_graph(k >= first_kept_ && at::GradMode::is_enabled());
    const at::Tensor own = embed_(chunks_[k]);
    if (!embeddings.defined()) embeddings = at::empty({sequences, own.size(1)}, own.options());
    const at::NoGradGuard no_grad;
    embeddings.index_copy_(0, rows_of(k, own.device()), own);
    if (own.requires_grad()) graphs_[k] = own;
  }
  return embeddings;
}

at::Tensor GradientCache::rows_of(size_t chunk, at::Device device) {
  if (!rows_of_[chunk].defined()) rows_of_[chunk] = placed(chunks_[chunk].sequences, device);
  return rows_of_[chunk];
}

void GradientCache::forward_backward(const at::Tensor& gradient, const std::function<void()>& before_last) {
  // Kept graphs lie at the end and go first, which frees their memory for the others.
  for (size_t k = chunks_.size(); k-- > 0;) {
    const at::Tensor own =
        graphs_[k].defined() ? std::exchange(graphs_[k], at::Tensor()) : embed_(chunks_[k]);
    if (k == 0 && before_last) before_last();
    if (own.requires_grad()) own.backward(gradient.index_select(0, rows_of(k, own.device())));
  }
}

}  // namespace xlembed
