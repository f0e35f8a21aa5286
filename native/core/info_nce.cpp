#include "core/info_nce.h"

#include <torch/csrc/autograd/graph_task.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>

#include "core/launch.h"
#include "kernels/product.h"

namespace xlembed {
namespace {

// Rows of the similarity matrix in memory at a time: on the CPU the products run at full rate from 512 rows
// on, and a smaller block stays in a cache. A GPU's run at full rate from some 2,048 rows on: what they read
// and write besides falls as 1 / rows (the passages, and their gradient, once for each block). Up to
// whole_bytes the symmetric form keeps the matrix from its first pass to its second instead of computing it
// again.
constexpr int64_t cached_bytes = int64_t{16} << 20;
constexpr int64_t block_bytes = int64_t{64} << 20;
constexpr int64_t whole_bytes = int64_t{64} << 20;
constexpr int64_t device_block_bytes = int64_t{1} << 30;
constexpr int64_t device_block_rows = 4096;

int64_t rows_in_block(int64_t row_bytes, bool is_cuda) {
  if (is_cuda) return std::clamp<int64_t>(device_block_bytes / row_bytes / 128 * 128, 128, device_block_rows);
  const int64_t fast = std::clamp<int64_t>(cached_bytes / row_bytes, 512, 1024);
  return std::max<int64_t>(std::min(fast, block_bytes / row_bytes), 128);
}

struct Wanted {
  bool queries = false, passages = false, temperature = false;
  bool any() const { return queries || passages || temperature; }
};

struct Sums {
  at::Tensor row_loss;           // (N)
  at::Tensor correct;            // (N) uint8
  at::Tensor queries_gradient;   // (N, D) float32, like the next two without the factor common to all rows
  at::Tensor passages_gradient;  // (M, D) float32
  at::Tensor scale_gradient;     // (N)
};

template <typename T>
auto matrix(const at::Tensor& x) {
  return kernels::Matrix{elements<T>(x), x.stride(0), x.stride(1)};
}

// The steps of the loss over blocks of rows; everything is allocated once and reused.
class Blocks {
 public:
  Blocks(const at::Tensor& queries, const at::Tensor& passages, const at::Tensor& scale,
         const InfoNceOptions& options, Wanted wanted)
      : narrow_products_(options.products == at::kBFloat16 || queries.scalar_type() == at::kBFloat16),
        queries_(operand(queries)),
        passages_(operand(passages)),
        scale_(scale),
        options_(options),
        wanted_(wanted),
        count_(queries.size(0)),
        columns_(passages.size(0)),
        stride_((columns_ + 15) / 16 * 16) {
    const int64_t row_bytes = stride_ * static_cast<int64_t>(sizeof(float));
    rows_per_block_ = std::min(count_, rows_in_block(row_bytes, queries.is_cuda()));
    whole_ = options.symmetric && wanted.any() && count_ * row_bytes <= whole_bytes;
    const at::TensorOptions floats = queries_.options().dtype(at::kFloat);
    values_ = at::empty({whole_ ? count_ : rows_per_block_, stride_}, floats);
    if (wanted.any() && queries.is_cuda() && narrow_products_) {
      narrow_ = at::empty_like(values_, at::kBFloat16);
    }
    results_ = at::empty({4, count_}, floats);
    sums_.row_loss = results_[0];
    sums_.correct = at::empty({count_}, floats.dtype(at::kByte));
    if (wanted.queries) sums_.queries_gradient = at::empty({count_, queries_.size(1)}, floats);
    if (wanted.passages) sums_.passages_gradient = at::empty({columns_, queries_.size(1)}, floats);
    if (wanted.any()) sums_.scale_gradient = at::empty({count_}, floats);
  }

  Sums run() {
    if (options_.symmetric) {
      run_symmetric();
    } else {
      for (int64_t first = 0; first < count_; first += rows_per_block_) {
        multiply_similarities(first);
        scan_rows(first, /*with_gradient=*/wanted_.any());
        if (wanted_.any()) multiply_gradients(first);
      }
    }
    return sums_;
  }

