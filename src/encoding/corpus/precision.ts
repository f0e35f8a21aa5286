import { float32ToHalf } from '../../datasets/half.js';
import type { NpyArray, NpyDtype } from '../../datasets/npy.js';

/**
 * How embeddings are stored.
 *   int8    q = round(x / scale), scale = max |x| / 127 of the vector: x is about q * scale
 *   binary  bit d = [x_d > 0], eight to a byte, the first in the highest bit (numpy.packbits; the "ubinary" precision of
 *           sentence-transformers)
 */
export type Precision = 'float32' | 'float16' | 'int8' | 'binary';

/** Element type of stored values. */
export const storedDtype: Record<Precision, NpyDtype> = {
  float32: 'float32',
  float16: 'float16',
  int8: 'int8',
  binary: 'uint8',
};

/** Stored values in one row. */
export function storedWidth(dimensions: number, precision: Precision): number {
  return precision === 'binary' ? Math.ceil(dimensions / 8) : dimensions;
}

export interface StoredVectors {
  /** (rows, width); float16 as bits. */
  values: NpyArray;
  /** (rows), with int8. */
  scales?: Float32Array;
}

/** The first `kept` of the `dimensions` values of every vector (Matryoshka), at length 1 when asked. */
export function shortened(
  vectors: Float32Array,
  dimensions: number,
  kept: number,
  normalize: boolean,
): Float32Array {
  if (kept === dimensions && !normalize) return vectors;
  const rows = vectors.length / dimensions;
  const result = new Float32Array(rows * kept);
  for (let row = 0; row < rows; ++row) {
    const vector = vectors.subarray(row * dimensions, row * dimensions + kept);
    if (normalize) scaleToLengthOne(vector);
    result.set(vector, row * kept);
  }
  return result;
}

/** A zero vector stays as it is. */
function scaleToLengthOne(vector: Float32Array): void {
  let squares = 0;
  for (let i = 0; i < vector.length; ++i) squares += vector[i]! * vector[i]!;
  const scale = squares > 0 ? 1 / Math.sqrt(squares) : 1;
  for (let i = 0; i < vector.length; ++i) vector[i]! *= scale;
}

export function quantized(vectors: Float32Array, dimensions: number, precision: Precision): StoredVectors {
  switch (precision) {
    case 'float32':
      return { values: vectors };
    case 'float16':
      return { values: float32ToHalf(vectors) };
    case 'int8':
      return toInt8(vectors, dimensions);
    case 'binary':
      return { values: toBits(vectors, dimensions) };
  }
}

/** Ties to even, in float32, as native/kernels/quantize does. */
function toInt8(vectors: Float32Array, dimensions: number): StoredVectors {
  const scales = new Float32Array(vectors.length / dimensions);
  const values = new Int8Array(vectors.length);
  for (let row = 0; row < scales.length; ++row) {
    const begin = row * dimensions;
    let largest = 0;
    for (let i = begin; i < begin + dimensions; ++i) largest = Math.max(largest, Math.abs(vectors[i]!));
    scales[row] = largest / 127;
    if (largest === 0) continue;
    for (let i = begin; i < begin + dimensions; ++i) {
      values[i] = roundToEven(Math.fround(vectors[i]! / scales[row]!));
    }
  }
  return { values, scales };
}

/** Adding 1.5 * 2^52 leaves no bit for a fraction; the sum rounds as IEEE 754 does. */
function roundToEven(value: number): number {
  return value + 6_755_399_441_055_744 - 6_755_399_441_055_744;
}

function toBits(vectors: Float32Array, dimensions: number): Uint8Array {
  const width = Math.ceil(dimensions / 8);
  const rows = vectors.length / dimensions;
  const bits = new Uint8Array(rows * width);
  for (let row = 0; row < rows; ++row) {
    for (let d = 0; d < dimensions; ++d) {
      if (vectors[row * dimensions + d]! > 0) bits[row * width + (d >> 3)]! |= 0x80 >> (d & 7);
    }
  }
  return bits;
}
