// Exact inner-product search by many queries, in two passes as in top_k_narrow.h, without a narrow copy: a
// thread makes narrow numbers of each panel before all queries are held against it.
#pragma once

#include <cstdint>

#include "kernels/top_k.h"

namespace xlembed::kernels {

// Whether two passes are faster than one, for so many queries at once.
bool takes_two_passes(int64_t queries, int64_t rows, int64_t dimensions, int64_t k);

// What top_k() gives, for any layout and subset. Returns how many of the queries took float32 sums alone.
int64_t top_k_two_pass(const float* queries, int64_t query_count, const Corpus& corpus, const Subset& subset,
                       int64_t k, int threads, float* scores, int32_t* rows);

}  // namespace xlembed::kernels
