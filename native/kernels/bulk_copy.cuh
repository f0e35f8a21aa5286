// Copies of a whole piece of memory to the shared memory of one or more blocks of a cluster, which one thread
// asks for and nobody carries out by hand (compute capability 9.0; PTX ISA, "cp.async.bulk" and "mbarrier").
#pragma once

#include "kernels/cluster.cuh"

namespace xlembed::kernels::cuda {

// In shared memory: what a block waits for, round by round. A round is over when so many have arrived, and
// all bytes that they expect.
using Arrivals = unsigned long long;

__device__ inline unsigned shared_address(const void* place) {
  return static_cast<unsigned>(__cvta_generic_to_shared(place));
}

// By one thread, before the cluster's next barrier.
__device__ inline void begin_arrivals(Arrivals* arrivals, unsigned count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(arrivals)), "r"(count)
               : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

// Arrives here, and expects so many bytes in this round, from whichever block.
__device__ inline void expect_bytes(Arrivals* arrivals, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(arrivals)),
               "r"(bytes)
               : "memory");
}

// Arrives at the same place of another block of the cluster, or of this one.
__device__ inline void arrive_in_cluster(Arrivals* arrivals, unsigned rank) {
  unsigned address;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
               : "=r"(address)
               : "r"(shared_address(arrivals)), "r"(rank));
  asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(address) : "memory");
}

// Until the round is over: its number modulo 2.
__device__ inline void wait_for_arrivals(Arrivals* arrivals, unsigned round) {
  asm volatile(
      "{\n.reg .pred done;\nwait:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra wait;\n}\n" ::"r"(shared_address(arrivals)),
      "r"(round)
      : "memory");
}

// To where `to` is in each block of the cluster, and counted by its `arrivals`; 16 bytes at a time.
template <int cluster>
__device__ void copy_to_cluster(void* to, const void* from, unsigned bytes, Arrivals* arrivals) {
  if constexpr (cluster == 1) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
            shared_address(to)),
        "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(shared_address(arrivals))
        : "memory");
  } else {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster "
        "[%0], [%1], %2, [%3], %4;" ::"r"(shared_address(to)),
        "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(shared_address(arrivals)),
        "h"(static_cast<unsigned short>((1u << cluster) - 1))
        : "memory");
  }
}

}  // namespace xlembed::kernels::cuda
