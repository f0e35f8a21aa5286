import { XlembedError } from '../../errors.js';
import { loadNative, packageVersion } from '../../native.js';
import type { TextCounts } from '../encoder.js';
import { hash53, repeatedHashes } from './duplicate_ids.js';
import type { CorpusFigures } from './figures.js';
import type { CorpusSettings } from './options.js';
import type { OutputFolder, ShardRecord } from './output_folder.js';
import { readShardIds } from './shard_ids.js';

/** Stored as `manifest.json`: what the embeddings are, what they were made with, and which files hold them. */
export interface CorpusManifest extends CorpusSettings, TextCounts {
  formatVersion: 1;
  /** False when the run was ended before all shards were there; the folder then has no manifest yet. */
  complete: boolean;
  rows: number;
  /** Tokens encoded, special tokens included. */
  tokens: number;
  /** Malformed input lines left out, and why the first was. */
  skippedLines: number;
  firstSkipped?: string;
  /** Rows whose id an earlier row has. */
  duplicateIds: number;
  firstDuplicate?: string;
  versions: Record<string, string>;
  /** In the order of the input. */
  shards: ShardRecord[];
  /** Of the last run: in the file, of the process that wrote it; as returned, of this process. */
  figures: CorpusFigures;
}

export function describeRun(
  settings: CorpusSettings,
  shards: ShardRecord[],
  figures: CorpusFigures,
  complete: boolean,
): CorpusManifest {
  const sum = (name: 'rows' | 'tokens' | 'truncated' | 'replacedSurrogates' | 'empty' | 'skippedLines') =>
    shards.reduce((total, shard) => total + shard[name], 0);
  const firstSkipped = shards.find((shard) => shard.firstSkipped !== undefined)?.firstSkipped;
  return {
    formatVersion: 1,
    complete,
    rows: sum('rows'),
    tokens: sum('tokens'),
    truncated: sum('truncated'),
    replacedSurrogates: sum('replacedSurrogates'),
    empty: sum('empty'),
    skippedLines: sum('skippedLines'),
    ...(firstSkipped === undefined ? {} : { firstSkipped }),
    duplicateIds: 0,
    ...settings,
    versions: {
      xlembed: packageVersion(),
      node: process.versions.node,
      libtorch: loadNative().info().libtorch,
    },
    shards,
    figures,
  };
}

/** Counts the ids that occur again. Throws DUPLICATE_ID when the policy is to fail. */
export async function checkDuplicates(
  output: OutputFolder,
  manifest: CorpusManifest,
  policy: 'fail' | 'count',
): Promise<void> {
  const paths = manifest.shards.map(({ shard }) => output.hashesPath(shard));
  const suspects = await repeatedHashes(paths, manifest.rows);
  if (suspects.size === 0) return;
  const seen = new Set<string>();
  for (const { files } of manifest.shards) {
    const names = files.map(({ name }) => name);
    for (const id of (await readShardIds(output.folder, names)).ids) {
      if (!suspects.has(hash53(id))) continue;
      if (seen.has(id)) {
        manifest.duplicateIds += 1;
        manifest.firstDuplicate ??= id;
      }
      seen.add(id);
    }
  }
  if (policy === 'count' || manifest.duplicateIds === 0) return;
  throw new XlembedError(
    'DUPLICATE_ID',
    `${manifest.duplicateIds} rows have an id that an earlier row has, the first ${JSON.stringify(manifest.firstDuplicate)}`,
    'all embeddings are kept: resume with duplicates "count" (--duplicates count) to accept them, or name another id column and overwrite',
  );
}
