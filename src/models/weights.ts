import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { XlembedError } from '../errors.js';
import { readSafetensorsHeader } from './safetensors.js';
import type { StoredTensor } from './stored_tensor.js';
import { readTorchCheckpoint, stateDictTensors } from './torch_checkpoint.js';
import { readShards } from './weight_shards.js';

/** Weights files in the order of preference. */
const READERS: [file: string, read: (path: string) => StoredTensor[]][] = [
  ['model.safetensors', readSafetensors],
  ['model.safetensors.index.json', (path) => readShards(path, readSafetensors, 'SAFETENSORS_INVALID')],
  ['pytorch_model.bin', readStateDict],
  ['pytorch_model.bin.index.json', (path) => readShards(path, readStateDict, 'CHECKPOINT_INVALID')],
];

function readSafetensors(path: string): StoredTensor[] {
  return readSafetensorsHeader(path).tensors;
}

function readStateDict(path: string): StoredTensor[] {
  return stateDictTensors(readTorchCheckpoint(path), path);
}

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
