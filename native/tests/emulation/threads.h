// The threads of a CUDA block as fibers of one thread of the CPU, so that the CUDA sources themselves run in
// the tests of a machine without a GPU. What it shows: wrong indices, missing barriers (the order in which
// threads run changes from barrier to barrier), lanes that miss a shuffle, and, under a sanitizer, accesses
// out of bounds. What it cannot show: how the memory of a GPU orders accesses, and how fast anything is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// Of the fiber that runs.
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {

// Runs the body once for each thread of each block, one block after another.
void run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body);

void* dynamic_shared_memory();

// Returns when all threads of the block are here or have ended.
void wait_for_block();

// Returns when all lanes of the mask are here, with what each of them brought: 32 slots of slot_bytes.
constexpr size_t slot_bytes = 64;
const unsigned char* exchange(unsigned mask, const void* value, size_t bytes);

int lane();

template <typename T>
T of_lane(const unsigned char* slots, int lane) {
  static_assert(sizeof(T) <= slot_bytes);
  T value;
  std::memcpy(&value, slots + lane * slot_bytes, sizeof value);
  return value;
}

}  // namespace emulation
