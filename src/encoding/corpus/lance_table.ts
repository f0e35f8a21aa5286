import { pathToFileURL } from 'node:url';
import { resolveInPackage } from '../../datasets/optional_package.js';
import { XlembedError } from '../../errors.js';
import { readShards } from './shards_folder.js';

interface Row {
  id: string;
  text?: string;
  vector: number[];
}

/** What is used of @lancedb/lancedb, which is installed by those who want it. */
interface Lance {
  connect(uri: string): Promise<{
    createTable(name: string, rows: Row[], options: { mode: 'overwrite' | 'create' }): Promise<LanceTable>;
    tableNames(): Promise<string[]>;
    dropTable(name: string): Promise<void>;
  }>;
}

interface LanceTable {
  add(rows: Row[]): Promise<unknown>;
}

/** Rows handed over at a time: they are JavaScript objects on the way. */
const ROWS_AT_ONCE = 4096;

/**
 * Copies a complete folder of embeddings into a LanceDB table with the columns `id`, `text` (where texts are kept) and
 * `vector`, and returns their number. Without rows there is no table, nor the one that it would replace. Throws
 * PACKAGE_MISSING, FILE_EXISTS for a table that is there (unless `overwrite`), FILE_WRITE_FAILED, and what reading the
 * folder throws.
 */
export async function writeLanceTable(
  folder: string,
  uri: string,
  name: string,
  { overwrite = false }: { overwrite?: boolean } = {},
): Promise<number> {
  const lance = await loadLance();
  let count = 0;
  try {
    const database = await lance.connect(uri);
    let table: LanceTable | undefined;
    for await (const rows of rowsOf(folder)) {
      if (table) await table.add(rows);
      else table = await database.createTable(name, rows, { mode: overwrite ? 'overwrite' : 'create' });
      count += rows.length;
    }
    if (!table && overwrite && (await database.tableNames()).includes(name)) await database.dropTable(name);
  } catch (cause) {
    throw tableError(uri, name, cause);
  }
  return count;
}

/** Path of the package. Throws PACKAGE_MISSING. */
export function findLance(): string {
  return resolveInPackage('@lancedb/lancedb', '@lancedb/lancedb');
}

async function loadLance(): Promise<Lance> {
  return (await import(pathToFileURL(findLance()).href)) as Lance;
}

async function* rowsOf(folder: string): AsyncGenerator<Row[]> {
  for await (const { ids, texts, vectors } of readShards(folder)) {
    const dimensions = vectors.length / ids.length;
    for (let first = 0; first < ids.length; first += ROWS_AT_ONCE) {
      yield ids.slice(first, first + ROWS_AT_ONCE).map((id, n) => {
        const row = first + n;
        const vector = Array.from(vectors.subarray(row * dimensions, (row + 1) * dimensions));
        const text = texts[row];
        return text === undefined ? { id, vector } : { id, text, vector };
      });
    }
  }
}

function tableError(uri: string, name: string, cause: unknown): XlembedError {
  if (cause instanceof XlembedError) return cause;
  const { message } = cause as Error;
  const exists = /already exists/.test(message);
  return new XlembedError(
    exists ? 'FILE_EXISTS' : 'FILE_WRITE_FAILED',
    `the LanceDB table ${name} at ${uri} cannot be written: ${message.split('\n')[0]}`,
    exists ? 'choose another table, or overwrite it' : 'check the address, space and rights',
    { cause },
  );
}
