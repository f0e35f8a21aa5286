// Gradients summed over the processes of a group while the backward pass still runs (S. Li et al. 2020, arXiv
// 2006.15704): parameters are grouped, last ones first, into buckets of some 25 MB, and a bucket is on its
// way as soon as the gradients in it are final.
#pragma once

#include <memory>
#include <vector>

#include "core/process_group.h"

namespace xlembed {

class GradientBuckets {
 public:
  // parameters: float32 leaves, the same in every process.
  GradientBuckets(std::vector<at::Tensor> parameters, std::shared_ptr<ProcessGroup> group,
                  int64_t bucket_bytes = int64_t{25} << 20);
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  // Before the last backward pass of a step: a gradient is final when it is accumulated the next time. What
  // `earlier` (one for each parameter, some undefined) holds is multiplied by `factor` and added.
  void begin(const std::vector<at::Tensor>& earlier, double factor);

  // True once a bucket is on its way: the step can not be taken again.
  bool started() const { return next_ > 0; }

  // After that pass: every gradient is the sum over the processes, with the same bits in each. One that no
  // process has stays undefined.
  void finish();

 private:
  struct Hook;
  struct Slot {
    size_t parameter;
    int64_t offset;  // elements from the beginning of the bucket
  };
  struct Bucket {
    std::vector<Slot> slots;
    int64_t elements = 0;
    at::Tensor sums;
    ProcessGroup::Wait wait;
  };

  void fill_buckets(int64_t bucket_bytes);
  void accumulated(size_t parameter);
  bool is_final(const Bucket& bucket) const;
  void start(Bucket& bucket);
  void take(const Bucket& bucket, const float* used);

  std::vector<at::Tensor> parameters_;
  std::shared_ptr<ProcessGroup> group_;
  std::vector<Bucket> buckets_;  // the last one ends with a number for each parameter: processes that have it
  int64_t used_offset_ = 0;      // of those numbers
  std::vector<char> awaited_;    // of each parameter: the last pass of the step before has accumulated it
  std::vector<char> final_;
  std::vector<char> used_;
  std::vector<at::Tensor> earlier_;
  double factor_ = 1;
  size_t next_ = 0;  // buckets that are on their way: they go in order, as every process must send the same
  bool collects_ = false;
};

}  // namespace xlembed
