import { parentPort, workerData } from 'node:worker_threads';
import { FlatIndex } from '#xlembed/search/flat_index.js';
import { randomVectors } from './vectors.js';

const { seed, leave } = workerData as { seed: number; leave: boolean };
const index = FlatIndex.create({ dimensions: 32 });
await index.add(randomVectors(3000, 32, seed));
const search = index.search(randomVectors(400, 32, 7), 3);
parentPort!.postMessage(leave ? 'searching' : (await search).at(-1));
