// One test body for a kernel and its CUDA twin: arrays that live where the kernel runs, and a call that picks
// it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <stdexcept>
#include <vector>

#include "kernels/bfloat16.h"

#ifdef XLEMBED_WITH_CUDA
#include <cuda_runtime.h>
#endif

namespace device {

enum class Kind { cpu, cuda };

// The CUDA sources run on the CPU (tests/emulation), a thousand times slower, or under a sanitizer: smaller
// work then.
#ifdef XLEMBED_EMULATED_CUDA
inline const bool emulated = true;
#else
inline const bool emulated = std::getenv("XLEMBED_TEST_SMALL") != nullptr;
#endif

// Of something that must give equal bits each time.
inline const int repeats = emulated ? 3 : 100;

// The CPU, and a GPU where the build and the machine have one.
inline std::vector<Kind> all() {
#ifdef XLEMBED_WITH_CUDA
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess && count > 0) return {Kind::cpu, Kind::cuda};
#endif
  return {Kind::cpu};
}

#ifdef XLEMBED_WITH_CUDA
inline void require(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}
#endif

template <typename T>
class Array {
 public:
  Array(Kind kind, std::vector<T> values) : kind_(kind), host_(std::move(values)) {
#ifdef XLEMBED_WITH_CUDA
    if (kind == Kind::cuda) {
      require(cudaMalloc(&device_, std::max<size_t>(bytes(), 1)));
      require(cudaMemcpy(device_, host_.data(), bytes(), cudaMemcpyHostToDevice));
    }
#endif
  }
  // Poisoned: all bits set, a NaN for floating-point types.
  Array(Kind kind, size_t count) : Array(kind, poison(count)) {}
  Array(const Array&) = delete;
  ~Array() {
#ifdef XLEMBED_WITH_CUDA
    if (device_) cudaFree(device_);
#endif
  }

  // For a kernel, which may write there.
  T* data() {
    stale_ = kind_ == Kind::cuda;
    return kind_ == Kind::cuda ? device_ : host_.data();
  }

  // Waits for the kernels that wrote it; copies once after each call of data().
  const std::vector<T>& get() {
#ifdef XLEMBED_WITH_CUDA
    if (stale_) {
      stale_ = false;
      require(cudaMemcpy(host_.data(), device_, bytes(), cudaMemcpyDeviceToHost));
      require(cudaGetLastError());
    }
#endif
    return host_;
  }

 private:
  static std::vector<T> poison(size_t count) {
    std::vector<T> values(count);
    if (count > 0) std::memset(static_cast<void*>(values.data()), 0xFF, count * sizeof(T));
    return values;
  }
  size_t bytes() const { return host_.size() * sizeof(T); }

  Kind kind_;
  std::vector<T> host_;
  T* device_ = nullptr;
  bool stale_ = false;
};

template <typename T>
T narrow(double value) {
  T result;
  xlembed::kernels::store(&result, static_cast<float>(value));
  return result;
}

template <typename T>
std::vector<T> random(size_t count, uint64_t seed) {
  std::mt19937_64 engine(seed);
  std::normal_distribution<double> normal;
  std::vector<T> values(count);
  for (T& value : values) value = narrow<T>(normal(engine));
  return values;
}

template <typename T>
bool equal_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// Half a unit in the last place, relative.
template <typename T>
inline constexpr double rounding = sizeof(T) == 4 ? 6e-8 : 3.91e-3;

}  // namespace device

#ifdef XLEMBED_WITH_CUDA
#define LAUNCH(kind, kernel, ...)                           \
  do {                                                      \
    if ((kind) == device::Kind::cuda) {                     \
      xlembed::kernels::cuda::kernel(__VA_ARGS__, nullptr); \
    } else {                                                \
      xlembed::kernels::kernel(__VA_ARGS__);                \
    }                                                       \
  } while (false)
#else
#define LAUNCH(kind, kernel, ...) ((void)(kind), xlembed::kernels::kernel(__VA_ARGS__))
#endif
