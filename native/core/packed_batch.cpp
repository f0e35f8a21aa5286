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

  PackedBatch batch;
  batch.input_ids = at::empty({static_cast<int64_t>(ids.size())}, at::kLong);
  batch.position_ids = at::empty_like(batch.input_ids);
  batch.cumulative = at::empty({sequences + 1}, at::kInt);
  batch.row_of = at::empty({sequences}, at::kLong);
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
    std::iota(position + token, position + token + length, first_position);
    token += length;
  }
  offset[sequences] = static_cast<int32_t>(token);

  for (at::Tensor* tensor : {&batch.input_ids, &batch.position_ids, &batch.cumulative, &batch.row_of}) {
    *tensor = tensor->to(device);
  }
  return batch;
}

}  // namespace xlembed