 private:
  // What the matrix products read: float32 or bfloat16. The CPU's round float32 themselves.
  at::Tensor operand(const at::Tensor& x) const {
    const bool is_narrow = x.is_cuda() ? narrow_products_ : x.scalar_type() == at::kBFloat16;
    return x.to(is_narrow ? at::kBFloat16 : at::kFloat).detach().contiguous();
  }

  void run_symmetric() {
    const at::TensorOptions floats = values_.options();
    const at::Tensor maximum = at::full({count_}, -std::numeric_limits<float>::infinity(), floats);
    const at::Tensor sum = at::zeros({count_}, floats);
    for (int64_t first = 0; first < count_; first += rows_per_block_) {
      multiply_similarities(first);
      scan_rows(first, /*with_gradient=*/false);
      const kernels::ColumnState state{maximum.mutable_data_ptr<float>(), sum.mutable_data_ptr<float>()};
      XLEMBED_LAUNCH(values_, info_nce_columns, block(first), scale_.const_data_ptr<float>(), count_, state);
    }
    const at::Tensor column_loss = sum.log() - (results_[3] - maximum) * scale_;
    sums_.row_loss = (sums_.row_loss + column_loss) * 0.5;
    if (!wanted_.any()) return;
    const at::Tensor share = options_.row_weights.defined() ? options_.row_weights / sum : sum.reciprocal();
    for (int64_t first = 0; first < count_; first += rows_per_block_) {
      if (!whole_) {
        multiply_similarities(first);
        XLEMBED_LAUNCH(values_, info_nce_mask, block(first), rule());
      }
      take_gradient(first, maximum, share);
      multiply_gradients(first);
    }
  }

  int64_t rows(int64_t first) const { return std::min(rows_per_block_, count_ - first); }

  // Of values_ or narrow_: the rows of the block, without the padding of each.
  at::Tensor rows_of(const at::Tensor& matrix, int64_t first) const {
    return matrix.narrow(0, whole_ ? first : 0, rows(first)).narrow(1, 0, columns_);
  }

  kernels::SimilarityBlock block(int64_t first) const {
    return {rows_of(values_, first).mutable_data_ptr<float>(), rows(first), columns_, stride_, first};
  }

  kernels::NegativeRule rule() const {
    const auto data = [](const at::Tensor& t) { return t.defined() ? t.const_data_ptr<int32_t>() : nullptr; };
    return {data(options_.passage_groups), data(options_.query_languages), data(options_.passage_languages),
            options_.negative_languages};
  }

  const float* weights() const {
    return options_.row_weights.defined() ? options_.row_weights.const_data_ptr<float>() : nullptr;
  }

  kernels::RowResults results() const {
    float* rows = results_.mutable_data_ptr<float>();
    return {rows, rows + count_, rows + 2 * count_, rows + 3 * count_,
            sums_.correct.mutable_data_ptr<uint8_t>()};
  }

  // similarities (rows, M) = queries (rows, D) . passages (M, D)^T
  void multiply_similarities(int64_t first) {
    multiply(rows_of(values_, first), queries_.narrow(0, first, rows(first)), passages_.t(), /*add=*/false);
  }

