import { types } from 'node:util';
import { invalidArgument, XlembedError } from '../errors.js';

/** Vectors laid end to end, or the same with their shape. */
export type Vectors = Float32Array | { data: Float32Array; rows: number; dimensions: number };

// The square of the longest vector. Beyond it a float32 score may overflow; below it no partial sum can.
const largestSquaredLength = 1e38;

export function checkedDimensions(dimensions: number): number {
  if (Number.isInteger(dimensions) && dimensions >= 1 && dimensions <= 65_536) return dimensions;
  throw invalidArgument('dimensions', 'a whole number from 1 to 65536', dimensions);
}

export function requireK(k: number): void {
  if (!Number.isInteger(k) || k < 1) throw invalidArgument('k', 'a whole number above 0', k);
}

export function requireOneOf(name: string, value: string, choices: readonly string[], hint = ''): void {
  if (!choices.includes(value)) throw invalidArgument(name, choices.join(' or '), value, hint);
}

/**
 * The values of vectors that all have `dimensions` dimensions and can be scored. Throws INVALID_ARGUMENT,
 * DIMENSION_MISMATCH, and INVALID_ARGUMENT that names the row with NaN, infinity or too large values.
 */
export function checkedVectors(name: string, vectors: Vectors, dimensions: number): Float32Array {
  const data = types.isFloat32Array(vectors) ? vectors : shaped(name, vectors, dimensions);
  if (data.length % dimensions !== 0) {
    throw new XlembedError(
      'DIMENSION_MISMATCH',
      `expected a multiple of ${dimensions} values for ${name}, received ${data.length}`,
      `the index holds vectors of ${dimensions} dimensions`,
    );
  }
  if (data.length === 0) requireAttached(name, data);
  requireScorable(name, data, dimensions);
  return data;
}

/** What was moved to another thread has no length, and would pass for no vectors at all. */
function requireAttached(name: string, data: Float32Array): void {
  try {
    new Uint8Array(data.buffer);
  } catch {
    throw new XlembedError(
      'INVALID_ARGUMENT',
      `the memory of ${name} was moved to another thread`,
      'post it without a list of what to transfer',
    );
  }
}

function shaped(name: string, vectors: Exclude<Vectors, Float32Array>, dimensions: number): Float32Array {
  const { data, rows, dimensions: own } = vectors ?? {};
  if (!types.isFloat32Array(data)) {
    const hint = 'Float32Array.from(values) converts';
    throw invalidArgument(name, 'a Float32Array or {data, rows, dimensions}', data ?? vectors, hint);
  }
  if (own !== dimensions) {
    throw new XlembedError(
      'DIMENSION_MISMATCH',
      `expected ${dimensions} dimensions for ${name}, received ${own}`,
      'index and queries must come from the same model',
    );
  }
  if (data.length !== rows * dimensions) {
    throw new XlembedError(
      'DIMENSION_MISMATCH',
      `expected ${rows} x ${dimensions} values for ${name}, received ${data.length}`,
    );
  }
  return data;
}

function requireScorable(name: string, data: Float32Array, dimensions: number): void {
  for (let first = 0; first < data.length; first += dimensions) {
    let squaredLength = 0;
    for (let i = first; i < first + dimensions; i++) squaredLength += data[i]! * data[i]!;
    if (!(squaredLength <= largestSquaredLength)) {
      throw new XlembedError(
        'INVALID_ARGUMENT',
        `expected finite values for ${name}, received NaN, infinity or too large ones in row ${first / dimensions}`,
        'look at the text or file that this row came from',
      );
    }
  }
}
