// Sequences laid end to end, without padding, ordered so that equal lengths lie together.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "core/torch.h"

namespace xlembed {

// `sequences` sequences of `length` tokens each, contiguous from token `first_token`: a dense block that
// attention can view as (sequences, length, ...) without a copy or a mask.
struct LengthGroup {
  int64_t first_token;
  int64_t sequences;
  int64_t length;
};

struct PackedBatch {
  at::Tensor input_ids;     // (T) int64
  at::Tensor position_ids;  // (T) int64
  at::Tensor cumulative;    // (B + 1) int32
  at::Tensor row_of;        // (B) int64: where the caller's sequence b lies in this order
  at::Tensor dropout_keys;  // (T) int32, see core/dropout.h; undefined: nothing is dropped
  std::vector<LengthGroup> groups;
  at::Tensor host_cumulative, host_row_of;  // the same on the CPU

  int64_t tokens() const { return input_ids.size(0); }
  int64_t sequences() const { return row_of.size(0); }
};

// Values as a tensor; the copy to a GPU goes from pinned memory over its current stream, and is not waited
// for.
template <typename T>
at::Tensor placed(const std::vector<T>& values, at::Device device) {
  const at::Tensor host =
      at::empty({static_cast<int64_t>(values.size())},
                at::TensorOptions(c10::CppTypeToScalarType<T>::value).pinned_memory(device.is_cuda()));
  std::copy(values.begin(), values.end(), host.mutable_data_ptr<T>());
  return host.to(device, host.scalar_type(), /*non_blocking=*/true);
}

// Throws INVALID_ARGUMENT unless the offsets ascend from 0 to `tokens` by at most `longest` at a time.
void check_offsets(std::span<const int32_t> cumulative, size_t tokens, int64_t longest);

// Caller's order: sequence b is ids[cumulative[b] .. cumulative[b + 1]). Positions count from
// `first_position`; as RoBERTa's, they pass over padding tokens in a text, whose id and position is the one
// before. Throws what check_offsets throws, and VOCABULARY_MISMATCH on an id outside [0,
// vocabulary_size). The copy to a GPU goes from pinned memory over its current stream, and is not waited for.
PackedBatch pack_batch(std::span<const int32_t> ids, std::span<const int32_t> cumulative,
                       int64_t vocabulary_size, int64_t first_position, int64_t longest, at::Device device);

}  // namespace xlembed
