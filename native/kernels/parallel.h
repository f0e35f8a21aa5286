// A loop on OpenMP's threads for code that is compiled without OpenMP.
#pragma once

#include <cstdint>
#include <functional>

namespace xlembed::kernels {

// Calls body(i, thread) for i = 0 .. count - 1, each thread taking the next i when it is free. Kernels that
// are called in there do not start threads of their own. Throws what a body has thrown, once all threads are
// done.
void for_each(int64_t count, int threads, const std::function<void(int64_t, int)>& body);

}  // namespace xlembed::kernels
