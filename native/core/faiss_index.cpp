#include "core/faiss_index.h"

#include "core/error.h"

#ifdef XLEMBED_WITH_FAISS

#include <faiss/AutoTune.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIDMap.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexPQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/impl/FaissException.h>
#include <faiss/index_factory.h>
#include <faiss/index_io.h>
#include <faiss/invlists/BlockInvertedLists.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace xlembed {
namespace {

// FAISS says "Error in <function> at <file>:<line>: Error: '<condition>' failed: <what is wrong>".
std::string reason(const faiss::FaissException& error) {
  std::string text = error.what();
  for (const char* before : {".cpp:", ".h:"}) {
    const size_t file = text.find(before);
    const size_t end = file == std::string::npos ? file : text.find(": ", file + 2);
    if (end != std::string::npos) text.erase(0, end + 2);
  }
  for (const char* before : {"Error: ", "failed: "}) {
    const size_t at = text.find(before);
    if (at != std::string::npos && at + 8 < text.size()) text.erase(0, at + std::string(before).size());
  }
  return text;
}

template <typename Call>
auto coded(const char* code, const std::string& what, Call call) {
  try {
    return call();
  } catch (const faiss::FaissException& error) {
    throw CodedError(code, what + ": " + reason(error));
  }
}

const faiss::Index* within_transform(const faiss::Index* index) {
  const auto* transform = dynamic_cast<const faiss::IndexPreTransform*>(index);
  return transform ? within_transform(transform->index) : index;
}

bool fits(const faiss::ProductQuantizer& pq, int64_t dimensions, size_t code_size) {
  return static_cast<int64_t>(pq.d) == dimensions && pq.M * pq.dsub == pq.d &&
         pq.ksub == size_t{1} << pq.nbits && pq.centroids.size() == pq.d * pq.ksub &&
         code_size >= (pq.nbits * pq.M + 7) / 8;
}

bool fits(const faiss::IndexIVF& ivf) {
  const faiss::InvertedLists* lists = ivf.invlists;
  if (lists == nullptr || ivf.quantizer == nullptr || lists->nlist != ivf.nlist) return false;
  const bool in_blocks = dynamic_cast<const faiss::BlockInvertedLists*>(lists) != nullptr;  // of many codes
  if ((!in_blocks && lists->code_size != ivf.code_size) || ivf.quantizer->d != ivf.d) return false;
  size_t held = 0;
  for (size_t list = 0; list < lists->nlist; ++list) held += lists->list_size(list);
  if (static_cast<int64_t>(held) != ivf.ntotal) return false;
  return !ivf.is_trained || static_cast<size_t>(ivf.quantizer->ntotal) == ivf.nlist;
}

// Whether every link of the graph leads to a vector that has links on that level, and they lie in order.
bool fits(const faiss::HNSW& graph, int64_t vectors) {
  const auto links_of = [&](int level) { return graph.cum_nneighbor_per_level[level]; };
  const auto levels = static_cast<int64_t>(graph.cum_nneighbor_per_level.size());
  const auto has_level = [&](int64_t vector, int level) {
    return vector >= 0 && vector < vectors && graph.levels[vector] > level;
  };
  if (static_cast<int64_t>(graph.levels.size()) != vectors ||
      graph.offsets.size() != graph.levels.size() + 1 || graph.offsets[0] != 0 ||
      graph.offsets[vectors] != graph.neighbors.size() || levels < 1 || links_of(0) != 0 ||
      !std::is_sorted(graph.cum_nneighbor_per_level.begin(), graph.cum_nneighbor_per_level.end()))
    return false;
  if (vectors > 0 && !has_level(graph.entry_point, graph.max_level)) return false;
  for (int64_t vector = 0; vector < vectors; ++vector) {
    const int own = graph.levels[vector];
    size_t link = graph.offsets[vector];
    if (own < 1 || own >= levels || graph.offsets[vector + 1] != link + links_of(own) ||
        graph.offsets[vector + 1] > graph.neighbors.size())
      return false;
    for (int level = 0; level < own; ++level) {
      for (const size_t end = graph.offsets[vector] + links_of(level + 1); link < end; ++link) {
        const auto to = graph.neighbors[link];
        if (to != -1 && !has_level(to, level)) return false;
      }
    }
  }
  return true;
}

// Whether sizes that a file gives in several places agree: FAISS searches by them unasked.
bool is_consistent(const faiss::Index* index) {
  const auto holds = [&](const faiss::Index* inner, int64_t dimensions) {
    return inner != nullptr && inner->d == dimensions && inner->ntotal == index->ntotal &&
           is_consistent(inner);
  };
  if (const auto* map = dynamic_cast<const faiss::IndexIDMap*>(index))
    return static_cast<int64_t>(map->id_map.size()) == map->ntotal && holds(map->index, map->d);
  if (const auto* chain = dynamic_cast<const faiss::IndexPreTransform*>(index))
    return holds(chain->index, chain->chain.empty() ? chain->d : chain->chain.back()->d_out);
  if (const auto* flat = dynamic_cast<const faiss::IndexFlatCodes*>(index)) {
    if (flat->codes.size() != flat->ntotal * flat->code_size) return false;
    if (dynamic_cast<const faiss::IndexFlat*>(index)) return flat->code_size == flat->d * sizeof(float);
    const auto* quantized = dynamic_cast<const faiss::IndexPQ*>(index);
    return !quantized || fits(quantized->pq, flat->d, flat->code_size);
  }
  if (const auto* ivf = dynamic_cast<const faiss::IndexIVF*>(index)) {
    const auto* quantized = dynamic_cast<const faiss::IndexIVFPQ*>(index);
    return fits(*ivf) && is_consistent(ivf->quantizer) &&
           (!quantized || !ivf->is_trained || fits(quantized->pq, ivf->d, ivf->code_size));
  }
  if (const auto* graph = dynamic_cast<const faiss::IndexHNSW*>(index))
    return holds(graph->storage, graph->d) && fits(graph->hnsw, graph->ntotal);
  return true;
}

bool stores_labels(const faiss::Index* index) {
  const faiss::Index* inner = within_transform(index);
  return dynamic_cast<const faiss::IndexIVF*>(inner) || dynamic_cast<const faiss::IndexIDMap*>(inner);
}

// FAISS 1.7.3 cannot take codes out of blocks of many, and says so within a parallel loop, which ends the
// process.
bool can_remove(const faiss::Index* index) {
  const faiss::Index* inner = within_transform(index);
  if (const auto* map = dynamic_cast<const faiss::IndexIDMap*>(inner)) return can_remove(map->index);
  const auto* ivf = dynamic_cast<const faiss::IndexIVF*>(inner);
  return !ivf || !dynamic_cast<const faiss::BlockInvertedLists*>(ivf->invlists);
}

// Of codes, labels and links; what all vectors share is small beside them.
size_t bytes_of(const faiss::Index* index) {
  const faiss::Index* inner = within_transform(index);
  if (const auto* map = dynamic_cast<const faiss::IndexIDMap*>(inner))
    return bytes_of(map->index) + map->id_map.size() * sizeof(int64_t);
  if (const auto* graph = dynamic_cast<const faiss::IndexHNSW*>(inner))
    return bytes_of(graph->storage) + graph->hnsw.neighbors.size() * sizeof(graph->hnsw.neighbors[0]);
  if (const auto* ivf = dynamic_cast<const faiss::IndexIVF*>(inner))
    return ivf->ntotal * (ivf->code_size + sizeof(int64_t));
  const auto* flat = dynamic_cast<const faiss::IndexFlatCodes*>(inner);
  return inner->ntotal * (flat ? flat->code_size : inner->d * sizeof(float));
}

}  // namespace

