/** Texts of several languages on the plane that shows most of their differences. */
export interface Projection {
  /** Share of the variance along each of the two axes. */
  explained: [number, number];
  /** `text` names the same text in every language. */
  points: { language: string; text: string; x: number; y: number }[];
}

/** More would not be told apart on the plane. */
export const mostTexts = 24;
export const mostLanguages = 20;
const iterations = 60;

/** Gathers the embeddings of the same few texts in several languages. */
export class ProjectionSample {
  readonly #rows: { language: string; text: string; vector: Float64Array }[] = [];
  readonly #languages = new Set<string>();
  readonly #texts = new Set<string>();

  constructor(readonly dimensions: number) {}

  /** `embeddings` (N, D) of the N texts with these ids. A language counts once. */
  add(language: string, ids: readonly string[], embeddings: Float32Array): void {
    if (this.#languages.has(language) || this.#languages.size >= mostLanguages) return;
    this.#languages.add(language);
    const { dimensions } = this;
    ids.forEach((text, row) => {
      if (this.#languages.size === 1 && this.#texts.size < mostTexts) this.#texts.add(text);
      if (!this.#texts.has(text)) return;
      const vector = Float64Array.from(embeddings.subarray(row * dimensions, (row + 1) * dimensions));
      scale(vector, 1);
      this.#rows.push({ language, text, vector });
    });
  }

  /** Nothing for fewer than two languages, or where all texts have the same embedding. */
  project(): { projection?: Projection } {
    const vectors = this.#rows.map(({ vector }) => vector);
    if (this.#languages.size < 2 || vectors.length < 3) return {};
    center(vectors);
    const total = vectors.reduce((sum, vector) => sum + dot(vector, vector), 0);
    if (!(total > 1e-12)) return {};
    const [first, second] = principalAxes(vectors);
    const points = this.#rows.map(({ language, text, vector }) => {
      return { language, text, x: dot(vector, first), y: dot(vector, second) };
    });
    const share = (axis: 'x' | 'y') => points.reduce((sum, point) => sum + point[axis] ** 2, 0) / total;
    return { projection: { explained: [share('x'), share('y')], points } };
  }
}

/**
 * The two directions (D) of largest variance of centred rows, by orthogonal iteration (Golub and Van Loan, 8.2.4) from a
 * fixed start: the same rows give the same plane. The largest component of an axis is positive.
 */
export function principalAxes(rows: readonly Float64Array[]): [Float64Array, Float64Array] {
  const dimensions = rows[0]!.length;
  let axes: Float64Array[] = [1, 2].map((k) =>
    Float64Array.from({ length: dimensions }, (_, d) => Math.sin(k * (d + 1) ** 1.5)),
  );
  for (let iteration = 0; iteration < iterations; iteration++) {
    axes = axes.map((axis) => timesCovariance(rows, axis));
    const [first, second] = axes as [Float64Array, Float64Array];
    scale(first, 1);
    const along = dot(first, second);
    for (let d = 0; d < dimensions; d++) second[d]! -= along * first[d]!;
    scale(second, 1);
  }
  for (const axis of axes) {
    const largest = axis.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
    if (largest < 0) scale(axis, -1);
  }
  return axes as [Float64Array, Float64Array];
}

function timesCovariance(rows: readonly Float64Array[], axis: Float64Array): Float64Array {
  const result = new Float64Array(axis.length);
  for (const row of rows) {
    const weight = dot(row, axis);
    for (let d = 0; d < axis.length; d++) result[d]! += weight * row[d]!;
  }
  return result;
}

function center(rows: readonly Float64Array[]): void {
  for (let d = 0; d < rows[0]!.length; d++) {
    const mean = rows.reduce((sum, row) => sum + row[d]!, 0) / rows.length;
    for (const row of rows) row[d]! -= mean;
  }
}

/** To the given length; a negative one turns it round. A zero vector stays. */
function scale(vector: Float64Array, length: number): void {
  const norm = Math.sqrt(dot(vector, vector));
  if (norm === 0) return;
  for (let d = 0; d < vector.length; d++) vector[d]! *= length / norm;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let d = 0; d < a.length; d++) sum += a[d]! * b[d]!;
  return sum;
}
