// The gradient cache against one graph over the whole batch: chunks, kept graphs, activation checkpointing,
// accumulated batches, and memory that runs out.
#include <sys/resource.h>

#include <cstring>
#include <fstream>

#include "check.h"
#include "core/error.h"
#include "core/memory.h"
#include "core/trainer.h"

namespace {

using xlembed::Encoder;
using xlembed::StepResult;
using xlembed::Trainer;
using xlembed::TrainerOptions;
using xlembed::TrainingBatch;

std::shared_ptr<Encoder> small_encoder(int64_t width = 16) {
  xlembed::EncoderOptions options;
  options.backbone = xlembed::TransformerConfig{.vocabulary_size = 50,
                                                .hidden_size = width,
                                                .layers = 3,
                                                .heads = 2,
                                                .intermediate_size = 2 * width,
                                                .max_positions = 40,
                                                .token_types = 1,
                                                .layer_norm_epsilon = 1e-5,
                                                .first_position = 2,
                                                .activation = "gelu",
                                                .hidden_dropout = 0.1,
                                                .attention_dropout = 0.2};
  options.head = {{.kind = xlembed::HeadModule::Kind::pool, .modes = {"mean"}}};
  options.initializer_range = 0.3;
  options.seed = 3;
  return std::make_shared<Encoder>(options);
}

// `queries` short queries, then as many longer passages and three more.
TrainingBatch batch_of(int64_t queries, int64_t longest = 30) {
  TrainingBatch batch{.cumulative = {0}, .queries = queries, .step = 4, .learning_rate = 1e-3};
  for (int64_t b = 0; b < 2 * queries + 3; ++b) {
    const int64_t length = b < queries ? 2 + b % 3 : 5 + (7 * b) % (longest - 5);
    for (int64_t t = 0; t < length; ++t) {
      batch.ids.push_back(static_cast<int32_t>((31 * b + 17 * t + b * t) % 50));
    }
    batch.cumulative.push_back(static_cast<int32_t>(batch.ids.size()));
  }
  return batch;
}

TrainerOptions options_of(int64_t chunk_tokens = 0, int64_t graph_tokens = 0) {
  TrainerOptions options;
  options.loss = {.normalize = true, .temperature = 0.1};
  options.max_gradient_norm = 0;
  options.seed = 9;
  options.chunk_tokens = chunk_tokens;
  options.graph_tokens = graph_tokens;
  return options;
}

struct Outcome {
  StepResult result;
  std::vector<at::Tensor> gradients;  // one for each leaf
};

// A batch's gradients: a step without an update keeps them.
Outcome gradients_of(const TrainerOptions& options, TrainingBatch batch) {
  const auto encoder = small_encoder();
  Trainer trainer(encoder, options);
  batch.update = false;
  const StepResult result = trainer.step(batch);
  for (const xlembed::Leaf& leaf : encoder->parameters().leaves()) CHECK(!leaf.tensor.grad().defined());
  return {result, trainer.gradients()};
}

double relative_difference(const Outcome& a, const Outcome& b) {
  double difference = 0, norm = 0;
  for (size_t k = 0; k < a.gradients.size(); ++k) {
    const at::Tensor x = a.gradients[k].to(at::kDouble), y = b.gradients[k].to(at::kDouble);
    difference += (x - y).square().sum().item<double>();
    norm += y.square().sum().item<double>();
  }
  return std::sqrt(difference / norm);
}

bool same_bits(const Outcome& a, const Outcome& b) {
  for (size_t k = 0; k < a.gradients.size(); ++k) {
    if (!at::equal(a.gradients[k], b.gradients[k])) return false;
  }
  return a.result.loss == b.result.loss;
}

void chunks_hold_every_sequence_once() {
  const TrainingBatch batch = batch_of(20);
  const auto chunks = xlembed::split_batch(batch.ids, batch.cumulative, 64);
  std::vector<int> seen(43);
  int64_t last = 0;
  for (const xlembed::Chunk& chunk : chunks) {
    CHECK(chunk.ids.size() <= 64 && chunk.cumulative.size() == chunk.sequences.size() + 1);
    for (size_t k = 0; k < chunk.sequences.size(); ++k) {
      const int64_t b = chunk.sequences[k];
      const int64_t length = chunk.cumulative[k + 1] - chunk.cumulative[k];
      CHECK(length == batch.cumulative[b + 1] - batch.cumulative[b] && length >= last);
      CHECK(std::equal(chunk.ids.begin() + chunk.cumulative[k], chunk.ids.begin() + chunk.cumulative[k + 1],
                       batch.ids.begin() + batch.cumulative[b]));
      last = length;
      ++seen[b];
    }
  }
  for (const int times : seen) CHECK(times == 1);
  // A sequence beyond the budget has a chunk of its own.
  CHECK(xlembed::split_batch(batch.ids, batch.cumulative, 1).size() == 43);
}

void chunks_give_the_gradient_of_the_whole() {
  for (const bool dropout : {false, true}) {
    TrainerOptions whole = options_of(), chunked = options_of(50), kept = options_of(50, 300);
    TrainerOptions recomputed = options_of(50);
    for (TrainerOptions* options : {&whole, &chunked, &kept, &recomputed}) options->dropout = dropout;
    recomputed.recompute = true;
    const Outcome expected = gradients_of(whole, batch_of(20));
    const Outcome actual = gradients_of(chunked, batch_of(20));
    CHECK(expected.result.chunks == 1 && actual.result.chunks > 5);
    CHECK_CLOSE(actual.result.loss, expected.result.loss, 0, 1e-6);
    CHECK_CLOSE(relative_difference(actual, expected), 0, 1e-5, 0);
    // The same chunks: a second forward pass has the bits of the first.
    CHECK(same_bits(gradients_of(kept, batch_of(20)), actual));
    CHECK(same_bits(gradients_of(recomputed, batch_of(20)), actual));
  }
}

void dropout_is_on() {
  TrainerOptions without = options_of(), other_seed = options_of();
  without.dropout = false;
  other_seed.seed = 10;
  const Outcome plain = gradients_of(options_of(), batch_of(20));
  CHECK(relative_difference(gradients_of(without, batch_of(20)), plain) > 1e-2);
  CHECK(relative_difference(gradients_of(other_seed, batch_of(20)), plain) > 1e-2);
}

// Two batches at half weight are the mean of their gradients; one that is not finite takes nothing along.
void gradients_accumulate() {
  TrainerOptions options = options_of();
  options.dropout = false;
  Trainer trainer(small_encoder(), options);
  TrainingBatch first = batch_of(20), second = batch_of(12), broken = batch_of(5);
  for (TrainingBatch* batch : {&first, &second, &broken}) batch->weight = 0.5, batch->update = false;
  broken.labels.row_weights = at::full({5}, std::numeric_limits<float>::infinity());
  trainer.step(first);
  CHECK(trainer.step(broken).skipped);
  trainer.step(second);
  const Outcome a = gradients_of(options, batch_of(20)), b = gradients_of(options, batch_of(12));
  for (size_t k = 0; k < a.gradients.size(); ++k) {
    const at::Tensor mean = (a.gradients[k] + b.gradients[k]) * 0.5;
    CHECK(at::allclose(trainer.gradients()[k], mean, 1e-5, 1e-7));
  }
}

// With room for a few chunks alone the step must come through, and with the same loss. (Not under
// AddressSanitizer: its allocator ends the process where memory runs out.)
#ifndef __SANITIZE_ADDRESS__
int64_t virtual_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t pages = 0;
  file >> pages;
  return pages * 4096;
}

