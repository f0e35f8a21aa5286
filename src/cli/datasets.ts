import { basename } from 'node:path';
import type { Dataset } from '../batches/options.js';
import type { MalformedPolicy } from '../datasets/malformed.js';
import { readRecords } from '../datasets/read_records.js';
import type { ParallelRecord } from '../datasets/records.js';
import type { DataFlag } from './batch_arguments.js';

export interface ReadDatasets {
  /** Those of all files, one behind the other. */
  records: ParallelRecord[];
  /** One for each file. */
  datasets: Dataset[];
  /** What a reader must know of lines left out, and of fields. */
  notes: string[];
}

/**
 * Reads each file as a data set of its own: ids are unique within it. Throws as readRecords does, EMPTY_DATASET for a
 * file without a record too.
 */
export async function readDatasets(
  files: readonly DataFlag[],
  onMalformed: MalformedPolicy,
): Promise<ReadDatasets> {
  const all: ReadDatasets = { records: [], datasets: [], notes: [] };
  for (const { path, weight } of files) {
    const { records, counts } = await readRecords(path, { onMalformed });
    for (const record of records) all.records.push(record);
    all.datasets.push({
      name: basename(path),
      records: records.length,
      ...(weight !== undefined && { weight }),
    });
    if (counts.skipped > 0) {
      all.notes.push(`${counts.skipped} malformed lines left out; the first: ${counts.firstSkipped}`);
    }
    if (counts.ignoredFields.length > 0)
      all.notes.push(`fields of ${path} without a meaning here: ${counts.ignoredFields.join(', ')}`);
  }
  return all;
}
