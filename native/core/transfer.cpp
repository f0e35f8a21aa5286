#include "core/transfer.h"

#ifdef XLEMBED_WITH_CUDA
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <map>
#include <mutex>
#endif

namespace xlembed {

#ifdef XLEMBED_WITH_CUDA

namespace {

enum class Direction { to_device, to_host };

// Who waits for an event sleeps: a processor that spins is one less for the tokenizer.
constexpr unsigned kEventFlags = cudaEventDisableTiming | cudaEventBlockingSync;

// The same streams for the whole process: libtorch keeps freed memory for the stream that it came from.
c10::cuda::CUDAStream stream_of(Direction direction, c10::DeviceIndex device) {
  static std::mutex mutex;
  static auto* streams = new std::map<std::pair<Direction, c10::DeviceIndex>, c10::cuda::CUDAStream>();
  const std::lock_guard lock(mutex);
  const auto found = streams->find({direction, device});
  if (found != streams->end()) return found->second;
  const auto stream = c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device);
  streams->emplace(std::pair(direction, device), stream);
  return stream;
}

c10::DeviceIndex index_of(at::Device device) {
  return device.has_index() ? device.index() : c10::cuda::current_device();
}

}  // namespace

PackedBatch upload(at::Device device, const std::function<PackedBatch()>& pack) {
  if (!device.is_cuda()) return pack();
  const c10::DeviceIndex index = index_of(device);
  const auto compute = c10::cuda::getCurrentCUDAStream(index);
  const auto copies = stream_of(Direction::to_device, index);
  at::cuda::CUDAEvent arrived(kEventFlags);
  PackedBatch batch;
  {
    const c10::cuda::CUDAStreamGuard guard(copies);
    batch = pack();
    arrived.record(copies);
  }
  arrived.block(compute);
  // Allocated for one stream and used by another: not to be given away before that one is done, too.
  for (const at::Tensor& tensor : {batch.input_ids, batch.position_ids, batch.cumulative, batch.row_of}) {
    if (tensor.is_cuda()) tensor.record_stream(compute);
  }
  return batch;
}

Download::Download(const at::Tensor& values) {
  if (!values.is_cuda()) {
    host_ = values.contiguous();
    return;
  }
  const at::Tensor dense = values.contiguous();
  const auto index = static_cast<c10::DeviceIndex>(dense.get_device());
  const auto copies = stream_of(Direction::to_host, index);
  at::cuda::CUDAEvent computed(kEventFlags);
  computed.record(c10::cuda::getCurrentCUDAStream(index));
  computed.block(copies);
  auto arrived = std::make_shared<at::cuda::CUDAEvent>(kEventFlags);
  {
    const c10::cuda::CUDAStreamGuard guard(copies);
    host_ = at::empty(dense.sizes(), at::TensorOptions(at::kFloat).pinned_memory(true));
    host_.copy_(dense, /*non_blocking=*/true);
    arrived->record(copies);
  }
  dense.record_stream(copies);
  arrived_ = arrived;
}

std::vector<float> Download::wait() const {
  if (arrived_) {
    const auto& event = *static_cast<const at::cuda::CUDAEvent*>(arrived_.get());
    const c10::cuda::CUDAGuard guard(event.device_index());  // or this thread takes memory of the first GPU
    event.synchronize();
  }
  const float* values = host_.const_data_ptr<float>();
  return {values, values + host_.numel()};
}

#else

PackedBatch upload(at::Device, const std::function<PackedBatch()>& pack) { return pack(); }

Download::Download(const at::Tensor& values) : host_(values.to(at::kCPU).contiguous()) {}

std::vector<float> Download::wait() const {
  const float* values = host_.const_data_ptr<float>();
  return {values, values + host_.numel()};
}

#endif

}  // namespace xlembed
