#include "kernels/parallel.h"

#include <omp.h>

#include <exception>

namespace xlembed::kernels {

void for_each(int64_t count, int threads, const std::function<void(int64_t, int)>& body) {
  std::exception_ptr thrown;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t i = 0; i < count; ++i) {
    try {
      body(i, omp_get_thread_num());
    } catch (...) {
#pragma omp critical
      thrown = std::current_exception();
    }
  }
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace xlembed::kernels
