#include <cmath>
#include <limits>

#include "check.h"
#include "device.h"
#include "kernels/info_nce.h"
#include "kernels/vector_exp.h"

namespace {

using device::Array;
using device::Kind;
using namespace xlembed::kernels;

// Every 997th float32 from the lowest argument to 88, so that every exponent and thousands of fractions are
// met.
void exp_error_stays_below_its_bound() {
  double worst = 0;
  const auto check_at = [&](float x) {
    const double exact = std::exp(static_cast<double>(x));
    worst = std::fmax(worst, std::fabs(vector_exp(x) - exact) / exact);
  };
  for (uint32_t bits = 0; bits <= std::bit_cast<uint32_t>(88.0f); bits += 997) {
    check_at(std::bit_cast<float>(bits));
    const float negative = -std::bit_cast<float>(bits);
    if (negative > -87.33f) check_at(negative);
  }
  CHECK(worst < std::exp2(-22));
  CHECK(worst > std::exp2(-26));  // or nothing was measured
  CHECK(vector_exp(0.0f) == 1.0f);
  CHECK(vector_exp(-88.0f) == 0.0f && vector_exp(-1e30f) == 0.0f);
  CHECK(vector_exp(-std::numeric_limits<float>::infinity()) == 0.0f);
  CHECK(std::isnan(vector_exp(std::nanf(""))));
}

// N queries, M passages, similarities in [-1, 1] in blocks of rows with a padded stride.
struct Problem {
  Kind kind;
  int64_t N, M, stride;
  Array<float> similarities, scale, weights;
  Array<int32_t> groups, query_languages, passage_languages;
  NegativeLanguages languages;

  Problem(Kind kind, int64_t N, int64_t M, NegativeLanguages languages)
      : kind(kind),
        N(N),
        M(M),
        stride((M + 15) / 16 * 16),
        similarities(kind, cosines(N, M, stride)),
        scale(kind, std::vector<float>{20.0f}),
        weights(kind, absolute(device::random<float>(N, 2))),
        groups(kind, codes(M, M / 3 + 1, -1)),
        query_languages(kind, codes(N, 3, 0)),
        passage_languages(kind, codes(M, 3, 0)),
        languages(languages) {}

  static std::vector<float> cosines(int64_t N, int64_t M, int64_t stride) {
    std::vector<float> values = device::random<float>(N * stride, 1);
    for (float& value : values) value = std::tanh(0.3f * value);
    for (int64_t i = 0; i < N; ++i) {
      values[i * stride + i] = 0.3f + 0.5f * std::fabs(values[i * stride + i]);
      std::fill_n(values.begin() + i * stride + M, stride - M,
                  std::nanf(""));  // padding is nobody's business
    }
    return values;
  }
  static std::vector<float> absolute(std::vector<float> values) {
    for (float& value : values) value = std::fabs(value);
    return values;
  }
  static std::vector<int32_t> codes(int64_t count, int32_t modulus, int32_t shift) {
    std::vector<int32_t> values(count);
    for (int64_t k = 0; k < count; ++k) values[k] = static_cast<int32_t>(k * 7919 % 104729 % modulus) + shift;
    return values;
  }

  NegativeRule rule() { return {groups.data(), query_languages.data(), passage_languages.data(), languages}; }
  bool masked(int64_t i, int64_t j) {
    if (i == j) return false;
    if (groups.get()[i] >= 0 && groups.get()[i] == groups.get()[j]) return true;
    if (languages == NegativeLanguages::any) return false;
    const bool same = query_languages.get()[i] == passage_languages.get()[j];
    return same == (languages == NegativeLanguages::other);
  }
};

// What the kernels must give, in float64 and without their tricks.
struct Reference {
  std::vector<double> row_sum, column_sum;  // of exp(logit)
  std::vector<double> loss;
  std::vector<uint8_t> correct;

