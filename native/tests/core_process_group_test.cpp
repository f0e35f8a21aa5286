// Several ranks as threads of one process; several processes: test/training/process_group.test.ts.
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "check.h"
#include "core/gradient_buckets.h"
#include "core/share.h"

namespace {

using std::chrono::milliseconds;
using namespace xlembed;

void in_ranks(int64_t size, const std::function<void(const std::shared_ptr<ProcessGroup>&)>& work) {
  const Store server("127.0.0.1", 0, true, milliseconds(20000));
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      const Store store("127.0.0.1", server.port(), false, milliseconds(20000));
      work(std::make_shared<ProcessGroup>(
          store, ProcessGroupOptions{.name = "test", .rank = rank, .size = size, .loopback = true}));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Row r of kind k is (100 k + r, 1): 5 and 2 rows over three ranks, which neither divides.
void rows_come_together_and_go_back() {
  in_ranks(3, [](const std::shared_ptr<ProcessGroup>& group) {
    const RowExchange exchange(*group, {5, 2});
    const Range first = share_of(5, group->rank(), 3), second = share_of(2, group->rank(), 3);
    const at::Tensor values = at::cat({at::arange(5), at::arange(2) + 100}).to(at::kFloat);
    const at::Tensor all = at::stack({values, at::ones(7)}, 1);
    const at::Tensor own =
        at::cat({all.narrow(0, first.first, first.count), all.narrow(0, 5 + second.first, second.count)});
    const at::Tensor gathered = exchange.gather(own);
    CHECK(gathered.equal(all.index_select(0, exchange.order())));
    CHECK(gathered.narrow(0, 0, first.count).equal(own.narrow(0, 0, first.count)));
    // Every rank gives rank + 1 times the rows: 6 times as much comes back.
    CHECK(exchange.scatter_sum(gathered * (group->rank() + 1)).equal(own * 6));
  });
}

// Three parameters in buckets of one each; the second has no gradient anywhere, the third in one rank alone.
void gradients_are_summed() {
  in_ranks(2, [](const std::shared_ptr<ProcessGroup>& group) {
    std::vector<at::Tensor> parameters;
    for (int64_t k = 0; k < 3; ++k) parameters.push_back(at::ones({3 + k}).requires_grad_(true));
    GradientBuckets buckets(parameters, group, /*bucket_bytes=*/8);
    for (int step = 0; step < 2; ++step) {
      const double factor = group->rank() + 1 + step;
      (parameters[0] * factor).sum().backward();  // an earlier chunk: nothing leaves
      CHECK(!buckets.started());
      buckets.begin({at::ones({3}), at::Tensor(), at::Tensor()}, /*factor=*/2);
      at::Tensor loss = (parameters[0] * factor).sum();
      if (group->rank() == 1) loss = loss + parameters[2].square().sum();
      loss.backward();
      buckets.finish();
      // Twice 1 + step and twice 2 + step, and two ranks' earlier ones.
      CHECK(parameters[0].grad().equal(at::full({3}, 10.0 + 4 * step)));
      CHECK(!parameters[1].grad().defined());
      CHECK(parameters[2].grad().equal(at::full({5}, 2.0)));
      for (const at::Tensor& parameter : parameters) parameter.mutable_grad() = at::Tensor();
    }
  });
}

}  // namespace

int main() {
  return check::run({
      {"rows come together and go back", rows_come_together_and_go_back},
      {"gradients are summed", gradients_are_summed},
  });
}