  void scan_rows(int64_t first, bool with_gradient) {
    const float* scale = scale_.const_data_ptr<float>();
    if (!with_gradient) {
      XLEMBED_LAUNCH(values_, info_nce_rows, block(first), scale, rule(), results());
      return;
    }
    float* along = sums_.scale_gradient.mutable_data_ptr<float>();
#ifdef XLEMBED_WITH_CUDA
    if (values_.is_cuda()) {
      with_device_gradient(first, [&](auto* gradient, cudaStream_t stream) {
        kernels::cuda::info_nce_rows_and_gradient(block(first), scale, rule(), weights(), results(), along,
                                                  gradient, stream);
      });
      return;
    }
#endif
    require_cpu(values_);
    kernels::info_nce_rows_and_gradient(block(first), scale, rule(), weights(), results(), along);
  }

#ifdef XLEMBED_WITH_CUDA
  // Where a GPU's gradient of a block goes: in place, or into the operands' type.
  template <typename Launch>
  void with_device_gradient(int64_t first, Launch launch) {
    const auto stream = at::cuda::getCurrentCUDAStream(values_.get_device()).stream();
    if (narrow_.defined()) {
      launch(mutable_elements<at::BFloat16>(rows_of(narrow_, first)), stream);
    } else {
      launch(block(first).values, stream);
    }
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  }
#endif

  // Turns similarities into gradients: in place, or into the operands' type.
  void take_gradient(int64_t first, const at::Tensor& column_maximum, const at::Tensor& column_share) {
    const auto data = [](const at::Tensor& t) { return t.defined() ? t.const_data_ptr<float>() : nullptr; };
    const kernels::GradientInputs inputs{weights(), data(results_[1]), data(results_[2]),
                                         data(column_maximum), data(column_share)};
    const float* scale = scale_.const_data_ptr<float>();
    float* along = sums_.scale_gradient.mutable_data_ptr<float>();
#ifdef XLEMBED_WITH_CUDA
    if (values_.is_cuda()) {
      with_device_gradient(first, [&](auto* gradient, cudaStream_t stream) {
        kernels::cuda::info_nce_gradient(block(first), scale, count_, inputs, along, gradient, stream);
      });
      return;
    }
#endif
    require_cpu(values_);
    kernels::info_nce_gradient(block(first), scale, count_, inputs, along);
  }

  // With g (rows, M): dQ of these rows (rows, D) = g . P, dP (M, D) += g^T . Q of these rows
  void multiply_gradients(int64_t first) {
    const at::Tensor g = rows_of(narrow_.defined() ? narrow_ : values_, first);
    if (wanted_.queries) {
      multiply(sums_.queries_gradient.narrow(0, first, rows(first)), g, passages_, /*add=*/false);
    }
    if (wanted_.passages) {
      multiply(sums_.passages_gradient, g.t(), queries_.narrow(0, first, rows(first)), /*add=*/first > 0);
    }
  }

  void multiply(at::Tensor out, const at::Tensor& a, const at::Tensor& b, bool add) {
    if (out.is_cpu()) {
      multiply_on_cpu(out, a, b, add);
    } else if (narrow_products_) {
      add ? at::addmm_out(out, out, a, b, at::kFloat) : at::mm_out(out, a, b, at::kFloat);
    } else {
      add ? at::addmm_out(out, out, a, b) : at::mm_out(out, a, b);
    }
  }

  void multiply_on_cpu(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, bool add) {
    const kernels::ProductShape shape{a.size(0), b.size(1), a.size(1)};
    float* c = out.mutable_data_ptr<float>();
    if (!narrow_products_) {
      kernels::multiply_float32(matrix<float>(a), matrix<float>(b), shape, c, out.stride(0), add, memory_);
    } else if (b.scalar_type() == at::kFloat) {
      kernels::multiply_bfloat16(matrix<float>(a), matrix<float>(b), shape, c, out.stride(0), add, memory_);
    } else if (a.scalar_type() == at::kFloat) {
      kernels::multiply_bfloat16(matrix<float>(a), matrix<at::BFloat16>(b), shape, c, out.stride(0), add,
                                 memory_);
    } else {
      kernels::multiply_bfloat16(matrix<at::BFloat16>(a), matrix<at::BFloat16>(b), shape, c, out.stride(0),
                                 add, memory_);
    }
  }

