#include "addon/benchmark.h"

#include <chrono>
#include <cmath>
#include <fstream>

#include "core/encoder.h"
#include "core/launch.h"

#ifdef XLEMBED_WITH_CUDA
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDACachingAllocator.h>
#endif

namespace xlembed::addon {
namespace {

template <typename Body>
double seconds_of(at::Device device, Body body) {
#ifdef XLEMBED_WITH_CUDA
  if (device.is_cuda()) {
    at::cuda::CUDAEvent begin(cudaEventDefault), end(cudaEventDefault);
    begin.record();
    body();
    end.record();
    end.synchronize();
    return begin.elapsed_time(end) / 1e3;
  }
#endif
  (void)device;
  const auto begin = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Empty for the CPU, whose name Node knows.
std::string name_of(at::Device device) {
#ifdef XLEMBED_WITH_CUDA
  if (device.is_cuda()) return at::cuda::getDeviceProperties(device.index())->name;
#endif
  (void)device;
  return "";
}

BenchmarkOptions parse(const Napi::Value& value) {
  const Fields fields(value);
  BenchmarkOptions options;
  options.op = fields.text("op");
  options.device = parse_device(fields.text("device"));
  options.dtype = parse_dtype(fields.text("dtype"));
  options.input_sets = std::max<int64_t>(1, fields.integer("inputSets"));
  options.seed = fields.integer("seed");
  const auto shape = fields.value("shape").As<Napi::Object>();
  for (const Napi::Value& name : array_items(shape.GetPropertyNames(), "shape")) {
    options.shape[name.As<Napi::String>()] = shape.Get(name).As<Napi::Number>().Int64Value();
  }
  return options;
}

Napi::Value create_kernel_benchmark(const Napi::CallbackInfo& info) {
  const BenchmarkOptions options = parse(info[0]);
  const std::string device = options.device.str();
  return run_task(
      info.Env(), device, [options] { return std::make_shared<KernelBenchmark>(options); },
      [device](Napi::Env, std::shared_ptr<KernelBenchmark>& benchmark) -> Napi::Value {
        return KernelBenchmarkHandle::create(benchmark, device);
      });
}

#ifdef XLEMBED_WITH_CUDA
// What libtorch hands out of a GPU's memory, in bytes.
c10::CachingAllocator::Stat device_memory(at::Device device) {
  const auto all_sizes = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  return c10::cuda::CUDACachingAllocator::getDeviceStats(device.index()).allocated_bytes[all_sizes];
}
#endif

// A line of /proc/self/status in bytes; -1 where there is none.
double status_bytes(const std::string& name) {
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;) {
    double kibibytes;
    if (word == name && file >> kibibytes) return kibibytes * 1024;
  }
  return -1;
}

// Lets the peak of the memory that this process holds (of a GPU's: that libtorch hands out) begin anew, and
// gives what it holds now; -1 where the system does not allow it (proc(5), clear_refs).
double begin_peak(at::Device device) {
#ifdef XLEMBED_WITH_CUDA
  if (device.is_cuda()) {
    c10::cuda::CUDACachingAllocator::resetPeakStats(device.index());
    return static_cast<double>(device_memory(device).current);
  }
#endif
  (void)device;
  return (std::ofstream("/proc/self/clear_refs") << "5").flush() ? status_bytes("VmRSS:") : -1;
}

double peak_bytes(at::Device device) {
#ifdef XLEMBED_WITH_CUDA
  if (device.is_cuda()) return static_cast<double>(device_memory(device).peak);
#endif
  (void)device;
  return status_bytes("VmHWM:");
}

double bytes_of(const std::vector<at::Tensor>& tensors) {
  double bytes = 0;
  for (const at::Tensor& one : tensors) bytes += static_cast<double>(one.nbytes());
  return bytes;
}

Napi::Value number(Napi::Env env, double value) { return Napi::Number::New(env, value); }

}  // namespace

KernelBenchmark::KernelBenchmark(const BenchmarkOptions& options) : options_(options) {
#ifndef XLEMBED_WITH_CUDA
  require_cpu(at::empty({0}, options.device));
#endif
  const at::NoGradGuard no_grad;
  const c10::DeviceGuard guard(options.device);
  implementations_ = benchmark_case(options);
}

const Implementation& KernelBenchmark::implementation(const std::string& name) const {
  for (const Implementation& one : implementations_) {
    if (one.name == name) return one;
  }
  throw CodedError("INVALID_ARGUMENT", "there is no implementation " + name + " of " + options_.op);
}

const Work& KernelBenchmark::work(const std::string& name) {
  const auto found = prepared_.find(name);
  if (found != prepared_.end()) return found->second;
  return prepared_[name] = implementation(name).prepare();
}

std::vector<at::Tensor> KernelBenchmark::results(const std::string& name) {
  std::vector<at::Tensor> found = work(name)(0);
  const auto& comparable = implementation(name).comparable;
  for (at::Tensor& one : found) one = comparable ? comparable(one) : one;
  return found;
}

double KernelBenchmark::run(const std::string& name, int64_t repeats) {
  const at::NoGradGuard no_grad;
  const c10::DeviceGuard guard(options_.device);
  const Work& call = work(name);
  const double before = begin_peak(options_.device);
  double results = 0;
  const double seconds = seconds_of(options_.device, [&] {
    for (int64_t i = 0; i < repeats; ++i) results = bytes_of(call(next_set_++ % options_.input_sets));
  });
  if (before >= 0) {
    double& extra = extra_bytes_.try_emplace(name, 0).first->second;
    extra = std::max(extra, peak_bytes(options_.device) - before - results);
  }
  return seconds / static_cast<double>(repeats);
}

double KernelBenchmark::difference(const std::string& name, const std::string& reference) {
  const at::NoGradGuard no_grad;
  const c10::DeviceGuard guard(options_.device);
  if (reference_.first != reference) reference_ = {reference, results(reference)};
  const std::vector<at::Tensor> found = results(name), &expected = reference_.second;
  double error = 0, size = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const at::Tensor wanted = expected[i].to(at::kDouble);
    error += (found[i].to(wanted.device(), at::kDouble) - wanted).square_().sum().item<double>();
    size += wanted.square().sum().item<double>();
  }
  return std::sqrt(error / size);
}

