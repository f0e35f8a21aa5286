// The processes of a job: libtorch's c10d over a shared store, Gloo between CPUs and NCCL between GPUs. All
// processes make the same calls in the same order. What fails because another process is gone, or takes
// longer than the timeout, is PROCESS_LOST, and the group is of no use any more.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/store.h"
#include "core/torch.h"

namespace xlembed {

struct ProcessGroupOptions {
  std::string name;  // tells groups over one store apart
  int64_t rank = 0;
  int64_t size = 1;
  at::Device device = at::kCPU;               // of the tensors that are exchanged: CPU by Gloo, CUDA by NCCL
  std::string interface;                      // CPU: network interface; empty: that of the machine's own name
  bool loopback = false;                      // CPU: all processes are on this machine
  std::chrono::milliseconds timeout{300000};  // of every exchange
};

class ProcessGroup {
 public:
  // Returns once all processes have joined. Throws PROCESS_LOST, and DEVICE_UNAVAILABLE for a GPU in a build
  // without NCCL.
  ProcessGroup(const Store& store, const ProcessGroupOptions& options);
  ~ProcessGroup();

  int64_t rank() const { return options_.rank; }
  int64_t size() const { return options_.size; }
  at::Device device() const { return options_.device; }

  using Wait = std::function<void()>;

  // Begins to put the sum over all processes in place of `values`, dense; nothing may touch it before Wait
  // has returned. The sum has the same bits in every process and on every run.
  Wait start_sum(const at::Tensor& values) const;

  void sum(const at::Tensor& values) const { start_sum(values)(); }
  std::vector<double> sum(const std::vector<double>& values) const;

  // own (rows, ...), of one shape everywhere -> (size * rows, ...) by rank
  at::Tensor gather(const at::Tensor& own) const;

  // parts (size * rows, ...), dense, by receiving rank -> (rows, ...): the sum over all processes of what is
  // for this one. Overwrites parts.
  at::Tensor scatter_sum(const at::Tensor& parts) const;

 private:
  struct Backend;
  ProcessGroupOptions options_;
  std::unique_ptr<Backend> backend_;
};

}  // namespace xlembed
