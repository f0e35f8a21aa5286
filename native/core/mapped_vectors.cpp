#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "core/search_threads.h"
#include "core/vector_store.h"

namespace xlembed {
namespace {

// A file, mapped to be read. Its size is looked at before every use: a read past the end of a file that was
// cut short meanwhile would end the process (SIGBUS); only a cut during a search still does.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path)
      : path_(path), descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor_ < 0) throw CodedError("FILE_READ_FAILED", path + ": " + std::strerror(errno));
    bytes_ = size();
    data_ = mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, descriptor_, 0);
    if (data_ != MAP_FAILED) return;
    const std::string why = std::strerror(errno);
    close(descriptor_);
    throw CodedError("FILE_READ_FAILED", path + " cannot be mapped: " + why);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() {
    munmap(data_, bytes_);
    close(descriptor_);
  }

  int64_t bytes() const { return bytes_; }
  const char* data() const { return static_cast<const char*>(data_); }

  void require_unchanged() const {
    if (size() == bytes_) return;
    throw CodedError("MALFORMED_FILE", "expected the " + std::to_string(bytes_) + " bytes that " + path_ +
                                           " had when it was opened, received " + std::to_string(size()));
  }

 private:
  int64_t size() const {
    struct stat status = {};
    return fstat(descriptor_, &status) == 0 ? status.st_size : -1;
  }

  std::string path_;
  int descriptor_;
  int64_t bytes_ = 0;
  void* data_ = nullptr;
};

class MappedVectors : public VectorStore {
 public:
  MappedVectors(const std::string& path, int64_t offset, int64_t rows, int64_t dimensions)
      : file_(path), rows_(rows), dimensions_(dimensions) {
    if (file_.bytes() < offset + rows * dimensions * static_cast<int64_t>(sizeof(float))) {
      throw CodedError("MALFORMED_FILE", path + " is too short for " + std::to_string(rows) + " rows");
    }
    block_ = reinterpret_cast<const float*>(file_.data() + offset);
  }

  void add(const float*, int64_t) override { read_only(); }
  void remove(const int32_t*, int64_t) override { read_only(); }

  std::vector<float> vectors(int64_t first, int64_t count) const override {
    file_.require_unchanged();
    return {block_ + first * dimensions_, block_ + (first + count) * dimensions_};
  }

  void search(const float* queries, int64_t count, int64_t k, const kernels::Subset& subset, float* scores,
              int32_t* rows) const override {
    file_.require_unchanged();
    const int threads = search_threads((subset.all() ? corpus().rows : subset.count) * dimensions_, count);
    kernels::top_k(queries, count, corpus(), subset, k, threads, scores, rows);
  }

  void ranks(const float* queries, int64_t count, const int32_t* relevant, const int32_t* offsets,
             int32_t* ranks) const override {
    file_.require_unchanged();
    kernels::ranks(queries, count, corpus(), relevant, offsets, all_threads(), ranks);
  }

 private:
  [[noreturn]] static void read_only() {
    throw CodedError("INDEX_READ_ONLY", "this index is mapped from its file");
  }

  // All rows are one block, which the searches transpose panel by panel.
  kernels::Corpus corpus() const {
    const int64_t whole_panels = (rows_ / kernels::kPanelRows + 1) * kernels::kPanelRows;
    return {&block_, whole_panels, rows_, dimensions_, kernels::Layout::rows};
  }

  MappedFile file_;
  const float* block_;
  int64_t rows_;
  int64_t dimensions_;
};

}  // namespace

std::unique_ptr<VectorStore> mapped_vectors(const std::string& path, int64_t offset, int64_t rows,
                                            int64_t dimensions) {
  return std::make_unique<MappedVectors>(path, offset, rows, dimensions);
}

}  // namespace xlembed
