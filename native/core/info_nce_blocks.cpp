#include "core/info_nce_blocks.h"

#include <algorithm>
#include <limits>

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

template <typename T>
auto matrix(const at::Tensor& x) {
  return kernels::Matrix{elements<T>(x), x.stride(0), x.stride(1)};
}

// The steps of the loss over blocks of rows; everything is allocated once and reused.
class Blocks {
 public:
  Blocks(const at::Tensor& queries, const at::Tensor& passages, const at::Tensor& scale,
         const InfoNceOptions& options, InfoNceWanted wanted)
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

  InfoNceSums run() {
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
    // At most 8 MB and 1 MB for each thread, kept from loss to loss: to have it from the system anew takes a
    // good part of a small one.
    static thread_local kernels::ProductMemory memory;
    const kernels::ProductShape shape{a.size(0), b.size(1), a.size(1)};
    float* c = out.mutable_data_ptr<float>();
    if (!narrow_products_) {
      kernels::multiply_float32(matrix<float>(a), matrix<float>(b), shape, c, out.stride(0), add, memory);
    } else if (b.scalar_type() == at::kFloat) {
      kernels::multiply_narrow(matrix<float>(a), matrix<float>(b), shape, c, out.stride(0), add, memory);
    } else if (a.scalar_type() == at::kFloat) {
      kernels::multiply_narrow(matrix<float>(a), matrix<at::BFloat16>(b), shape, c, out.stride(0), add,
                               memory);
    } else {
      kernels::multiply_narrow(matrix<at::BFloat16>(a), matrix<at::BFloat16>(b), shape, c, out.stride(0), add,
                               memory);
    }
  }

  bool narrow_products_;
  at::Tensor queries_, passages_, scale_;
  const InfoNceOptions& options_;
  InfoNceWanted wanted_;
  int64_t count_, columns_, stride_, rows_per_block_;
  bool whole_;
  at::Tensor values_;   // (rows_per_block or N, stride) float32
  at::Tensor narrow_;   // the same in bfloat16, which CUDA's products take
  at::Tensor results_;  // (4, N): loss, maximum, sum, positive
  InfoNceSums sums_;
};

}  // namespace

InfoNceSums info_nce_blocks(const at::Tensor& queries, const at::Tensor& passages, const at::Tensor& scale,
                            const InfoNceOptions& options, InfoNceWanted wanted) {
  return Blocks(queries, passages, scale, options, wanted).run();
}

}  // namespace xlembed
