// Gradients of a loss over a batch of any size in the memory of one chunk (L. Gao et al. 2021, arXiv
// 2101.06983): embed chunk by chunk without a graph, take the loss's gradient at the embeddings, then embed
// each chunk again, now with a graph, and push its rows of that gradient through it.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/torch.h"

namespace xlembed {

// Some of a batch's sequences, laid end to end.
struct Chunk {
  std::vector<int32_t> ids;
  std::vector<int32_t> cumulative;
  std::vector<int64_t> sequences;  // their numbers in the batch
};

// Fills chunks with at most `chunk_tokens` tokens (or one sequence), shortest sequences first, so that
// lengths within a chunk are close. Every sequence lands in one chunk.
std::vector<Chunk> split_batch(std::span<const int32_t> ids, std::span<const int32_t> cumulative,
                               int64_t chunk_tokens);

class GradientCache {
 public:
  // (sequences of the chunk, D), differentiable, the same values on every call.
  using Embed = std::function<at::Tensor(const Chunk&)>;

  // Chunks keep the graph of their first pass, the last ones first, until they hold `graph_tokens` tokens
  // together: those are not embedded twice.
  GradientCache(std::vector<Chunk> chunks, Embed embed, int64_t graph_tokens);

  // (B, D) without a graph, in the batch's order.
  at::Tensor forward_no_grad();

  // Adds to the gradients of everything that `embed` depends on, given the loss's gradient (B, D). Calls
  // `before_last`, where given, before the last chunk's backward pass.
  void forward_backward(const at::Tensor& gradient, const std::function<void()>& before_last = {});

  int64_t chunks() const { return static_cast<int64_t>(chunks_.size()); }

 private:
  // (sequences of the chunk) int64
  at::Tensor rows_of(size_t chunk, at::Device device);

  std::vector<Chunk> chunks_;
  Embed embed_;
  std::vector<at::Tensor> rows_of_;
  std::vector<at::Tensor> graphs_;  // a chunk's embeddings where their graph is kept, else undefined
  size_t first_kept_;
};

}  // namespace xlembed