std::string FaissIndex::version() {
  return std::to_string(FAISS_VERSION_MAJOR) + "." + std::to_string(FAISS_VERSION_MINOR) + "." +
         std::to_string(FAISS_VERSION_PATCH);
}

void FaissIndex::Delete::operator()(faiss::Index* index) const { delete index; }

FaissIndex::FaissIndex(Owned index, bool is_mapped)
    : index_(std::move(index)), is_mapped_(is_mapped), size_(index_->ntotal), trained_(index_->is_trained) {}

// IndexIDMap's own constructor takes empty indexes only.
FaissIndex::Owned FaissIndex::with_labels(Owned index) {
  if (stores_labels(index.get())) return index;
  auto* map = new faiss::IndexIDMap();
  Owned owner(map);
  map->d = index->d;
  map->ntotal = index->ntotal;
  map->is_trained = index->is_trained;
  map->metric_type = index->metric_type;
  map->metric_arg = index->metric_arg;
  for (int64_t label = 0; label < index->ntotal; ++label) map->id_map.push_back(label);
  map->index = index.release();
  map->own_fields = true;
  return owner;
}

std::shared_ptr<FaissIndex> FaissIndex::create(int64_t dimensions, const std::string& factory,
                                               Metric metric) {
  const auto type = metric == Metric::l2 ? faiss::METRIC_L2 : faiss::METRIC_INNER_PRODUCT;
  return coded("INVALID_ARGUMENT", "FAISS makes no index of " + factory, [&] {
    Owned index(faiss::index_factory(static_cast<int>(dimensions), factory.c_str(), type));
    return std::shared_ptr<FaissIndex>(new FaissIndex(with_labels(std::move(index))));
  });
}

std::shared_ptr<FaissIndex> FaissIndex::read(const std::string& path, bool memory_map) {
  Owned index = coded("MALFORMED_FILE", "FAISS cannot read " + path, [&] {
    return Owned(faiss::read_index(path.c_str(), memory_map ? faiss::IO_FLAG_MMAP : 0));
  });
  if (index->metric_type != faiss::METRIC_INNER_PRODUCT && index->metric_type != faiss::METRIC_L2) {
    throw CodedError("MALFORMED_FILE", path + " has a metric that is neither inner product nor L2");
  }
  if (!is_consistent(index.get()))
    throw CodedError("MALFORMED_FILE",
                     path + " gives one size differently in two places, or has links that lead nowhere");
  return std::shared_ptr<FaissIndex>(new FaissIndex(with_labels(std::move(index)), memory_map));
}

