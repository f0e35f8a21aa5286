import {
  asyncBufferFromFile,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
} from 'hyparquet';
import { invalidArgument, XlembedError } from '../errors.js';
import { fileError } from '../files/file_error.js';
import { LARGEST_POINTER_BYTES, requireNoPointer } from '../files/lfs_pointer.js';
import { decodeStrictly } from './lines.js';
import { notUtf8, placeOf } from './malformed.js';
import type { Row, RowsRequest } from './text_formats.js';
import { loadWebAssembly } from './web_assembly.js';

/**
 * The rows of a Parquet file, one row group in memory at a time. Throws INVALID_ARGUMENT when a column that is asked
 * for is missing, MALFORMED_FILE for anything that is no Parquet file.
 */
export async function* readParquetRows(request: RowsRequest): AsyncGenerator<Row> {
  const { path, progress } = request;
  const file = await asyncBufferFromFile(path).catch((cause: unknown) => {
    throw fileError(path, cause);
  });
  if (file.byteLength <= LARGEST_POINTER_BYTES) requireNoPointer(path, new Uint8Array(await file.slice(0)));
  const metadata = await reading(path, () => parquetMetadataAsync(file));
  const columns = presentColumns(request, metadata);
  const { compressors } = await loadWebAssembly(() => import('hyparquet-compressors'));
  let first = 0;
  for (const group of metadata.row_groups) {
    // All groups would be gone through for each: a file may have one for every row.
    const alone = { ...metadata, num_rows: group.num_rows, row_groups: [group] };
    const rows = await reading(path, () =>
      parquetReadObjects({ file, metadata: alone, compressors, columns, parsers }),
    );
    for (const [n, row] of rows.entries()) {
      const number = first + n + 1;
      yield { number, fields: () => checkedUtf8(row, placeOf(path, number)) };
    }
    progress.bytes += Number(group.total_compressed_size ?? group.total_byte_size);
    first += Number(group.num_rows);
  }
}

/** Bytes that are no UTF-8 stay bytes. */
const parsers = {
  stringFromBytes: (bytes: Uint8Array | undefined) => bytes && (decodeStrictly(bytes) ?? bytes),
};

function checkedUtf8(row: Record<string, unknown>, place: string): Record<string, unknown> {
  const other = Object.values(row).find((value) => value instanceof Uint8Array);
  if (other) throw notUtf8(place, 'the row', Buffer.from(other as Uint8Array).toString());
  return row;
}

/** The columns to read: those that must be there, and those that may. */
function presentColumns({ path, columns, optionalColumns }: RowsRequest, metadata: FileMetaData): string[] {
  // The fields of a nested column are none.
  const names = parquetSchema(metadata).children.map(({ element }) => element.name);
  const missing = columns.find((name) => !names.includes(name));
  if (missing === undefined) return [...columns, ...optionalColumns.filter((name) => names.includes(name))];
  throw invalidArgument(
    'the column',
    `one of ${names.slice(0, 20).join(', ')} in ${path}`,
    missing,
    'name the columns of ids and texts',
  );
}

async function reading<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).syscall) throw fileError(path, cause);
    throw new XlembedError(
      'MALFORMED_FILE',
      `expected a Parquet file at ${path}: ${(cause as Error).message}`,
      'the file may be damaged or cut short',
      { cause },
    );
  }
}
