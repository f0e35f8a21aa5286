// Copies between the host and a GPU that run beside its work, each direction on a stream of its own: the ids
// of the next batch arrive, and the embeddings of the last one leave, while kernels run. On the CPU
// everything is in place already.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "core/packed_batch.h"

namespace xlembed {

// What `pack` brings to the device, over the upload stream; the device's current stream waits for it.
PackedBatch upload(at::Device device, const std::function<PackedBatch()>& pack);

// float32 values on their way to the host.
class Download {
 public:
  // Begins when the device has computed them; they may be let go of at once.
  explicit Download(const at::Tensor& values);

  // The values in row-major order; waits for them, on any thread. Throws what went wrong on the device.
  std::vector<float> wait() const;

 private:
  at::Tensor host_;
  std::shared_ptr<void> arrived_;  // an event; null on the CPU
};

}  // namespace xlembed
