#include "core/packed_batch.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace xlembed {
void check_offsets(std::span<const int32_t> cumulative, size_t tokens, int64_t longest) {
  if (cumulative.empty() || cumulative.front() != 0 || static_cast<size_t>(cumulative.back()) != tokens) {
    throw CodedError("INVALID_ARGUMENT",
                     "expected cumulativeSeqLengths from 0 to " + std::to_string(tokens) + " tokens");
  }
  for (size_t b = 0; b + 1 < cumulative.size(); ++b) {
    const int64_t length = static_cast<int64_t>(cumulative[b + 1]) - cumulative[b];
    if (length < 0 || length > longest) {
      throw CodedError("INVALID_ARGUMENT", "expected a length of 0 to " + std::to_string(longest) +
                                               " tokens for sequence " + std::to_string(b) + ", received " +
                                               std::to_string(length));
    }
  }
}

namespace {

void check_ids(std::span<const int32_t> ids, int64_t vocabulary_size) {
  for (size_t t = 0; t < ids.size(); ++t) {
    if (ids[t] < 0 || ids[t] >= vocabulary_size) {
      throw CodedError("VOCABULARY_MISMATCH",
                       "token id " + std::to_string(ids[t]) + " at position " + std::to_string(t) +
                           " is outside the model's vocabulary of " + std::to_string(vocabulary_size));
    }
  }
}

// A batch lies in one piece of memory, so that one copy takes it to a device:
//   input_ids (T), position_ids (T), row_of (B), cumulative (B + 1, two of them to a word)
int64_t words_of(int64_t tokens, int64_t sequences) { return 2 * tokens + sequences + sequences / 2 + 1; }

PackedBatch views_of(const at::Tensor& words, int64_t tokens, int64_t sequences) {
  PackedBatch batch;
  batch.input_ids = words.narrow(0, 0, tokens);
  batch.position_ids = words.narrow(0, tokens, tokens);
  batch.row_of = words.narrow(0, 2 * tokens, sequences);
  batch.cumulative =
      words.narrow(0, 2 * tokens + sequences, sequences / 2 + 1).view(at::kInt).narrow(0, 0, sequences + 1);
  return batch;
}

}  // namespace

PackedBatch pack_batch(std::span<const int32_t> ids, std::span<const int32_t> cumulative,
                       int64_t vocabulary_size, int64_t first_position, int64_t longest, at::Device device) {
  check_offsets(cumulative, ids.size(), longest);
  check_ids(ids, vocabulary_size);

  const int64_t sequences = static_cast<int64_t>(cumulative.size()) - 1;
  const auto length_of = [&](int64_t b) { return cumulative[b + 1] - cumulative[b]; };
  std::vector<int64_t> order(sequences);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return length_of(a) < length_of(b); });

  const auto tokens = static_cast<int64_t>(ids.size());
  const at::Tensor host =
      at::empty({words_of(tokens, sequences)}, at::TensorOptions(at::kLong).pinned_memory(device.is_cuda()));
  PackedBatch batch = views_of(host, tokens, sequences);
  auto* input_id = batch.input_ids.mutable_data_ptr<int64_t>();
  auto* position = batch.position_ids.mutable_data_ptr<int64_t>();
  auto* offset = batch.cumulative.mutable_data_ptr<int32_t>();
  auto* row_of = batch.row_of.mutable_data_ptr<int64_t>();

  int64_t token = 0;
  for (int64_t row = 0; row < sequences; ++row) {
    const int64_t b = order[row];
    const int64_t length = length_of(b);
    row_of[b] = row;
    offset[row] = static_cast<int32_t>(token);
    if (length > 0) {
      if (batch.groups.empty() || batch.groups.back().length != length)
        batch.groups.push_back({token, 0, length});
      ++batch.groups.back().sequences;
    }
    std::copy_n(ids.data() + cumulative[b], length, input_id + token);
    const int64_t padding = first_position - 1;
    int64_t next = first_position;
    for (int64_t t = token; t < token + length; ++t) position[t] = input_id[t] == padding ? padding : next++;
    token += length;
  }
  offset[sequences] = static_cast<int32_t>(token);

  batch.host_cumulative = batch.cumulative;
  batch.host_row_of = batch.row_of;
  if (device.is_cpu()) return batch;
  PackedBatch there = views_of(host.to(device, at::kLong, /*non_blocking=*/true), tokens, sequences);
  there.groups = std::move(batch.groups);
  there.host_cumulative = batch.host_cumulative;
  there.host_row_of = batch.host_row_of;
  return there;
}

}  // namespace xlembed
