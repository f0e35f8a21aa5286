#include <cfloat>

#include "kernels/launch.cuh"
#include "kernels/narrow_vectors.cuh"

namespace xlembed::kernels::cuda {
namespace {

constexpr int widen_threads = 256;

// Of numbers that are not negative the larger one has the larger bits: no order matters.
__device__ void raise(float* bound, double value) {
  const auto wanted = static_cast<float>(value * 1.000001);  // the conversion may have rounded down
  atomicMax(reinterpret_cast<unsigned*>(bound), __float_as_uint(wanted));
}

__global__ void narrow_rows(const float* vectors, int64_t first, int64_t count, int64_t D,
                            int64_t memory_rows, bfloat16* const* blocks, float* bounds) {
  const int64_t r = row_of_warp();
  if (r >= count) return;
  const int64_t width = narrow_width(D), row = first + r;
  bfloat16* out = blocks[row / memory_rows] + row % memory_rows * width;
  const Distance distance = narrow_row(vectors + r * D, D, width, out);
  if (threadIdx.x != 0) return;
  raise(&bounds[0], distance.error);
  raise(&bounds[1], distance.length);
}

// A warp to a row, with the arithmetic of the CPU's encode_int8(); every lane receives how far bfloat16 is
// from what the numbers stand for.
__device__ Distance int8_row(const float* x, int64_t D, int64_t width, int8_t* out, float* scale_out) {
  float largest = 0;
  for (int64_t d = threadIdx.x; d < D; d += warp_lanes) largest = fmaxf(largest, fabsf(x[d]));
  const float scale = int8_scale(warp_max(largest)), inverse = scale > FLT_MIN ? 1 / scale : 0.0f;
  Distance squared;
  for (int64_t d = threadIdx.x; d < width; d += warp_lanes) {
    const float integer = d < D ? fminf(fmaxf(rintf(x[d] * inverse), -127.0f), 127.0f) : 0.0f;
    out[d] = static_cast<int8_t>(integer);
    const float value = scale * integer;
    const double rounded = to_float(round_to_bfloat16(value)), difference = value - rounded;
    squared.error += difference * difference;
    squared.length += rounded * rounded;
  }
  if (threadIdx.x == 0) *scale_out = scale;
  return {sqrt(warp_sum(squared.error)), sqrt(warp_sum(squared.length))};
}

__global__ void store_rows(const float* vectors, int64_t first, int64_t count, int64_t D, StoredRows rows,
                           float* bounds) {
  const int64_t r = row_of_warp();
  if (r >= count) return;
  char* out = rows.at(first + r);
  const float* x = vectors + r * D;
  Distance distance;
  if (rows.type == Narrow::bfloat16) {
    distance = narrow_row(x, D, narrow_width(D), reinterpret_cast<bfloat16*>(out));
    distance.error = 0;  // what is read is what is kept
  } else {
    distance = int8_row(x, D, rows.row_bytes - 16, reinterpret_cast<int8_t*>(out), rows.scale(out));
  }
  if (threadIdx.x != 0) return;
  raise(&bounds[0], distance.error);
  raise(&bounds[1], distance.length);
}

// Rows [first, first + count) -> (count, width) bfloat16, a thread to eight places.
__global__ void widen_rows(StoredRows rows, int64_t first, int64_t count, int64_t width, bfloat16* out) {
  const int64_t at = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * 8;
  if (at >= count * width) return;
  char* row = rows.at(first + at / width);
  const float scale = *rows.scale(row);
  // width is at most the padded D: zeros stand behind D.
  const auto integers = load_vector<int8_t, 8>(reinterpret_cast<const int8_t*>(row) + at % width);
  Vector<bfloat16, 8> result;
#pragma unroll
  for (int i = 0; i < 8; ++i)
    result.values[i] = round_to_bfloat16(scale * static_cast<float>(integers.values[i]));
  store_vector(out + at, result);
}

// Rows [first, first + count) -> float32 panels (ceil(count / 48), D, 48); rows beyond `count` are zeros.
__global__ void widen_to_panels(StoredRows rows, int64_t first, int64_t count, int64_t D, int64_t values,
                                float* panels) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= values) return;
  const int64_t lane = at % kPanelRows, d = at / kPanelRows % D,
                row = at / kPanelRows / D * kPanelRows + lane;
  panels[at] = row < count ? rows.value(rows.at(first + row), d) : 0.0f;
}

}  // namespace

void write_narrow(const float* vectors, int64_t first, int64_t count, int64_t dimensions,
                  int64_t rows_per_block_of_memory, bfloat16* const* blocks, float* bounds,
                  CudaStream stream) {
  launch(narrow_rows, blocks_for(count, rows_per_block), dim3(warp_lanes, rows_per_block), 0, stream, vectors,
         first, count, dimensions, rows_per_block_of_memory, blocks, bounds);
}

void write_stored(const float* vectors, int64_t first, int64_t count, const StoredCorpus& corpus,
                  CudaStream stream) {
  launch(store_rows, blocks_for(count, rows_per_block), dim3(warp_lanes, rows_per_block), 0, stream, vectors,
         first, count, corpus.dimensions, StoredRows(corpus), corpus.bounds);
}

void widen_to_bfloat16(const StoredCorpus& corpus, int64_t first, int64_t count, bfloat16* out,
                       CudaStream stream) {
  const int64_t width = narrow_width(corpus.dimensions);
  launch(widen_rows, blocks_for(count * width / 8, widen_threads), widen_threads, 0, stream,
         StoredRows(corpus), first, count, width, out);
}

PanelSource widened_panels(const StoredCorpus& corpus, float* panels, CudaStream stream) {
  return [&corpus, panels, stream](int64_t first, int64_t* end) -> const float* {
    const int64_t D = corpus.dimensions, rows = std::min(*end - first, stored_piece_rows(D));
    const int64_t values = (rows + kPanelRows - 1) / kPanelRows * kPanelRows * D;
    launch(widen_to_panels, blocks_for(values, widen_threads), widen_threads, 0, stream, StoredRows(corpus),
           first, rows, D, values, panels);
    *end = first + rows;
    return panels;
  };
}

}  // namespace xlembed::kernels::cuda
