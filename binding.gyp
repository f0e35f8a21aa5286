# The same addon through node-gyp, for those who build with it: LIBTORCH=<folder> npx node-gyp rebuild
# (CPU only; `npm run setup` builds through CMake, finds libtorch itself and compiles the CUDA kernels).
# In a checkout alone: of a package that brings this file `npm ci` and `npm rebuild` run node-gyp by themselves.
{
  "variables": {
    "libtorch%": "<!(echo ${LIBTORCH:?set LIBTORCH to a folder with include/ and lib/ of libtorch})",
    "native_arch%": "-march=native",
  },
  "targets": [
    {
      "target_name": "xlembed",
      "sources": ["<!@(ls native/kernels/*.cpp native/core/*.cpp native/addon/*.cpp)"],
      "defines": [
        "NAPI_VERSION=8",
        "NODE_ADDON_API_CPP_EXCEPTIONS_ALL",
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS",
      ],
      "include_dirs": [
        "native",
        "<!@(node -p \"require('node-addon-api').include_dir\")",
        "<!@(test -e <(libtorch)/include/gloo/context.h || echo native/core/gloo_declarations)",
      ],
      "cflags!": ["-fno-exceptions"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
      "cflags_cc": [
        "-std=c++20",
        "-fexceptions",
        "-frtti",
        "-O3",
        "-DNDEBUG",
        "-Wall",
        "-Wextra",
        "-fno-math-errno",
        "-fopenmp",
        "<(native_arch)",
        "-isystem <(libtorch)/include",
        "-isystem <(libtorch)/include/torch/csrc/api/include",
      ],
      "ldflags": ["-Wl,--no-as-needed,-rpath,<(libtorch)/lib,--disable-new-dtags", "-fopenmp"],
      "libraries": [
        "<(libtorch)/lib/libtorch.so",
        "<(libtorch)/lib/libtorch_cpu.so",
        "<(libtorch)/lib/libc10.so",
      ],
    }
  ],
}
