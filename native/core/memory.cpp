#include "core/memory.h"

#include <malloc.h>

#include <algorithm>
#include <array>
#include <new>
#include <string_view>

#include "core/error.h"
#include "core/torch.h"

namespace xlembed {
namespace {

// Only libtorch's allocator on a GPU has a type of its own for this, and TorchScript makes a text of that,
// too.
constexpr std::array<std::string_view, 6> kTexts = {
    "can't allocate memory",      // libtorch on the CPU
    "CUDA out of memory",         // its allocator on a GPU
    "CUDA error: out of memory",  // CUDA's own calls: pinned memory, say
    "CUDA: out of memory",        // kernels/launch.cuh
    "_ALLOC_FAILED",              // cuBLAS and cuDNN
    "std::bad_alloc",
};

}  // namespace

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const CodedError*>(&error)) return false;
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) || dynamic_cast<const std::bad_alloc*>(&error)) {
    return true;
  }
  const auto* torch = dynamic_cast<const c10::Error*>(&error);
  const std::string_view text = torch ? torch->what_without_backtrace() : error.what();
  return std::any_of(kTexts.begin(), kTexts.end(),
                     [&](std::string_view part) { return text.find(part) != std::string_view::npos; });
}

void return_freed_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace xlembed