  Reference(Problem& p, const std::vector<float>& s)
      : row_sum(p.N), column_sum(p.N), loss(p.N), correct(p.N, 1) {
    for (int64_t i = 0; i < p.N; ++i) {
      const float own = s[i * p.stride + i];
      for (int64_t j = 0; j < p.M; ++j) {
        if (p.masked(i, j)) continue;
        const float value = s[i * p.stride + j];
        row_sum[i] += std::exp(20.0 * value);
        if (j < p.N) column_sum[j] += std::exp(20.0 * value);
        if (j < i ? value >= own : value > own) correct[i] = 0;
      }
      loss[i] = std::log(row_sum[i]) - 20.0 * own;
    }
  }

  double gradient(Problem& p, const std::vector<float>& s, bool two_way, int64_t i, int64_t j) const {
    const double w = p.weights.get()[i], e = p.masked(i, j) ? 0 : std::exp(20.0 * s[i * p.stride + j]);
    double g = w * (e / row_sum[i] - (i == j));
    if (two_way && j < p.N) g += p.weights.get()[j] * (e / column_sum[j] - (i == j));
    return g;
  }
};

struct Outputs {
  Array<float> loss, maximum, sum, positive, scale_gradient;
  Array<uint8_t> correct;
  Outputs(Kind kind, int64_t N)
      : loss(kind, N),
        maximum(kind, N),
        sum(kind, N),
        positive(kind, N),
        scale_gradient(kind, N),
        correct(kind, N) {}
  RowResults results() { return {loss.data(), maximum.data(), sum.data(), positive.data(), correct.data()}; }
};

// Of the logarithm of a float32 sum of a thousand terms, even where no vector lanes share them.
constexpr double sum_error = 8e-6;

constexpr int64_t block_rows = 300;  // several blocks at N = 1000

SimilarityBlock block_at(Problem& p, int64_t first) {
  return {p.similarities.data() + first * p.stride, std::min(block_rows, p.N - first), p.M, p.stride, first};
}

void check_rows(Problem& p, const std::vector<float>& s, const Reference& expected, Outputs& out) {
  for (int64_t i = 0; i < p.N; ++i) {
    CHECK_CLOSE(out.loss.get()[i], expected.loss[i], sum_error, 1e-6);
    CHECK_CLOSE(20.0 * out.maximum.get()[i] + std::log(out.sum.get()[i]), std::log(expected.row_sum[i]),
                sum_error, 0);
    CHECK(out.positive.get()[i] == s[i * p.stride + i]);
    CHECK(out.correct.get()[i] == expected.correct[i]);
  }
}

void check_gradient(Problem& p, const std::vector<float>& s, const Reference& expected, bool two_way,
                    const std::vector<float>& gradient, Outputs& out) {
  for (int64_t i = 0; i < p.N; ++i) {
    double along = 0;
    bool ok = true;  // one check a row: there are millions of elements
    for (int64_t j = 0; j < p.M; ++j) {
      const double g = expected.gradient(p, s, two_way, i, j);
      const double error = std::fabs(gradient[i * p.stride + j] - g);
      ok &= error <= 1e-6 + 5e-6 * std::fabs(g);
      along += p.masked(i, j) ? 0 : g * s[i * p.stride + j];
    }
    CHECK(ok);
    CHECK_CLOSE(out.scale_gradient.get()[i], along, 5e-6, 5e-6);
  }
}

void one_direction(Kind kind, int64_t N, int64_t M, NegativeLanguages languages) {
  Problem p(kind, N, M, languages);
  const std::vector<float> s = p.similarities.get();
  const Reference expected(p, s);
  Outputs out(kind, N);
  for (int64_t first = 0; first < N; first += block_rows) {
    const SimilarityBlock block = block_at(p, first);
    LAUNCH(kind, info_nce_rows, block, p.scale.data(), p.rule(), out.results());
    const GradientInputs inputs{p.weights.data(), out.maximum.data(), out.sum.data(), nullptr, nullptr};
    if (kind == Kind::cpu) info_nce_gradient(block, p.scale.data(), N, inputs, out.scale_gradient.data());
#ifdef XLEMBED_WITH_CUDA
    if (kind == Kind::cuda) {
      cuda::info_nce_gradient(block, p.scale.data(), N, inputs, out.scale_gradient.data(), block.values,
                              nullptr);
    }
#endif
  }
  check_rows(p, s, expected, out);
  check_gradient(p, s, expected, false, p.similarities.get(), out);
}

// The CPU's fused form gives the bits of its two parts.
void fused(int64_t N, int64_t M, NegativeLanguages languages) {
  Problem p(Kind::cpu, N, M, languages), q(Kind::cpu, N, M, languages);
  Outputs apart(Kind::cpu, N), together(Kind::cpu, N);
  for (int64_t first = 0; first < N; first += block_rows) {
    info_nce_rows(block_at(p, first), p.scale.data(), p.rule(), apart.results());
    const GradientInputs inputs{p.weights.data(), apart.maximum.data(), apart.sum.data(), nullptr, nullptr};
    info_nce_gradient(block_at(p, first), p.scale.data(), N, inputs, apart.scale_gradient.data());
    info_nce_rows_and_gradient(block_at(q, first), q.scale.data(), q.rule(), q.weights.data(),
                               together.results(), together.scale_gradient.data());
  }
  for (int64_t i = 0; i < N; ++i) {
    CHECK(std::memcmp(p.similarities.data() + i * p.stride, q.similarities.data() + i * p.stride,
                      M * sizeof(float)) == 0);
  }
  CHECK(device::equal_bits(apart.loss.get(), together.loss.get()));
  CHECK(device::equal_bits(apart.scale_gradient.get(), together.scale_gradient.get()));
}

#ifdef XLEMBED_WITH_CUDA
// A GPU's fused form may add in another order than its parts.
void fused_on_gpu(int64_t N, int64_t M, NegativeLanguages languages) {
  Problem p(Kind::cuda, N, M, languages);
  const std::vector<float> s = p.similarities.get();
  const Reference expected(p, s);
  Outputs out(Kind::cuda, N);
  Array<bfloat16> narrow(Kind::cuda, N * p.stride);
  for (int64_t first = 0; first < N; first += block_rows) {
    const SimilarityBlock block = block_at(p, first);
    cuda::info_nce_rows_and_gradient(block, p.scale.data(), p.rule(), p.weights.data(), out.results(),
                                     out.scale_gradient.data(), narrow.data() + first * p.stride, nullptr);
    cuda::info_nce_rows_and_gradient(block, p.scale.data(), p.rule(), p.weights.data(), out.results(),
                                     out.scale_gradient.data(), block.values, nullptr);
  }
  check_rows(p, s, expected, out);
  check_gradient(p, s, expected, false, p.similarities.get(), out);
  bool ok = true;
  for (int64_t i = 0; i < N; ++i) {
    for (int64_t j = 0; j < M; ++j) {
      const double g = expected.gradient(p, s, false, i, j);
      ok &= std::fabs(to_float(narrow.get()[i * p.stride + j]) - g) <= 1e-6 + 4e-3 * std::fabs(g);
    }
  }
  CHECK(ok);
}
#endif

void two_directions(Kind kind, int64_t N, int64_t M, NegativeLanguages languages) {
  Problem p(kind, N, M, languages);
  const std::vector<float> s = p.similarities.get();
  const Reference expected(p, s);
  Outputs out(kind, N);
  Array<float> column_maximum(kind, std::vector<float>(N, -std::numeric_limits<float>::infinity()));
  Array<float> column_sum(kind, std::vector<float>(N));
  for (int64_t first = 0; first < N; first += block_rows) {
    const ColumnState state{column_maximum.data(), column_sum.data()};
    LAUNCH(kind, info_nce_rows, block_at(p, first), p.scale.data(), p.rule(), out.results());
    LAUNCH(kind, info_nce_columns, block_at(p, first), p.scale.data(), N, state);
  }
  check_rows(p, s, expected, out);
  std::vector<float> share(N);
  for (int64_t j = 0; j < N; ++j) {
    const double log_sum_exp = 20.0 * column_maximum.get()[j] + std::log(column_sum.get()[j]);
    CHECK_CLOSE(log_sum_exp, std::log(expected.column_sum[j]), sum_error, 0);
    share[j] = p.weights.get()[j] / column_sum.get()[j];
  }
  Array<float> column_share(kind, share);
  const GradientInputs inputs{p.weights.data(), out.maximum.data(), out.sum.data(), column_maximum.data(),
                              column_share.data()};
  // A recomputed block, masked on its own.
  Array<float> again(kind, s);
  for (int64_t first = 0; first < N; first += block_rows) {
    SimilarityBlock block = block_at(p, first);
    block.values = again.data() + first * p.stride;
    LAUNCH(kind, info_nce_mask, block, p.rule());
    if (kind == Kind::cpu) info_nce_gradient(block, p.scale.data(), N, inputs, out.scale_gradient.data());
#ifdef XLEMBED_WITH_CUDA
    if (kind == Kind::cuda) {
      Array<bfloat16> narrow(kind, block.rows * block.stride);
      cuda::info_nce_gradient(block, p.scale.data(), N, inputs, out.scale_gradient.data(), narrow.data(),
                              nullptr);
      for (int64_t r = 0; r < block.rows; ++r) {
        for (int64_t j = 0; j < M; ++j) {
          const double g = expected.gradient(p, s, true, first + r, j);
          CHECK_CLOSE(to_float(narrow.get()[r * block.stride + j]), g, 1e-6, 4e-3);
        }
      }
      cuda::info_nce_gradient(block, p.scale.data(), N, inputs, out.scale_gradient.data(), block.values,
                              nullptr);
    }
#endif
  }
  check_gradient(p, s, expected, true, again.get(), out);
}

template <typename Body>
void everywhere(Body body) {
  // The last three: on a GPU a row in a cluster of eight, in one that holds twice as much, and too long to be
  // held.
  const int64_t shapes[][2] = {{1, 1},     {1, 31},     {31, 33},     {33, 33},
                               {33, 1000}, {310, 400},  {1000, 1000}, {1000, 1003},
                               {31, 4097}, {3, 40'001}, {1, 100'003}, {2, 131'075}};
  for (const Kind kind : device::all()) {
    for (const auto& [N, M] : shapes) {
      if (device::emulated && N * M > 130'000) continue;
      body(kind, N, M, NegativeLanguages::any);
      body(kind, N, M, NegativeLanguages::same);
      body(kind, N, M, NegativeLanguages::other);
    }
  }
}

// A NaN or an infinity among the negatives reaches its row's loss and its column's sum, wherever it stands.
void not_finite_shows() {
  for (const Kind kind : device::all()) {
    for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
      for (const int64_t place : {0, 4, 5, 700}) {
        const int64_t N = 6, M = 701, stride = 704;
        std::vector<float> host = Problem::cosines(N, M, stride);
        host[2 * stride + place] = bad;
        Array<float> s(kind, host), scale(kind, std::vector<float>{20.0f});
        Outputs out(kind, N);
        Array<float> maximum(kind, std::vector<float>(N, -std::numeric_limits<float>::infinity()));
        Array<float> sum(kind, std::vector<float>(N));
        const SimilarityBlock block{s.data(), N, M, stride, 0};
        LAUNCH(kind, info_nce_rows, block, scale.data(), NegativeRule{}, out.results());
        LAUNCH(kind, info_nce_columns, block, scale.data(), N, (ColumnState{maximum.data(), sum.data()}));
        for (int64_t i = 0; i < N; ++i) {
          CHECK(std::isfinite(out.loss.get()[i]) == (i != 2));
          CHECK(std::isfinite(sum.get()[i]) == (i != place));
        }
      }
    }
  }
}

}  // namespace

int main() {
  return check::run({
      {"exp: the error stays below its bound", exp_error_stays_below_its_bound},
      {"one direction", [] { everywhere(one_direction); }},
      {"both directions", [] { everywhere(two_directions); }},
      {"the fused form equals its parts",
       [] {
         everywhere([](Kind kind, int64_t N, int64_t M, NegativeLanguages languages) {
           if (kind == Kind::cpu) fused(N, M, languages);
#ifdef XLEMBED_WITH_CUDA
           if (kind == Kind::cuda) fused_on_gpu(N, M, languages);
#endif
         });
       }},
      {"not finite shows", not_finite_shows},
  });
}
