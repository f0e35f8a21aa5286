#include "core/share.h"

#include <algorithm>
#include <numeric>

namespace xlembed {

std::vector<int64_t> Share::numbers() const {
  std::vector<int64_t> numbers(sequences());
  const auto own_passages = numbers.begin() + queries.count;
  std::iota(numbers.begin(), own_passages, queries.first);
  std::iota(own_passages, own_passages + queries.count, all_queries + queries.first);
  std::iota(own_passages + queries.count, numbers.end(), 2 * all_queries + extras.first);
  return numbers;
}

RowExchange::RowExchange(const ProcessGroup& group, const std::vector<int64_t>& counts) : group_(group) {
  const int64_t size = group.size();
  std::vector<int64_t> offsets;  // of each kind in a block
  for (const int64_t count : counts) {
    offsets.push_back(block_);
    block_ += (count + size - 1) / size;
  }
  std::vector<int64_t> own, places, order;
  int64_t before = 0;
  for (size_t kind = 0; kind < counts.size(); ++kind) {
    for (int64_t rank = 0; rank < size; ++rank) {
      const Range range = share_of(counts[kind], rank, size);
      for (int64_t row = 0; row < range.count; ++row) {
        if (rank == group.rank()) own.push_back(offsets[kind] + row);
        places.push_back(rank * block_ + offsets[kind] + row);
        order.push_back(before + range.first + row);
      }
    }
    before += counts[kind];
  }
  const Range first = counts.empty() ? Range{0, 0} : share_of(counts[0], group.rank(), size);
  for (std::vector<int64_t>* rows : {&places, &order}) {
    std::rotate(rows->begin(), rows->begin() + first.first, rows->begin() + first.first + first.count);
  }
  own_ = at::tensor(own, at::kLong).to(group.device());
  places_ = at::tensor(places, at::kLong).to(group.device());
  order_ = at::tensor(order, at::kLong).to(group.device());
}

at::Tensor RowExchange::gather(const at::Tensor& own) const {
  std::vector<int64_t> shape = own.sizes().vec();
  shape[0] = block_;
  const at::Tensor block = at::zeros(shape, own.options());
  block.index_copy_(0, own_, own);
  return group_.gather(block).index_select(0, places_);
}

at::Tensor RowExchange::scatter_sum(const at::Tensor& rows) const {
  std::vector<int64_t> shape = rows.sizes().vec();
  shape[0] = group_.size() * block_;
  const at::Tensor blocks = at::zeros(shape, rows.options());
  blocks.index_copy_(0, places_, rows);
  return group_.scatter_sum(blocks).index_select(0, own_);
}

}  // namespace xlembed
