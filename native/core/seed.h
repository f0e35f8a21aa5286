// Seeds made from seeds.
#pragma once

#include <cstdint>

namespace xlembed {

// The n-th number of the splitmix64 sequence of a seed (G. Steele, D. Lea, C. Flood, OOPSLA 2014).
inline uint64_t mixed_seed(uint64_t seed, uint64_t n) {
  uint64_t z = seed + 0x9E3779B97F4A7C15ull * (n + 1);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

}  // namespace xlembed
