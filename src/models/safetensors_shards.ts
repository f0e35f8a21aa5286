import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { XlembedError } from '../errors.js';
import { parseFields, readJson } from './json_file.js';
import { isPlainFileName } from './ranged_file.js';
import { readSafetensorsHeader } from './safetensors.js';
import type { StoredTensor } from './stored_tensor.js';

const INDEX_FIELDS = z.object({ weight_map: z.record(z.string(), z.string()) });
const CODE = 'SAFETENSORS_INVALID';

/**
 * Tensors of a sharded model, through its `model.safetensors.index.json`. Throws SAFETENSORS_INVALID when the index
 * leads out of its folder or disagrees with a shard, FILE_NOT_FOUND when a shard is missing.
 */
export function readShardedSafetensors(indexPath: string): StoredTensor[] {
  const { weight_map: weightMap } = parseFields(INDEX_FIELDS, readJson(indexPath, CODE), indexPath, CODE);
  const shards = new Map<string, Map<string, StoredTensor>>();
  for (const shard of new Set(Object.values(weightMap))) shards.set(shard, openShard(indexPath, shard));
  return Object.entries(weightMap).map(([name, shard]) => {
    const tensor = shards.get(shard)!.get(name);
    if (!tensor) throw invalidIndex(indexPath, `tensor "${name}" is not in its shard ${shard}`);
    return tensor;
  });
}

function openShard(indexPath: string, shard: string): Map<string, StoredTensor> {
  if (!isPlainFileName(shard)) {
    throw invalidIndex(
      indexPath,
      `shard ${JSON.stringify(shard)} is not the name of a file in the same folder`,
    );
  }
  const path = join(dirname(indexPath), shard);
  if (!existsSync(path)) {
    throw new XlembedError(
      'FILE_NOT_FOUND',
      `${indexPath}: the shard ${shard} is missing`,
      'fetch the whole model again',
    );
  }
  return new Map(readSafetensorsHeader(path).tensors.map((tensor) => [tensor.name, tensor]));
}

function invalidIndex(indexPath: string, what: string): XlembedError {
  return new XlembedError(CODE, `${indexPath}: ${what}`, 'fetch the whole model again');
}