void memory_that_runs_out_halves_the_chunks() {
  at::set_num_threads(1);
  at::globalContext().setUserEnabledMkldnn(false);  // oneDNN's own allocations fail with other errors
  const auto wide = [] { return small_encoder(256); };
  TrainingBatch batch = batch_of(300, 38);
  TrainerOptions options = options_of();
  Trainer trainer(wide(), options);
  rlimit before{};
  getrlimit(RLIMIT_AS, &before);
  const rlimit tight{static_cast<rlim_t>(virtual_bytes() + (int64_t{48} << 20)), before.rlim_max};
  setrlimit(RLIMIT_AS, &tight);
  StepResult result;
  std::string error;
  try {
    result = trainer.step(batch);
  } catch (const std::exception& caught) {
    error = caught.what();
  }
  setrlimit(RLIMIT_AS, &before);
  CHECK(error.empty());
  const StepResult expected = Trainer(wide(), options).step(batch);
  CHECK(expected.chunks == 1 && expected.chunk_tokens == 0);
  CHECK_CLOSE(result.loss, expected.loss, 0, 1e-5);
  CHECK_CLOSE(result.gradient_norm, expected.gradient_norm, 0, 1e-4);
  CHECK(result.chunks > 1 && result.chunk_tokens > 0);
  CHECK(trainer.step(batch).chunk_tokens == result.chunk_tokens);
}
#endif

// As libtorch, CUDA and NVIDIA's libraries say it, and TorchScript, which makes a text of each of them.
void what_says_that_memory_has_run_out() {
  const c10::SourceLocation here{__func__, __FILE__, __LINE__};
  const auto says = [&](const std::string& text) {
    const bool as_torch = xlembed::is_out_of_memory(c10::Error(here, text));
    CHECK(as_torch == xlembed::is_out_of_memory(std::runtime_error(text)));
    return as_torch;
  };
  CHECK(says(
      "[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you tried to .."));
  CHECK(says("CUDA out of memory. Tried to allocate 2.00 GiB."));
  CHECK(says("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation' in .."));
  CHECK(says("CUDA: out of memory"));
  CHECK(says("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"));
  CHECK(says("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"));
  CHECK(says(
      "The following operation failed in the TorchScript interpreter.\nRuntimeError: CUDA out of memory."));
  CHECK(!says("CUDA error: an illegal memory access was encountered"));
  CHECK(xlembed::is_out_of_memory(c10::OutOfMemoryError(here, "any text")));
  CHECK(xlembed::is_out_of_memory(std::bad_alloc()));
  // What has a code is an answer already.
  CHECK(!xlembed::is_out_of_memory(xlembed::CodedError("PROCESS_LOST", "NCCL error: CUDA out of memory")));
}

}  // namespace

int main() {
  return check::run({{"chunks hold every sequence once", chunks_hold_every_sequence_once},
                     {"chunks give the gradient of the whole", chunks_give_the_gradient_of_the_whole},
                     {"dropout is on", dropout_is_on},
                     {"what says that memory has run out", what_says_that_memory_has_run_out},
#ifndef __SANITIZE_ADDRESS__
                     {"memory that runs out halves the chunks", memory_that_runs_out_halves_the_chunks},
#endif
                     {"gradients accumulate", gradients_accumulate}});
}