void FaissIndex::write(const std::string& path) const {
  // FAISS's own writer passes over what only closing the file brings to light.
  const auto failed = [&] { return CodedError("FILE_WRITE_FAILED", path + ": " + std::strerror(errno)); };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wb"), std::fclose);
  if (!file) throw failed();
  coded("FILE_WRITE_FAILED", path, [&] { faiss::write_index(index_.get(), file.get()); });
  if (std::fflush(file.get()) != 0) throw failed();
}

int64_t FaissIndex::dimensions() const { return index_->d; }

FaissIndex::Metric FaissIndex::metric() const {
  return index_->metric_type == faiss::METRIC_L2 ? Metric::l2 : Metric::inner_product;
}

int64_t FaissIndex::bytes() const { return is_mapped_ ? 0 : static_cast<int64_t>(bytes_of(index_.get())); }

void FaissIndex::train(const float* vectors, int64_t rows) {
  coded("FAISS_FAILED", "training", [&] { index_->train(rows, vectors); });
  trained_ = index_->is_trained;
}

void FaissIndex::add(const float* vectors, const int64_t* labels, int64_t rows) {
  coded("FAISS_FAILED", "adding", [&] { index_->add_with_ids(rows, vectors, labels); });
  size_ = index_->ntotal;
}

int64_t FaissIndex::remove(const int64_t* labels, int64_t count) {
  if (!can_remove(index_.get()))
    throw CodedError("FAISS_FAILED",
                     "removing: FAISS takes nothing out of inverted lists with fast-scan codes (fs)");
  const size_t removed = coded("FAISS_FAILED", "removing",
                               [&] { return index_->remove_ids(faiss::IDSelectorBatch(count, labels)); });
  size_ = index_->ntotal;
  return static_cast<int64_t>(removed);
}

std::vector<int64_t> FaissIndex::labels() const {
  const faiss::Index* inner = within_transform(index_.get());
  if (const auto* map = dynamic_cast<const faiss::IndexIDMap*>(inner)) {
    return {map->id_map.begin(), map->id_map.end()};
  }
  const faiss::InvertedLists& lists = *dynamic_cast<const faiss::IndexIVF&>(*inner).invlists;
  std::vector<int64_t> labels;
  labels.reserve(index_->ntotal);
  for (size_t list = 0; list < lists.nlist; ++list) {
    faiss::InvertedLists::ScopedIds ids(&lists, list);
    labels.insert(labels.end(), ids.get(), ids.get() + lists.list_size(list));
  }
  return labels;
}

void FaissIndex::set_parameter(const std::string& name, double value) {
  faiss::Index* index = index_.get();
  if (auto* map = dynamic_cast<faiss::IndexIDMap*>(index)) index = map->index;
  coded("INVALID_ARGUMENT", "this index has no parameter " + name,
        [&] { faiss::ParameterSpace().set_index_parameter(index, name, value); });
}

FaissResult FaissIndex::search(const float* queries, int64_t count, int64_t k) const {
  FaissResult result{std::vector<float>(count * k), std::vector<int64_t>(count * k)};
  coded("FAISS_FAILED", "searching",
        [&] { index_->search(count, queries, k, result.scores.data(), result.labels.data()); });
  return result;
}

}  // namespace xlembed

#else

// The handle of an index can only be had from create() and read(): the rest is never called.
namespace faiss {
struct Index {};
}  // namespace faiss

namespace xlembed {
namespace {

[[noreturn]] void unavailable() {
  throw CodedError("FAISS_UNAVAILABLE", "this build of the addon is without FAISS");
}

}  // namespace

std::string FaissIndex::version() { return ""; }
void FaissIndex::Delete::operator()(faiss::Index* index) const { delete index; }
std::shared_ptr<FaissIndex> FaissIndex::create(int64_t, const std::string&, Metric) { unavailable(); }
std::shared_ptr<FaissIndex> FaissIndex::read(const std::string&, bool) { unavailable(); }
void FaissIndex::write(const std::string&) const { unavailable(); }
int64_t FaissIndex::dimensions() const { unavailable(); }
int64_t FaissIndex::bytes() const { unavailable(); }
FaissIndex::Metric FaissIndex::metric() const { unavailable(); }
void FaissIndex::train(const float*, int64_t) { unavailable(); }
void FaissIndex::add(const float*, const int64_t*, int64_t) { unavailable(); }
int64_t FaissIndex::remove(const int64_t*, int64_t) { unavailable(); }
std::vector<int64_t> FaissIndex::labels() const { unavailable(); }
void FaissIndex::set_parameter(const std::string&, double) { unavailable(); }
FaissResult FaissIndex::search(const float*, int64_t, int64_t) const { unavailable(); }

}  // namespace xlembed

#endif
