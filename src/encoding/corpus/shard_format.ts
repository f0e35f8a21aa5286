import type { TextRecord } from '../../datasets/texts.js';
import { invalidArgument } from '../../errors.js';
import { NpyShard } from './npy_shard.js';
import { ParquetShard } from './parquet_shard.js';
import type { Precision, StoredVectors } from './precision.js';
import { SafetensorsShard } from './safetensors_shard.js';

export type ShardFormatName = 'npy' | 'safetensors' | 'parquet';

/** What every shard of a folder has in common. */
export interface ShardLayout {
  /** Of an embedding. */
  dimensions: number;
  precision: Precision;
  /** Texts stand beside their ids. */
  keepTexts: boolean;
}

/** A part of a shard: vectors and what they are of, row by row. */
export interface ShardBlock {
  records: readonly TextRecord[];
  vectors: StoredVectors;
}

/** Writes the files of one shard into a folder; they are whole once `close` has returned. */
export interface ShardWriter {
  append(block: ShardBlock): Promise<void>;
  /** Syncs the files and returns their names. */
  close(): Promise<string[]>;
  /** Closes what is open. */
  abort(): Promise<void>;
}

interface ShardFormat {
  precisions: readonly Precision[];
  create(folder: string, stem: string, layout: ShardLayout): Promise<ShardWriter>;
}

const formats = new Map<ShardFormatName, ShardFormat>([
  ['npy', { precisions: ['float32', 'float16', 'int8', 'binary'], create: NpyShard.create }],
  ['safetensors', { precisions: ['float32', 'float16', 'int8', 'binary'], create: SafetensorsShard.create }],
  ['parquet', { precisions: ['float32', 'int8', 'binary'], create: ParquetShard.create }],
]);

export const shardFormatNames = [...formats.keys()];

/** Throws INVALID_ARGUMENT for a format that is not known or cannot hold this precision. */
export function shardFormat(name: ShardFormatName, precision: Precision): ShardFormat {
  const format = formats.get(name);
  if (!format) throw invalidArgument('format', `one of ${shardFormatNames.join(', ')}`, name);
  if (format.precisions.includes(precision)) return format;
  throw invalidArgument('precision', `one of ${format.precisions.join(', ')} for ${name}`, precision);
}
