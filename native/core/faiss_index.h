// Approximate search by the FAISS library, in a build that found it; elsewhere every way to make an index
// throws FAISS_UNAVAILABLE.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace faiss {
struct Index;
}

namespace xlembed {

struct FaissResult {
  std::vector<float> scores;    // (Q, k) FAISS's own: inner products descending, squared distances ascending
  std::vector<int64_t> labels;  // (Q, k); -1 where fewer were found
};

// A FAISS index whose vectors have labels that stay when others are removed: what FAISS numbers by position
// alone (Flat, PQ, HNSW, ..) gets an IndexIDMap around it. What FAISS refuses comes out as FAISS_FAILED.
class FaissIndex {
 public:
  enum class Metric { inner_product, l2 };

  // The version that this build is linked to; empty without FAISS.
  static std::string version();

  // An empty index of the kind that a factory string names: "IVF1024,PQ48x8", "HNSW32", "OPQ16,IVF256,PQ16".
  // Throws INVALID_ARGUMENT for a string that names none.
  static std::shared_ptr<FaissIndex> create(int64_t dimensions, const std::string& factory, Metric metric);

  // What faiss.write_index wrote, here or in Python. With `memory_map` the inverted lists of an IVF index
  // stay in the file; such an index is read-only. Throws MALFORMED_FILE.
  static std::shared_ptr<FaissIndex> read(const std::string& path, bool memory_map);

  // Throws FILE_WRITE_FAILED.
  void write(const std::string& path) const;

  int64_t dimensions() const;
  int64_t size() const { return size_; }
  bool trained() const { return trained_; }
  Metric metric() const;
  // Of the vectors; 0 for an index that was mapped.
  int64_t bytes() const;

  // vectors (rows, D); what an index learns is fixed from then on.
  void train(const float* vectors, int64_t rows);
  // vectors (rows, D), labels (rows) not negative and each once
  void add(const float* vectors, const int64_t* labels, int64_t rows);
  // Returns how many were removed.
  int64_t remove(const int64_t* labels, int64_t count);
  std::vector<int64_t> labels() const;

  // FAISS's names: nprobe, efSearch, quantizer_efSearch, k_factor, ht, .. Throws INVALID_ARGUMENT for a name
  // that this kind of index does not have.
  void set_parameter(const std::string& name, double value);

  FaissResult search(const float* queries, int64_t count, int64_t k) const;

 private:
  struct Delete {
    void operator()(faiss::Index* index) const;
  };
  using Owned = std::unique_ptr<faiss::Index, Delete>;

  explicit FaissIndex(Owned index, bool is_mapped = false);
  static Owned with_labels(Owned index);

  Owned index_;
  bool is_mapped_;
  std::atomic<int64_t> size_ = 0;  // both read while work runs
  std::atomic<bool> trained_ = false;
};

}  // namespace xlembed
