// info(), setThreads() and returnFreedMemory() of NativeAddon in src/native.ts.
#pragma once

#include <napi.h>

namespace xlembed::addon {

void register_info(Napi::Env env, Napi::Object exports);

}  // namespace xlembed::addon
