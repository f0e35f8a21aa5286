// Times kernels where they run, for `xlembed bench kernels`.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "addon/benchmark_case.h"
#include "addon/handle.h"

namespace xlembed::addon {

// One op on one shape: its inputs, and every way of doing its work.
class KernelBenchmark {
 public:
  // Throws INVALID_ARGUMENT and, for a device whose kernels this build lacks, DEVICE_UNAVAILABLE.
  explicit KernelBenchmark(const BenchmarkOptions& options);

  const std::vector<Implementation>& implementations() const { return implementations_; }

  // Seconds that one call takes, over `repeats` in a row: by the device's own events on a GPU.
  double run(const std::string& name, int64_t repeats);

  // |a - b| / |b| of two implementations' results on the same inputs, over all their numbers.
  double difference(const std::string& name, const std::string& reference);

  // |a|, for comparing with what another process computed.
  double norm(const std::string& name);

  // Bytes that a call on the CPU took beside its inputs and results, at the peak over all calls of run(); -1
  // where the system does not tell.
  double extra_bytes(const std::string& name) const;

 private:
  const Implementation& implementation(const std::string& name) const;
  const Work& work(const std::string& name);
  std::vector<at::Tensor> results(const std::string& name);

  BenchmarkOptions options_;
  std::vector<Implementation> implementations_;
  std::map<std::string, Work> prepared_;
  std::pair<std::string, std::vector<at::Tensor>> reference_;  // the last one's name and results
  std::map<std::string, double> extra_bytes_;
  int64_t next_set_ = 0;
};

class KernelBenchmarkHandle : public Handle<KernelBenchmarkHandle, KernelBenchmark> {
 public:
  static constexpr const char* kName = "KernelBenchmark";
  using Handle::Handle;

  static void register_in(Napi::Env env, Napi::Object exports);

 private:
  Napi::Value implementations(const Napi::CallbackInfo& info);
  Napi::Value device_name(const Napi::CallbackInfo& info);
  Napi::Value run(const Napi::CallbackInfo& info);
  Napi::Value difference(const Napi::CallbackInfo& info);
  Napi::Value norm(const Napi::CallbackInfo& info);
  Napi::Value extra_bytes(const Napi::CallbackInfo& info);
};

}  // namespace xlembed::addon
