// The threads of a CUDA block as fibers of one thread of the CPU, so that the CUDA sources themselves run in
// the tests of a machine without a GPU. What it shows: wrong indices, misaligned accesses, launches beyond
// their limits, missing barriers (the order in which threads run changes from barrier to barrier), lanes that
// miss a shuffle, products without their fences, and, under a sanitizer, accesses out of bounds and races
// (races.h). What it cannot show: how else the memory of a GPU orders accesses, and how fast anything is.
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

constexpr int largest_cluster = 8;                    // blocks
constexpr unsigned largest_block = 1024;              // threads
constexpr unsigned largest_grid = 65535;              // blocks along y and z
constexpr size_t plain_shared_bytes = 48 << 10;       // that a kernel has without asking
inline size_t most_shared_bytes = size_t{227} << 10;  // that a block may ask for

// Runs the body once for each thread of each block, one cluster of so many blocks after another.
void run(dim3 grid, dim3 block, size_t shared_bytes, unsigned cluster, const std::function<void()>& body);

void* dynamic_shared_memory();

// Where the block of that rank in the cluster has what is at `place` of this block's shared memory.
void* shared_memory_of(unsigned rank, void* place);
unsigned rank_in_cluster();
void arrive_at_cluster();
void wait_for_cluster();

// Returns when all threads of the block are here or have ended.
void wait_for_block();

// Returns when all lanes of the mask are here, with what each of them brought: 32 slots of slot_bytes.
constexpr size_t slot_bytes = 64;
const unsigned char* exchange(unsigned mask, const void* value, size_t bytes);

// Returns when all lanes of the mask are here, and what they did to memory is seen by all of them.
void wait_for_lanes(unsigned mask);

int lane();

// Says so, and where, and ends the process.
[[noreturn]] void fail(const char* message);

template <typename T>
[[gnu::no_sanitize("thread")]] T of_lane(const unsigned char* slots, int lane) {
  static_assert(sizeof(T) <= slot_bytes);
  T value;
  std::memcpy(&value, slots + lane * slot_bytes, sizeof value);
  return value;
}

}  // namespace emulation
