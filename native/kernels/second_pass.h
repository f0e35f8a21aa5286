// The second pass of a search: the rows that a first pass left (shortlist.h) get their scores in float32, and
// the k best of them are the answer.
#pragma once

#include <vector>

#include "kernels/shortlist.h"
#include "kernels/top_k.h"

namespace xlembed::kernels {

// `lists` has one list for each thread of the first pass, `margins` the largest of each query. Queries that
// any thread gave up, or that have more than `most` rows in all lists, are answered by top_k_one_pass();
// returns how many. Lists of a subset hold places in it.
int64_t second_pass(const float* queries, int64_t count, const Corpus& corpus, const Subset& subset,
                    int64_t k, std::vector<Shortlist>& lists, const std::vector<float>& margins, int64_t most,
                    int threads, float* scores, int32_t* rows);

}  // namespace xlembed::kernels
