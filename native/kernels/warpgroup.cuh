// Products by four warps together (PTX ISA, "Asynchronous warpgroup level matrix instructions"): for code
// that is compiled for sm_90a.
#pragma once

#include <cstdint>

#include "kernels/launch.cuh"

namespace xlembed::kernels::cuda {

// Whether the current device has these instructions, and the kernel's code for it: the driver may be told to
// run that for older devices (CUDA_FORCE_PTX_JIT=1).
template <typename... Parameters>
bool has_warpgroups(void (*kernel)(Parameters...)) {
  cudaFuncAttributes code = {};
  check(cudaFuncGetAttributes(&code, reinterpret_cast<const void*>(kernel)));
  return device_attribute(cudaDevAttrComputeCapabilityMajor) == 9 &&
         device_attribute(cudaDevAttrComputeCapabilityMinor) == 0 && code.ptxVersion >= 90;
}

// Rows of 64 bfloat16 (128 bytes) in shared memory from a multiple of 1,024 bytes on, the 16-byte pieces of
// row r in the order piece ^ (r % 8): what the instructions call a 128-byte swizzle. The next 16 columns are
// two further on.
__device__ inline uint64_t matrix_descriptor(const void* rows) {
  constexpr uint64_t eight_rows = 1024 / 16, swizzle_128 = 1;
  const auto address = static_cast<uint64_t>(__cvta_generic_to_shared(rows));
  return (address & 0x3FFFF) / 16 | uint64_t{1} << 16 | eight_rows << 32 | swizzle_128 << 62;
}

// Before the first product over registers or shared memory that this thread has written.
__device__ inline void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// What this thread has written to shared memory is seen by products that begin after the next barrier.
__device__ inline void show_to_products() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

#define XLEMBED_FLOATS_8(f, i)                                                                \
  "+f"(f[i]), "+f"(f[i + 1]), "+f"(f[i + 2]), "+f"(f[i + 3]), "+f"(f[i + 4]), "+f"(f[i + 5]), \
      "+f"(f[i + 6]), "+f"(f[i + 7])
#define XLEMBED_FLOATS_32(f, i) \
  XLEMBED_FLOATS_8(f, i), XLEMBED_FLOATS_8(f, i + 8), XLEMBED_FLOATS_8(f, i + 16), XLEMBED_FLOATS_8(f, i + 24)

// sums (64, 256) = a (64, 16) times b (256, 16)^T, or added to what is there. Thread t of the four warps
// holds, of row 16 (t / 32) + t % 32 / 4 + 8 h and column 8 j + 2 (t % 4) + k, sums[4 j + 2 h + k].
__device__ inline void multiply_64_256(float (&sums)[128], uint64_t a, uint64_t b, bool add) {
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %130, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, "
      "%19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, "
      "%36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, "
      "%53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, "
      "%70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, "
      "%87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, "
      "%104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, "
      "%118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
      "}, %128, %129, add, 1, 1, 0, 0;\n}\n"
      : XLEMBED_FLOATS_32(sums, 0), XLEMBED_FLOATS_32(sums, 32), XLEMBED_FLOATS_32(sums, 64),
        XLEMBED_FLOATS_32(sums, 96)
      : "l"(a), "l"(b), "r"(static_cast<int>(add)));
}

// Until at most `left` of the groups that were committed are under way. These write to `sums`: named here, so
// that the compiler moves nothing that reads them before the wait.
template <int left>
__device__ void wait_for_products(float (&sums)[128]) {
  asm volatile("wgmma.wait_group.sync.aligned %128;"
               : XLEMBED_FLOATS_32(sums, 0), XLEMBED_FLOATS_32(sums, 32), XLEMBED_FLOATS_32(sums, 64),
                 XLEMBED_FLOATS_32(sums, 96)
               : "n"(left)
               : "memory");
}

#undef XLEMBED_FLOATS_8
#undef XLEMBED_FLOATS_32

}  // namespace xlembed::kernels::cuda
