// Ops made of matrix products: the contrastive loss and exact search.
#include <memory>
#include <optional>

#include "addon/benchmark_case.h"
#include "core/error.h"
#include "core/flat_index.h"
#include "core/info_nce.h"
#include "kernels/amx.h"
#include "kernels/top_k_two_pass.h"

namespace xlembed::addon {
namespace {

constexpr double kTemperature = 0.05;

at::Tensor unit_rows(const at::Tensor& x) { return x.div_(x.norm(2, {1}, true)); }  // in place

struct Pairs {
  at::Tensor queries;   // (N, D), wants a gradient
  at::Tensor passages;  // (N, D), wants a gradient
};

// Forward and backward; {gradient of the queries, of the passages, loss}.
template <typename Loss>
std::function<Work()> with_gradient(const Pairs& pairs, Loss loss_of) {
  return [=]() -> Work {
    return [=](int64_t) -> std::vector<at::Tensor> {
      const at::AutoGradMode with_grad(true);
      const at::Tensor loss = loss_of(pairs.queries, pairs.passages);
      auto gradients = torch::autograd::grad({loss}, {pairs.queries, pairs.passages});
      return {gradients[0], gradients[1], loss.detach()};
    };
  };
}

at::Tensor eager_loss(const at::Tensor& queries, const at::Tensor& passages) {
  const at::Tensor logits = queries.mm(passages.t()) / kTemperature;
  return at::cross_entropy_loss(logits, at::arange(queries.size(0), logits.options().dtype(at::kLong)));
}

// The matrix products of the loss and its gradient alone, in libtorch, over blocks of rows: similarities,
// gradient of the queries, gradient of the passages.
Work products_alone(const Pairs& pairs) {
  const at::Tensor q = pairs.queries.detach(), p = pairs.passages.detach();
  const int64_t count = q.size(0), block = std::min<int64_t>(count, q.is_cuda() ? 4096 : 1024);
  const at::Tensor similarities = at::empty({block, count}, q.options());
  const at::Tensor dq = at::empty_like(q), dp = at::empty_like(p);
  return [=](int64_t) -> std::vector<at::Tensor> {
    for (int64_t first = 0; first < count; first += block) {
      const int64_t rows = std::min(block, count - first);
      const at::Tensor q_rows = q.narrow(0, first, rows);
      at::Tensor s = similarities.narrow(0, 0, rows), dq_rows = dq.narrow(0, first, rows), dp_sum = dp;
      at::mm_out(s, q_rows, p.t());
      at::mm_out(dq_rows, s, p);
      if (first == 0) {
        at::mm_out(dp_sum, s.t(), q_rows);
      } else {
        at::addmm_out(dp_sum, dp_sum, s.t(), q_rows);
      }
    }
    return {dq, dp};
  };
}

constexpr int64_t kRowsAtOnce = 1 << 18;  // brought to a device

at::Tensor signs(const at::Tensor& x) { return x.gt(0).to(at::kFloat).mul_(2).sub_(1); }

// The CPU keeps them; a GPU, whose memory others need, draws those that are wanted.
class Rows {
 public:
  using Form = at::Tensor (*)(const at::Tensor&);  // what becomes of random values

  Rows(int64_t count, int64_t dimensions, int64_t seed, at::Device device, Form form)
      : count_(count), dimensions_(dimensions), seed_(seed), device_(device), form_(form) {
    if (device.is_cpu()) kept_ = draw(0, count);
  }

  int64_t count() const { return count_; }
  int64_t dimensions() const { return dimensions_; }

  // Calls body(first row, rows (n, D) float32) for some rows after the other.
  template <typename Body>
  void each(Body body) const {
    for (int64_t first = 0; first < count_; first += kRowsAtOnce) {
      const int64_t some = std::min(kRowsAtOnce, count_ - first);
      body(first, kept_.defined() ? kept_.narrow(0, first, some) : draw(first, some));
    }
  }

