import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { type ErrorCode, XlembedError } from '../errors.js';
import { parseFields, readJson } from './json_file.js';
import { isPlainFileName } from './ranged_file.js';
import type { StoredTensor } from './stored_tensor.js';

const INDEX_FIELDS = z.object({ weight_map: z.record(z.string(), z.string()) });

/**
 * Tensors of a sharded model, through its `model.safetensors.index.json` or `pytorch_model.bin.index.json`;
 * `readShard` reads one of its files. Throws `code` when the index leads out of its folder or disagrees with a shard,
 * FILE_NOT_FOUND when a shard is missing, and what `readShard` throws.
 */
export function readShards(
  indexPath: string,
  readShard: (path: string) => StoredTensor[],
  code: ErrorCode,
): StoredTensor[] {
  const invalid = (what: string) =>
    new XlembedError(code, `${indexPath}: ${what}`, 'fetch the whole model again');
  const { weight_map: weightMap } = parseFields(INDEX_FIELDS, readJson(indexPath, code), indexPath, code);
  const shards = new Map<string, Map<string, StoredTensor>>();
  for (const shard of new Set(Object.values(weightMap))) {
    if (!isPlainFileName(shard)) {
      throw invalid(`shard ${JSON.stringify(shard)} is not the name of a file in the same folder`);
    }
    const tensors = readShard(existingShard(indexPath, shard));
    shards.set(shard, new Map(tensors.map((tensor) => [tensor.name, tensor])));
  }
  return Object.entries(weightMap).map(([name, shard]) => {
    const tensor = shards.get(shard)!.get(name);
    if (!tensor) throw invalid(`tensor "${name}" is not in its shard ${shard}`);
    return tensor;
  });
}

function existingShard(indexPath: string, shard: string): string {
  const path = join(dirname(indexPath), shard);
  if (!existsSync(path)) {
    throw new XlembedError(
      'FILE_NOT_FOUND',
      `${indexPath}: the shard ${shard} is missing`,
      'fetch the whole model again',
    );
  }
  return path;
}
