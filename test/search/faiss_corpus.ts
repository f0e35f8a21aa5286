import { FaissIndex } from '#xlembed/search/faiss_index.js';
import { randomVectors } from './vectors.js';

export const [rows, dimensions] = [3000, 32];

/** Around 40 centres, as embeddings of texts are. */
export function clustered(count: number, seed: number): Float32Array {
  const centres = randomVectors(40, dimensions, 99);
  const noise = randomVectors(count, dimensions, seed);
  return noise.map((value, i) => {
    const row = Math.floor(i / dimensions);
    return 0.5 * value + centres[((row * 7 + seed) % 40) * dimensions + (i % dimensions)]!;
  });
}

export const corpus = clustered(rows, 1);
export const queries = clustered(50, 2);
export const names = Array.from({ length: rows }, (_, row) => `passage ${row}`);

export async function filled(factory: string, metric: 'inner_product' | 'l2' = 'inner_product') {
  const index = await FaissIndex.create({ dimensions, factory, metric });
  if (!index.trained) await index.train(corpus);
  await index.add(corpus.subarray(0, 1000 * dimensions), names.slice(0, 1000));
  await index.add(corpus.subarray(1000 * dimensions), names.slice(1000));
  return index;
}