double KernelBenchmark::norm(const std::string& name) {
  const at::NoGradGuard no_grad;
  const c10::DeviceGuard guard(options_.device);
  double size = 0;
  for (const at::Tensor& part : work(name)(0)) {
    size += part.to(at::kDouble).square().sum().item<double>();
  }
  return std::sqrt(size);
}

double KernelBenchmark::extra_bytes(const std::string& name) const {
  const auto found = extra_bytes_.find(name);
  return found == extra_bytes_.end() ? -1 : found->second;
}

void KernelBenchmarkHandle::register_in(Napi::Env env, Napi::Object exports) {
  define(env, {InstanceAccessor<&KernelBenchmarkHandle::implementations>("implementations"),
               InstanceAccessor<&KernelBenchmarkHandle::device_name>("deviceName"),
               InstanceMethod<&KernelBenchmarkHandle::run>("run"),
               InstanceMethod<&KernelBenchmarkHandle::difference>("difference"),
               InstanceMethod<&KernelBenchmarkHandle::norm>("norm"),
               InstanceMethod<&KernelBenchmarkHandle::extra_bytes>("extraBytes")});
  exports.Set("createKernelBenchmark", Napi::Function::New(env, create_kernel_benchmark));
}

Napi::Value KernelBenchmarkHandle::implementations(const Napi::CallbackInfo& info) {
  Napi::Array list = Napi::Array::New(info.Env());
  for (const Implementation& one : object()->implementations()) {
    Napi::Object item = Napi::Object::New(info.Env());
    item.Set("name", one.name);
    item.Set("bytes", one.bytes);
    item.Set("operations", one.operations);
    item.Set("arithmetic", one.arithmetic);
    list.Set(list.Length(), item);
  }
  return list;
}

Napi::Value KernelBenchmarkHandle::device_name(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), name_of(at::Device(device())));
}

Napi::Value KernelBenchmarkHandle::run(const Napi::CallbackInfo& info) {
  const std::string name = info[0].As<Napi::String>();
  const int64_t repeats = std::max<int64_t>(1, info[1].As<Napi::Number>().Int64Value());
  return run_task(
      info.Env(), device(), [benchmark = object(), name, repeats] { return benchmark->run(name, repeats); },
      number);
}

Napi::Value KernelBenchmarkHandle::difference(const Napi::CallbackInfo& info) {
  const std::string name = info[0].As<Napi::String>(), reference = info[1].As<Napi::String>();
  return run_task(
      info.Env(), device(),
      [benchmark = object(), name, reference] { return benchmark->difference(name, reference); }, number);
}

Napi::Value KernelBenchmarkHandle::norm(const Napi::CallbackInfo& info) {
  const std::string name = info[0].As<Napi::String>();
  return run_task(
      info.Env(), device(), [benchmark = object(), name] { return benchmark->norm(name); }, number);
}

Napi::Value KernelBenchmarkHandle::extra_bytes(const Napi::CallbackInfo& info) {
  const std::string name = info[0].As<Napi::String>();
  return run_task(
      info.Env(), device(), [benchmark = object(), name] { return benchmark->extra_bytes(name); }, number);
}

}  // namespace xlembed::addon
