import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { XlembedError } from '../errors.js';
import { readSafetensorsHeader } from './safetensors.js';
import { readShardedSafetensors } from './safetensors_shards.js';
import type { StoredTensor } from './stored_tensor.js';
import { readTorchCheckpoint, stateDictTensors } from './torch_checkpoint.js';

/** Weights files in the order of preference. */
const READERS: [file: string, read: (path: string) => StoredTensor[]][] = [
  ['model.safetensors', (path) => readSafetensorsHeader(path).tensors],
  ['model.safetensors.index.json', readShardedSafetensors],
  ['pytorch_model.bin', (path) => stateDictTensors(readTorchCheckpoint(path), path)],
];

/** The tensors of a folder's weights file. Throws FILE_NOT_FOUND when there is none, and what its reader throws. */
export function readWeights(folder: string): StoredTensor[] {
  for (const [file, read] of READERS) {
    const path = join(folder, file);
    if (existsSync(path)) return read(path);
  }
  throw new XlembedError(
    'FILE_NOT_FOUND',
    `${folder} holds no weights: expected ${READERS.map(([file]) => file).join(' or ')}`,
    'fetch the whole model, or give --config and --tokenizer to train from scratch',
  );
}
