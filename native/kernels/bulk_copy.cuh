// Copies of a whole piece of memory to shared memory, which one thread asks for and nobody carries out by
// hand (compute capability 9.0; PTX ISA, "cp.async.bulk" and "mbarrier").
#pragma once

#include "kernels/launch.cuh"

namespace xlembed::kernels::cuda {

// In shared memory: where a block waits for copies, one a round.
using Arrivals = unsigned long long;

__device__ inline unsigned shared_address(const void* place) {
  return static_cast<unsigned>(__cvta_generic_to_shared(place));
}

// By one thread, before the block's next barrier.
__device__ inline void begin_arrivals(Arrivals* arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(arrivals)) : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

// By one thread: the copy that ends the round, 16 bytes at a time.
__device__ inline void copy_whole(void* to, const void* from, unsigned bytes, Arrivals* arrivals) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(arrivals)),
               "r"(bytes)
               : "memory");
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
          shared_address(to)),
      "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(shared_address(arrivals))
      : "memory");
}

// Until the round's copy is here; `round` is its number modulo 2.
__device__ inline void wait_for_arrivals(Arrivals* arrivals, unsigned round) {
  asm volatile(
      "{\n.reg .pred done;\nwait:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra wait;\n}\n" ::"r"(shared_address(arrivals)),
      "r"(round)
      : "memory");
}

}  // namespace xlembed::kernels::cuda
