/** (rows, D) with values that are the same on every run: a small congruential generator, roughly normal. */
export function randomVectors(rows: number, dimensions: number, seed: number): Float32Array {
  let state = seed >>> 0;
  const uniform = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return Float32Array.from(
    { length: rows * dimensions },
    () => uniform() + uniform() + uniform() + uniform() - 2,
  );
}

/** In float64. */
export function innerProduct(
  a: Float32Array,
  row: number,
  b: Float32Array,
  other: number,
  dimensions: number,
) {
  let sum = 0;
  for (let d = 0; d < dimensions; d++) sum += a[row * dimensions + d]! * b[other * dimensions + d]!;
  return sum;
}

/** All rows, best first, as [row, float64 score]. */
export function ranking(queries: Float32Array, q: number, vectors: Float32Array, dimensions: number) {
  const rows = Array.from({ length: vectors.length / dimensions }, (_, row) => row);
  const scores = rows.map((row) => innerProduct(queries, q, vectors, row, dimensions));
  return rows.sort((a, b) => scores[b]! - scores[a]! || a - b).map((row) => [row, scores[row]!] as const);
}
