#include "core/script_embedding.h"

#include <ATen/core/Dict.h>
#include <ATen/core/function_schema.h>
#include <ATen/core/jit_type.h>

#include <algorithm>
#include <optional>
#include <sstream>

#include "core/error.h"
#include "core/normalize.h"
#include "core/pool.h"

namespace xlembed {
namespace {

struct PaddedBatch {
  at::Tensor input_ids;       // (B, L) int64
  at::Tensor attention_mask;  // (B, L) int64
  at::Tensor rows;            // (T) int64: where token t of the packed sequences lies in (B * L)
  at::Tensor cumulative;      // (B + 1) int32
};

PaddedBatch pad(std::span<const int32_t> ids, std::span<const int32_t> cumulative, int64_t pad_id) {
  const int64_t sequences = static_cast<int64_t>(cumulative.size()) - 1;
  int32_t longest = 1;
  for (int64_t b = 0; b < sequences; ++b) longest = std::max(longest, cumulative[b + 1] - cumulative[b]);
  PaddedBatch batch;
  batch.input_ids = at::full({sequences, longest}, pad_id, at::kLong);
  batch.attention_mask = at::zeros({sequences, longest}, at::kLong);
  batch.rows = at::empty({static_cast<int64_t>(ids.size())}, at::kLong);
  batch.cumulative = at::empty({sequences + 1}, at::kInt);
  auto* input_id = batch.input_ids.mutable_data_ptr<int64_t>();
  auto* mask = batch.attention_mask.mutable_data_ptr<int64_t>();
  auto* row = batch.rows.mutable_data_ptr<int64_t>();
  for (int64_t b = 0; b < sequences; ++b) {
    for (int32_t t = cumulative[b]; t < cumulative[b + 1]; ++t) {
      row[t] = b * longest + t - cumulative[b];
      input_id[row[t]] = ids[t];
      mask[row[t]] = 1;
    }
  }
  std::copy(cumulative.begin(), cumulative.end(), batch.cumulative.mutable_data_ptr<int32_t>());
  return batch;
}

void check(std::span<const int32_t> ids, std::span<const int32_t> cumulative) {
  const bool whole = !cumulative.empty() && cumulative.front() == 0 &&
                     static_cast<size_t>(cumulative.back()) == ids.size() &&
                     std::is_sorted(cumulative.begin(), cumulative.end());
  if (!whole)
    throw CodedError("INVALID_ARGUMENT", "expected cumulativeSeqLengths to ascend from 0 to the tokens");
}

c10::IValue forward(const ScriptModule& module, const PaddedBatch& batch) {
  const std::vector<std::string> names = module.arguments("forward");
  const auto takes = [&](const char* name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (!takes("input_ids")) {
    if (names.size() == 1) return module.run("forward", {batch.input_ids});
    return module.run("forward", {batch.input_ids, batch.attention_mask});
  }
  ScriptModule::NamedTensors named{{"input_ids", batch.input_ids}};
  if (takes("attention_mask")) named.emplace_back("attention_mask", batch.attention_mask);
  if (takes("token_type_ids")) named.emplace_back("token_type_ids", at::zeros_like(batch.input_ids));
  return module.run("forward", {}, named);
}

std::optional<c10::IValue> named_value(const c10::IValue& output, const std::string& name) {
  if (output.isGenericDict()) {
    for (const auto& entry : output.toGenericDict()) {
      if (entry.key().isString() && entry.key().toStringRef() == name) return entry.value();
    }
  } else if (output.isTuple()) {
    const auto type = output.type()->cast<c10::TupleType>();
    const auto position = type->schema() ? type->schema()->argumentIndexWithName(name) : std::nullopt;
    if (position) return output.toTupleRef().elements()[static_cast<size_t>(*position)];
  }
  return std::nullopt;
}

std::optional<c10::IValue> value_at(const c10::IValue& output, int64_t index) {
  const auto item = [&](const auto& items) -> std::optional<c10::IValue> {
    if (index < static_cast<int64_t>(items.size())) return items[static_cast<size_t>(index)];
    return std::nullopt;
  };
  if (output.isTuple()) return item(output.toTupleRef().elements());
  if (output.isTensorList()) return item(output.toTensorVector());
  if (output.isList()) return item(output.toListRef());
  return std::nullopt;
}

std::optional<c10::IValue> chosen_value(const c10::IValue& output, const ScriptEmbeddingOptions& options) {
  if (!options.output_name.empty()) return named_value(output, options.output_name);
  if (options.output_index >= 0) return value_at(output, options.output_index);
  if (output.isTensor()) return output;
  for (const char* name : {"sentence_embedding", "last_hidden_state", "token_embeddings"}) {
    if (const auto found = named_value(output, name)) return found;
  }
  return value_at(output, 0);
}

at::Tensor choose(const c10::IValue& output, const ScriptEmbeddingOptions& options) {
  const std::optional<c10::IValue> value = chosen_value(output, options);
  if (value && value->isTensor()) return value->toTensor();
  throw CodedError("MODEL_UNSUPPORTED",
                   "expected a tensor of embeddings in the output of forward, received " +
                       output.type()->annotation_str());
}

at::Tensor pool_output(const at::Tensor& output, const PaddedBatch& batch, const std::string& pooling) {
  const at::IntArrayRef shape = batch.input_ids.sizes();
  const bool is_pooled = output.dim() == 2 && output.size(0) == shape[0];
  const bool has_tokens = output.dim() == 3 && output.size(0) == shape[0] && output.size(1) == shape[1];
  if (is_pooled && (pooling.empty() || pooling == "none")) return output.to(at::kFloat);
  if (!has_tokens || pooling == "none") {
    std::ostringstream text;
    text << "expected (B, D) without pooling or (B, L, D) with it for B, L = " << shape << ", received "
         << output.sizes() << " and pooling " << (pooling.empty() ? "by default" : pooling);
    throw CodedError("MODEL_UNSUPPORTED", text.str());
  }
  const at::Device device = output.device();
  const at::Tensor packed =
      output.flatten(0, 1).index_select(0, batch.rows.to(device)).to(at::kFloat);  // (T, D)
  return pool(packed, batch.cumulative.to(device), pooling == "first" ? PoolMode::first : PoolMode::mean);
}

}  // namespace

ScriptEmbeddings embed(const ScriptModule& module, std::span<const int32_t> ids,
                       std::span<const int32_t> cumulative, const ScriptEmbeddingOptions& options) {
  check(ids, cumulative);
  const at::NoGradGuard no_grad;
  const PaddedBatch batch = pad(ids, cumulative, options.pad_id);
  at::Tensor embeddings = pool_output(choose(forward(module, batch), options), batch, options.pooling);
  if (options.normalize) embeddings = normalize_rows(embeddings.contiguous());
  embeddings = embeddings.to(at::kCPU).contiguous();
  const float* values = embeddings.const_data_ptr<float>();
  return {{values, values + embeddings.numel()}, embeddings.size(1)};
}

}  // namespace xlembed
