// Memory that ends where reading ends.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <vector>

#include "check.h"

// A copy of values that ends where memory that nobody may read begins.
template <typename T>
class AtTheEdge {
 public:
  explicit AtTheEdge(const std::vector<T>& values) : bytes_(values.size() * sizeof(T)) {
    whole_ = (bytes_ + kPage - 1) / kPage * kPage + kPage;
    base_ =
        static_cast<char*>(mmap(nullptr, whole_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK(base_ != MAP_FAILED);
    CHECK(mprotect(base_ + whole_ - kPage, kPage, PROT_NONE) == 0);
    std::copy(values.begin(), values.end(), data());
  }
  AtTheEdge(const AtTheEdge&) = delete;
  AtTheEdge& operator=(const AtTheEdge&) = delete;
  ~AtTheEdge() { munmap(base_, whole_); }
  T* data() const { return reinterpret_cast<T*>(base_ + whole_ - kPage - bytes_); }

 private:
  static constexpr size_t kPage = 4096;
  size_t bytes_, whole_;
  char* base_;
};
