#include "core/memory.h"

#include <malloc.h>

#include <new>
#include <string_view>

#include "core/torch.h"

namespace xlembed {

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) || dynamic_cast<const std::bad_alloc*>(&error)) {
    return true;
  }
  const auto* torch = dynamic_cast<const c10::Error*>(&error);
  return torch && std::string_view(torch->what_without_backtrace()).find("can't allocate memory") !=
                      std::string_view::npos;
}

void return_freed_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace xlembed
