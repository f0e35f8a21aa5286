// A batch in parts: which of its sequences each process of several holds, and rows of all processes brought
// together.
#pragma once

#include <cstdint>
#include <vector>

#include "core/process_group.h"

namespace xlembed {

struct Range {
  int64_t first, count;
};

// What the process of this rank holds of n things in order.
inline Range share_of(int64_t n, int64_t rank, int64_t size) {
  const int64_t first = n * rank / size;
  return {first, n * (rank + 1) / size - first};
}

// Of the queries of a batch, of their own passages and of the extra ones every process holds a contiguous
// share.
struct Share {
  // Of the whole batch's queries and passages.
  Share(int64_t all_queries, int64_t all_passages, int64_t rank, int64_t size)
      : queries(share_of(all_queries, rank, size)),
        extras(share_of(all_passages - all_queries, rank, size)),
        all_queries(all_queries),
        all_passages(all_passages) {}

  // The numbers that the sequences of this process have in the whole batch, whose passages come after its
  // queries.
  std::vector<int64_t> numbers() const;

  int64_t sequences() const { return 2 * queries.count + extras.count; }

  Range queries, extras;
  int64_t all_queries, all_passages;
};

// Brings rows together that lie in processes by share_of, and gives sums of rows back to where they came
// from. Rows may be of several kinds, each shared out for itself: a process's own rows stand kind after kind.
class RowExchange {
 public:
  // counts: rows of each kind, over all processes.
  RowExchange(const ProcessGroup& group, const std::vector<int64_t>& counts);

  // own (rows here, ...) -> (all rows, ...): first this process's rows of the first kind, then all others in
  // order.
  at::Tensor gather(const at::Tensor& own) const;

  // rows (all rows, ...) as gather() orders them -> (rows here, ...): the sum over all processes.
  at::Tensor scatter_sum(const at::Tensor& rows) const;

  // (all rows) int64: the number of each row that gather() gives in the batch's order.
  const at::Tensor& order() const { return order_; }

 private:
  const ProcessGroup& group_;
  int64_t block_ = 0;  // rows that each process sends, some of them unused where counts do not divide
  at::Tensor own_;     // (rows here) int64: their places in the block of this process
  at::Tensor places_;  // (all rows) int64: in the blocks of all processes, in the order of gather()
  at::Tensor order_;
};

}  // namespace xlembed