  bool narrow_products_;
  at::Tensor queries_, passages_, scale_;
  const InfoNceOptions& options_;
  Wanted wanted_;
  int64_t count_, columns_, stride_, rows_per_block_;
  bool whole_;
  at::Tensor values_;   // (rows_per_block or N, stride) float32
  at::Tensor narrow_;   // the same in bfloat16, which CUDA's products take
  at::Tensor results_;  // (4, N): loss, maximum, sum, positive
  Sums sums_;
  kernels::ProductMemory memory_;  // of the CPU's products
};

struct Outcome {
  Sums sums;
  at::Tensor loss;    // ()
  at::Tensor factor;  // (): 1 / the sum of the weights, halved when symmetric
};

Outcome compute(const at::Tensor& queries, const at::Tensor& passages, const at::Tensor& temperature,
                const InfoNceOptions& options, Wanted wanted) {
  const at::NoGradGuard no_grad;
  const c10::DeviceGuard guard(queries.device());
  const at::Tensor scale = temperature.detach().reciprocal();
  Outcome outcome;
  outcome.sums = Blocks(queries, passages, scale, options, wanted).run();
  const double directions = options.symmetric ? 2 : 1;
  if (options.row_weights.defined()) {
    const at::Tensor weights = options.row_weights.to(at::kDouble), total = weights.sum();
    outcome.loss = ((outcome.sums.row_loss * weights).sum() / total).to(at::kFloat);
    outcome.factor = (1 / (directions * total)).to(at::kFloat);
  } else {
    const auto count = static_cast<double>(queries.size(0));
    outcome.loss = outcome.sums.row_loss.sum(at::kDouble).div_(count).to(at::kFloat);
    outcome.factor = at::full({}, 1 / (directions * count), scale.options());
  }
  return outcome;
}

struct InfoNceFunction : torch::autograd::Function<InfoNceFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& queries,
                            const at::Tensor& passages, const at::Tensor& temperature,
                            const InfoNceOptions* options, Sums* row_results) {
    const Wanted wanted{queries.requires_grad(), passages.requires_grad(), temperature.requires_grad()};
    Outcome outcome = compute(queries, passages, temperature, *options, wanted);
    *row_results = {outcome.sums.row_loss, outcome.sums.correct, {}, {}, {}};
    context->save_for_backward(
        {temperature, outcome.factor,
         wanted.temperature ? outcome.sums.scale_gradient.sum(at::kDouble) : at::Tensor()});
    if (wanted.queries) context->saved_data["queries"] = outcome.sums.queries_gradient;
    if (wanted.passages) context->saved_data["passages"] = outcome.sums.passages_gradient;
    context->saved_data["dtype"] = static_cast<int64_t>(queries.scalar_type());
    return outcome.loss;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    if (at::GradMode::is_enabled()) {
      throw CodedError("INVALID_ARGUMENT", "the gradient of info_nce is not itself differentiable");
    }
    const auto saved = context->get_saved_variables();
    const at::Tensor& temperature = saved[0];
    const at::Tensor upstream = gradients[0] * saved[1];
    const at::Tensor factor = upstream / temperature;
    const auto dtype = static_cast<at::ScalarType>(context->saved_data["dtype"].toInt());
    // Without retain_graph there is no second use: the sums become the gradients, with no copy beside them
    // where they have their type.
    const bool keeps = torch::autograd::get_current_graph_task_keep_graph();
    const auto gradient = [&](const char* name) {
      const auto kept = context->saved_data.find(name);
      if (kept == context->saved_data.end()) return at::Tensor();
      const at::Tensor sum = kept->second.toTensor();
      if (!keeps) context->saved_data.erase(kept);
      if (keeps || dtype != at::kFloat) {
        at::Tensor result = at::empty(sum.sizes(), sum.options().dtype(dtype));
        return at::mul_out(result, sum, factor);
      }
      return sum.mul_(factor);
    };
    at::Tensor temperature_gradient;
    if (saved[2].defined()) {
      temperature_gradient = (saved[2] * upstream / -temperature.to(at::kDouble).square()).to(at::kFloat);
    }
    return {gradient("queries"), gradient("passages"), temperature_gradient, {}, {}};
  }
};

