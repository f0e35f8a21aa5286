#include "core/process_group.h"

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>

// The header is empty without it. Wheels have the code of Gloo's process group, not the headers of gloo
// itself: see core/gloo_declarations.
#define USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#if defined(XLEMBED_WITH_CUDA) && __has_include(<nccl.h>)
#define XLEMBED_WITH_NCCL
#define USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include "core/error.h"

namespace xlembed {
namespace {

template <typename Work>
auto with_others(const char* what, const ProcessGroupOptions& options, Work work) {
  try {
    return work();
  } catch (const CodedError&) {
    throw;
  } catch (const std::exception& error) {
    const auto* of_torch = dynamic_cast<const c10::Error*>(&error);
    const std::string text = of_torch ? of_torch->what_without_backtrace() : error.what();
    throw CodedError("PROCESS_LOST", "rank " + std::to_string(options.rank) + " of " +
                                         std::to_string(options.size) + " lost another while " + what + ": " +
                                         text.substr(0, text.find('\n')));
  }
}

c10::intrusive_ptr<c10d::Backend> make_gloo(const c10::intrusive_ptr<c10d::Store>& store,
                                            const ProcessGroupOptions& options) {
  using Gloo = c10d::ProcessGroupGloo;
  const auto gloo = Gloo::Options::create(options.timeout);
  if (!options.interface.empty()) {
    gloo->devices.push_back(Gloo::createDeviceForInterface(options.interface));
  } else if (options.loopback) {
    gloo->devices.push_back(Gloo::createDeviceForHostname("127.0.0.1"));
  } else {
    gloo->devices.push_back(Gloo::createDefaultDevice());
  }
  return c10::make_intrusive<Gloo>(store, static_cast<int>(options.rank), static_cast<int>(options.size),
                                   gloo);
}

c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store>& store,
                                            const ProcessGroupOptions& options) {
#ifdef XLEMBED_WITH_NCCL
  const auto nccl = c10d::ProcessGroupNCCL::Options::create();
  nccl->timeout = options.timeout;
  const c10::DeviceGuard guard(options.device);
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, static_cast<int>(options.rank),
                                                     static_cast<int>(options.size), nccl);
#else
  (void)store;
  throw CodedError("DEVICE_UNAVAILABLE", "processes on " + options.device.str() +
                                             " need NCCL, which this build of the addon lacks");
#endif
}

}  // namespace

struct ProcessGroup::Backend {
  c10::intrusive_ptr<c10d::Backend> processes;
};

ProcessGroup::ProcessGroup(const Store& store, const ProcessGroupOptions& options)
    : options_(options), backend_(std::make_unique<Backend>()) {
  backend_->processes = with_others("joining", options_, [&] {
    const auto own = c10::make_intrusive<c10d::PrefixStore>(options_.name, store.shared());
    return options_.device.is_cpu() ? make_gloo(own, options_) : make_nccl(own, options_);
  });
  sum(std::vector<double>{1});  // NCCL connects at its first exchange
}

ProcessGroup::~ProcessGroup() = default;

ProcessGroup::Wait ProcessGroup::start_sum(const at::Tensor& values) const {
  std::vector<at::Tensor> tensors{values};
  const auto work =
      with_others("adding up", options_, [&] { return backend_->processes->allreduce(tensors); });
  return [this, work] { with_others("adding up", options_, [&] { return work->wait(); }); };
}

std::vector<double> ProcessGroup::sum(const std::vector<double>& values) const {
  const at::Tensor there = at::tensor(values, at::kDouble).to(options_.device);
  sum(there);
  const at::Tensor here = there.to(at::kCPU);
  const double* first = here.const_data_ptr<double>();
  return {first, first + here.numel()};
}

at::Tensor ProcessGroup::gather(const at::Tensor& own) const {
  at::Tensor input = own.contiguous();
  std::vector<int64_t> shape = input.sizes().vec();
  shape[0] *= size();
  at::Tensor all = at::empty(shape, input.options());
  with_others("gathering", options_,
              [&] { return backend_->processes->_allgather_base(all, input)->wait(); });
  return all;
}

at::Tensor ProcessGroup::scatter_sum(const at::Tensor& parts) const {
  const int64_t rows = parts.size(0) / size();
  if (options_.device.is_cpu()) {
    // Gloo has no algorithm of its own for this.
    sum(parts);
    return parts.narrow(0, rank() * rows, rows);
  }
  at::Tensor input = parts;
  at::Tensor own = at::empty_like(input.narrow(0, 0, rows));
  with_others("adding up", options_,
              [&] { return backend_->processes->_reduce_scatter_base(own, input)->wait(); });
  return own;
}

}  // namespace xlembed