 private:
  at::Tensor draw(int64_t first, int64_t count) const {
    return form_(random_values({count, dimensions_}, seed_, device_, first * dimensions_));
  }

  int64_t count_, dimensions_, seed_;
  at::Device device_;
  Form form_;
  at::Tensor kept_;
};

struct SearchInputs {
  Rows corpus;
  at::Tensor queries;  // (Q, D) likewise, on the CPU
  at::Device device;
  int64_t k;
};

Work search_flat(const SearchInputs& inputs, const std::shared_ptr<FlatIndex>& index) {
  at::Tensor pinned;
  inputs.corpus.each([&](int64_t, const at::Tensor& rows) {
    at::Tensor host = rows;
    if (!rows.is_cpu()) {
      if (!pinned.defined())
        pinned = at::empty(rows.sizes(), at::TensorOptions(at::kFloat).pinned_memory(true));
      host = pinned.narrow(0, 0, rows.size(0)).copy_(rows);
    }
    index->add(host.const_data_ptr<float>(), host.size(0));
  });
  return [queries = inputs.queries, k = inputs.k, index](int64_t) -> std::vector<at::Tensor> {
    const SearchResult found = index->search(queries.const_data_ptr<float>(), queries.size(0), k);
    return {at::tensor(found.scores)};
  };
}

// Scores in memory, then the best of them: blocks of queries whose float32 scores take at most 256 MB, on a
// GPU 4 GB.
Work search_eager(const SearchInputs& inputs, at::ScalarType dtype = at::kFloat) {
  const at::TensorOptions options = at::TensorOptions(inputs.device).dtype(dtype);
  const at::Tensor corpus = at::empty({inputs.corpus.count(), inputs.corpus.dimensions()}, options),
                   queries = inputs.queries.to(options);
  inputs.corpus.each(
      [&](int64_t first, const at::Tensor& rows) { corpus.narrow(0, first, rows.size(0)).copy_(rows); });
  const int64_t scores_at_once = int64_t{inputs.device.is_cpu() ? 64 : 1024} << 20;
  const int64_t block = std::max<int64_t>(1, scores_at_once / corpus.size(0));
  return [corpus, queries, block, k = inputs.k](int64_t) -> std::vector<at::Tensor> {
    std::vector<at::Tensor> scores;
    for (const at::Tensor& some : queries.split(block)) {
      scores.push_back(std::get<0>(some.mm(corpus.t()).topk(k)));
    }
    return {at::cat(scores).flatten().to(at::kCPU, at::kFloat)};
  };
}

// What products of bfloat16 are computed in.
const char* narrow_arithmetic(const BenchmarkOptions& options) {
  return options.device.is_cpu() && !kernels::amx_granted() ? "int16" : "bfloat16";
}

}  // namespace

std::vector<Implementation> info_nce_case(const BenchmarkOptions& options) {
  const int64_t pairs = options.size("pairs"), dimensions = options.size("dimensions");
  const auto draw = [&](int64_t seed) {
    return unit_rows(random_values({pairs, dimensions}, seed, options.device))
        .to(options.dtype)
        .set_requires_grad(true);
  };
  const Pairs inputs{draw(options.seed), draw(options.seed + 1)};
  const double product = 2.0 * pairs * pairs * dimensions;
  const double bytes = 4.0 * pairs * dimensions * inputs.queries.element_size();
  const char* type = options.dtype == at::kFloat ? "float32" : "bfloat16";
  const auto ours = [&](at::ScalarType products) {
    return with_gradient(inputs, [products](const at::Tensor& q, const at::Tensor& p) {
      InfoNceOptions loss;
      loss.temperature = kTemperature;
      loss.products = products;
      return info_nce(q, p, loss).loss;
    });
  };
  const Implementation alone{"3 products alone", bytes, 3 * product, type,
                             [=] { return products_alone(inputs); }};
  const char* narrow = narrow_arithmetic(options);
  const Implementation first{"xlembed", bytes, 3 * product, options.dtype == at::kFloat ? type : narrow,
                             ours(at::kFloat)};
  // In eager mode several matrices of similarities are in memory: 4 GB each from here on.
  if (options.device.is_cpu() && pairs > 32768) return {first, alone};
  std::vector<Implementation> all = {
      first, {"libtorch", bytes, 3 * product, type, with_gradient(inputs, eager_loss)}, alone};
  if (options.dtype == at::kFloat) {
    all.push_back({"xlembed, bfloat16 products", bytes, 3 * product, narrow, ours(at::kBFloat16)});
  }
  return all;
}

std::vector<Implementation> top_k_case(const BenchmarkOptions& options) {
  const int64_t rows = options.size("rows"), dimensions = options.size("dimensions"),
                queries = options.size("queries");
  const SearchInputs inputs{Rows(rows, dimensions, options.seed, options.device, unit_rows),
                            unit_rows(random_values({queries, dimensions}, options.seed + 1)), options.device,
                            std::min(options.size("k"), rows)};
  const double values = static_cast<double>(rows) * dimensions, operations = 2 * values * queries;
  const auto flat = [inputs, dimensions](std::optional<kernels::Narrow> narrow) {
    return
        [=] { return search_flat(inputs, std::make_shared<FlatIndex>(dimensions, inputs.device, narrow)); };
  };
  const auto stored = [inputs, dimensions](Storage storage) {
    return
        [=] { return search_flat(inputs, std::make_shared<FlatIndex>(dimensions, inputs.device, storage)); };
  };
  if (options.dtype == at::kBFloat16) {
    return {{"xlembed", 2 * values, operations, narrow_arithmetic(options), stored(Storage::bfloat16)},
            {"libtorch", 2 * values, operations, "bfloat16",
             [=] { return search_eager(inputs, at::kBFloat16); }}};
  }
  const bool two_passes =
      options.device.is_cpu() && kernels::takes_two_passes(queries, rows, dimensions, inputs.k);
  std::vector<Implementation> all = {
      {"xlembed", 4 * values, operations, two_passes ? narrow_arithmetic(options) : "float32", flat({})},
      {"libtorch", 4 * values, operations, "float32", [=] { return search_eager(inputs); }},
      {"xlembed, bfloat16 first", 2 * values, operations, narrow_arithmetic(options),
       flat(kernels::Narrow::bfloat16)}};
  if (options.device.is_cpu()) {
    all.push_back({"xlembed, int8 first", values, operations, "int8", flat(kernels::Narrow::int8)});
  } else {
    all.push_back({"xlembed, int8 alone", values, operations, "bfloat16", stored(Storage::int8)});
    // Through pinned buffers: all but an eighth of the vectors have no room on the device.
    const auto budget_bytes = static_cast<int64_t>(values / 2);
    all.push_back({"xlembed, streamed", 4 * values, operations, "float32", [=] {
                     return search_flat(inputs, std::make_shared<FlatIndex>(dimensions, inputs.device,
                                                                            std::nullopt, budget_bytes));
                   }});
  }
  return all;
}

// libtorch multiplies the signs. Operations on bits are not counted: what bounds few queries is reading.
std::vector<Implementation> top_k_binary_case(const BenchmarkOptions& options) {
  const int64_t rows = options.size("rows"), dimensions = options.size("dimensions");
  const SearchInputs inputs{Rows(rows, dimensions, options.seed, options.device, signs),
                            signs(random_values({options.size("queries"), dimensions}, options.seed + 1)),
                            options.device, std::min(options.size("k"), rows)};
  const double values = static_cast<double>(rows) * dimensions;
  const auto ours = [=] {
    return search_flat(inputs, std::make_shared<FlatIndex>(dimensions, inputs.device, Storage::binary));
  };
  const double operations = 2 * values * inputs.queries.size(0);
  return {{"xlembed", values / 8, 0, "int8", ours},
          {"libtorch", 4 * values, operations, "float32", [=] { return search_eager(inputs); }}};
}

}  // namespace xlembed::addon
