import { XlembedError } from '../errors.js';
import type { Similarity } from './ranking_index.js';

/** The queries or the candidates of one language. */
export interface EmbeddedTexts {
  /** (N) unique. */
  ids: readonly string[];
  /** (N, D) row-major, in the order of the ids. */
  embeddings: Float32Array;
}

/** Throws DIMENSION_MISMATCH when the rows do not fit, INVALID_ARGUMENT when a value is not finite. */
export function validateEmbeddedTexts(name: string, texts: EmbeddedTexts, dimensions: number): void {
  const expected = texts.ids.length * dimensions;
  if (texts.embeddings.length !== expected) {
    throw new XlembedError(
      'DIMENSION_MISMATCH',
      `expected ${texts.ids.length} x ${dimensions} values for ${name}, received ${texts.embeddings.length}`,
    );
  }
  requireFinite(texts.embeddings, (bad) => `${name}, id ${texts.ids[Math.floor(bad / dimensions)]}`);
}

/** Throws INVALID_ARGUMENT; `place` names where the value at an offset belongs. */
export function requireFinite(embeddings: Float32Array, place: (offset: number) => string): void {
  const bad = embeddings.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return;
  throw new XlembedError(
    'INVALID_ARGUMENT',
    `expected finite embeddings, received ${embeddings[bad]} for ${place(bad)}`,
    'the model overflows or its weights are damaged; try dtype float32',
  );
}

/** Copies row `row` of (N, D) values to row `targetRow` of `target`, at unit length for the cosine. */
export function copyRow(
  source: Float32Array,
  row: number,
  target: Float32Array,
  targetRow: number,
  dimensions: number,
  similarity: Similarity,
): void {
  const vector = source.subarray(row * dimensions, (row + 1) * dimensions);
  const copy = target.subarray(targetRow * dimensions, (targetRow + 1) * dimensions);
  copy.set(vector);
  if (similarity === 'cosine') normalize(copy);
}

/** A zero vector stays as it is. */
function normalize(vector: Float32Array): void {
  let squares = 0;
  for (let i = 0; i < vector.length; i++) squares += vector[i]! * vector[i]!;
  const scale = squares > 0 ? 1 / Math.sqrt(squares) : 1;
  for (let i = 0; i < vector.length; i++) vector[i] = vector[i]! * scale;
}