void expect(bool condition, const std::string& message, const char* code = "INVALID_ARGUMENT") {
  if (!condition) throw CodedError(code, message);
}

void expect_vector(const at::Tensor& tensor, const char* name, int64_t length, at::ScalarType dtype,
                   const at::Tensor& like) {
  if (!tensor.defined()) return;
  expect(tensor.dim() == 1 && tensor.size(0) == length && tensor.scalar_type() == dtype &&
             tensor.is_contiguous() && tensor.device() == like.device(),
         std::string("expected ") + std::to_string(length) + " dense " + c10::toString(dtype) +
             " values for " + name + " on the device of the queries");
}

void check(const at::Tensor& queries, const at::Tensor& passages, const InfoNceOptions& options) {
  expect(queries.dim() == 2 && passages.dim() == 2, "expected (rows, dimensions) for queries and passages");
  const int64_t N = queries.size(0), M = passages.size(0);
  expect(N > 0 && M >= N, "expected at least one passage for each of " + std::to_string(N) +
                              " queries (and at least one query), received " + std::to_string(M));
  expect(queries.size(1) == passages.size(1) && queries.size(1) > 0,
         "queries have " + std::to_string(queries.size(1)) + " dimensions, passages " +
             std::to_string(passages.size(1)),
         "DIMENSION_MISMATCH");
  expect(queries.scalar_type() == passages.scalar_type() && queries.device() == passages.device() &&
             (queries.scalar_type() == at::kFloat || queries.scalar_type() == at::kBFloat16 ||
              queries.scalar_type() == at::kHalf),
         "expected queries and passages of one type (float32, bfloat16, float16) on one device");
  const at::Tensor& learned = options.learned_temperature;
  expect(learned.defined() ? learned.dim() == 0 && learned.scalar_type() == at::kFloat &&
                                 learned.device() == queries.device()
                           : options.temperature > 0,
         "expected a temperature above 0 (or one float32 scalar on the device of the queries)");
  expect_vector(options.row_weights, "row_weights", N, at::kFloat, queries);
  expect_vector(options.passage_groups, "passage_groups", M, at::kInt, queries);
  expect_vector(options.query_languages, "query_languages", N, at::kInt, queries);
  expect_vector(options.passage_languages, "passage_languages", M, at::kInt, queries);
  expect(options.negative_languages == NegativeLanguages::any ||
             (options.query_languages.defined() && options.passage_languages.defined()),
         "expected query_languages and passage_languages for a rule on negative_languages");
  expect(!options.row_weights.defined() || options.row_weights.sum().item<double>() > 0,
         "expected row_weights with a positive sum");
}

}  // namespace

InfoNceResult info_nce(const at::Tensor& queries, const at::Tensor& passages, const InfoNceOptions& options) {
  check(queries, passages, options);
  const at::Tensor temperature = options.learned_temperature.defined()
                                     ? options.learned_temperature
                                     : at::full({}, options.temperature, queries.options().dtype(at::kFloat));
  const bool wants_gradient =
      at::GradMode::is_enabled() &&
      (queries.requires_grad() || passages.requires_grad() || temperature.requires_grad());
  InfoNceResult result;
  Sums sums;
  if (wants_gradient) {
    result.loss = InfoNceFunction::apply(queries, passages, temperature, &options, &sums);
  } else {
    Outcome outcome = compute(queries, passages, temperature, options, {});
    result.loss = outcome.loss;
    sums = outcome.sums;
  }
  result.row_loss = sums.row_loss;
  result.correct = sums.correct;
  return result;
}

double InfoNceResult::accuracy() const {
  return correct.sum(at::kDouble).item<double>() / static_cast<double>(correct.size(0));
}

}  // namespace xlembed
