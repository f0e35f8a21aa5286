#include "kernels/top_k_two_pass.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "kernels/aligned_vector.h"
#include "kernels/amx_kernel.h"
#include "kernels/fixed16.h"
#include "kernels/narrow_panel.h"
#include "kernels/narrow_queries.h"
#include "kernels/panel_reader.h"
#include "kernels/second_pass.h"

namespace xlembed::kernels {
namespace {

constexpr int64_t kQueryBlock = 1024;
constexpr int64_t kListBytes = int64_t{256} << 20;  // what the lists of one block of queries may take

// The first pass over float32 rows.
class FirstPassOver {
 public:
  FirstPassOver(const NarrowQueries& queries, FirstPass pass, PanelReader& reader, int64_t dimensions,
                std::vector<Shortlist>& lists)
      : queries_(queries), pass_(pass), reader_(reader), dimensions_(dimensions), lists_(lists) {
    const int64_t words = value_words(Narrow::bfloat16, dimensions);
    panels_.resize(lists.size());
    for (NarrowPanel& panel : panels_) panel.words.resize(words * kPanelRows);
  }

  // Fills the lists; false: float32 sums must answer.
  bool run() {
    const int64_t count = queries_.sizes.size(), words = value_words(Narrow::bfloat16, dimensions_);
    constexpr int64_t kPanelsAhead = 2;  // a float32 panel has twice the words
#if defined(XLEMBED_AMX)
    if (pass_ == FirstPass::bfloat16) {
      scan_with(AmxKernel<Bfloat16Tiles>(queries_.words.data(), count, words, kPanelsAhead));
      return !stopped_;
    }
#endif
    scan_with(RegisterKernel<Fixed16Scores>(queries_.words.data(), count, words, kPanelsAhead));
    return !stopped_;
  }

  // What all rows are off by, and as long as, at most.
  Distance bounds() const {
    Distance largest;
    for (const NarrowPanel& panel : panels_) raise(largest, panel.bounds);
    return largest;
  }

 private:
  struct NarrowPanel {
    AlignedVector<uint32_t> words;
    alignas(64) float steps[kPanelRows];
    Distance bounds;  // of all panels that this thread has seen
  };

  static bool raise(Distance& bounds, const Distance& other) {
    if (other.error <= bounds.error && other.length <= bounds.length) return false;
    bounds = {std::max(bounds.error, other.error), std::max(bounds.length, other.length)};
    return true;
  }

  template <typename Kernel>
  void scan_with(const Kernel& kernel) {
    const auto panel = [this](int64_t p, int thread) { return narrow(p, thread); };
    scan(kernel, reader_.panels(), static_cast<int>(lists_.size()), panel,
         [this](int thread, int64_t query, const float* sums, const uint32_t*, int64_t p) {
           const int64_t valid = reader_.valid_rows(p);
           if (pass_ == FirstPass::bfloat16) return lists_[thread].offer(query, sums, p * kPanelRows, valid);
           alignas(64) float scores[kPanelRows];
           for (int64_t i = 0; i < kPanelRows; i += kLanes)
             store(scores + i, load(sums + i) * load(panels_[thread].steps + i));
           lists_[thread].offer(query, scores, p * kPanelRows, valid);
         });
  }

  PanelAndNext<uint32_t> narrow(int64_t p, int thread) {
    const PanelAndNext<uint32_t> stop{nullptr, nullptr};
    if (stopped_) return stop;
    NarrowPanel& panel = panels_[thread];
    Shortlist& list = lists_[thread];
    const PanelAndNext<float> from = reader_(p, thread);
    const int64_t valid = reader_.valid_rows(p);
    const Distance bounds =
        pass_ == FirstPass::bfloat16
            ? narrow_to_bfloat16(from.words, dimensions_, valid, panel.words.data())
            : narrow_to_fixed16(from.words, dimensions_, valid, panel.words.data(), panel.steps);
    // A pass that helps few of its queries would only be added to the time of the float32 sums.
    const bool helps_few = 2 * list.given_up() > static_cast<int64_t>(queries_.sizes.size());
    if (helps_few || std::isinf(bounds.length)) {
      stopped_ = true;
      return stop;
    }
    if (raise(panel.bounds, bounds)) list.widen(margins(queries_, panel.bounds, 1, dimensions_));
    return {panel.words.data(), reinterpret_cast<const uint32_t*>(from.next)};
  }

  const NarrowQueries& queries_;
  FirstPass pass_;
  PanelReader& reader_;
  int64_t dimensions_;
  std::vector<Shortlist>& lists_;
  std::vector<NarrowPanel> panels_;  // by thread
  std::atomic<bool> stopped_ = false;
};

int64_t top_k_block(const float* queries, int64_t count, const Corpus& corpus, const Subset& subset,
                    int64_t k, int threads, float* scores, int32_t* rows) {
  const FirstPass pass = takes_amx(count) ? FirstPass::bfloat16 : FirstPass::fixed16;
  const NarrowQueries encoded = encode_queries(queries, count, corpus.dimensions, pass);
  PanelReader reader(corpus, subset, threads);
  const int64_t all_rows = subset.all() ? corpus.rows : subset.count;
  // A row costs the second pass as much as some forty in a scan of float32. A list may have its part of the
  // rows so far, not of all: what cannot be answered in the end should show early.
  const int64_t most = 2 * k + all_rows / 64, capacity = 2 * k + 96;
  const double room = static_cast<double>(kListBytes) / (count * threads * sizeof(Candidate));
  const double share = std::min(1.0 / (48 * threads), room / all_rows);
  std::vector<Shortlist> lists;
  lists.reserve(threads);
  for (int thread = 0; thread < threads; ++thread) {
    lists.emplace_back(count, k, capacity, std::vector<float>(count, 0.f), share);
    for (int64_t q = 0; q < count; ++q) {
      const double length = encoded.sizes[q].length;
      if (!(length >= kShortest && length <= kLongest)) lists.back().give_up(q);
    }
  }
  FirstPassOver first_pass(encoded, pass, reader, corpus.dimensions, lists);
  if (!first_pass.run()) {
    top_k_one_pass(queries, count, corpus, subset, k, threads, scores, rows);
    return count;
  }
  return second_pass(queries, count, corpus, subset, k, lists,
                     margins(encoded, first_pass.bounds(), 1, corpus.dimensions), most, threads, scores,
                     rows);
}

}  // namespace

bool takes_two_passes(int64_t queries, int64_t rows, int64_t dimensions, int64_t k) {
#if defined(XLEMBED_INTEGER_PAIRS)
  return queries >= 64 && dimensions >= 32 && rows >= std::max<int64_t>(10'000, 100 * k);
#else
  static_cast<void>(queries), static_cast<void>(rows), static_cast<void>(dimensions), static_cast<void>(k);
  return false;
#endif
}

int64_t top_k_two_pass(const float* queries, int64_t query_count, const Corpus& corpus, const Subset& subset,
                       int64_t k, int threads, float* scores, int32_t* rows) {
  int64_t one_pass = 0;
  for (int64_t begin = 0; begin < query_count; begin += kQueryBlock) {
    const int64_t count = std::min(kQueryBlock, query_count - begin);
    one_pass += top_k_block(queries + begin * corpus.dimensions, count, corpus, subset, k, threads,
                            scores + begin * k, rows + begin * k);
  }
  return one_pass;
}

}  // namespace xlembed::kernels
