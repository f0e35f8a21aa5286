import { XlembedError } from '../errors.js';
import { requireNoPointer } from '../files/lfs_pointer.js';

interface Foreign {
  /** A byte each. */
  begin: string;
  what: string;
  /** Files with this ending may begin so. */
  ending?: string;
  remedy: string;
}

const foreign: readonly Foreign[] = [
  {
    begin: '\x1f\x8b',
    what: 'compressed with gzip',
    ending: '.gz',
    remedy: 'let its name end with .gz, or unpack it: gunzip',
  },
  {
    begin: '\x28\xb5\x2f\xfd',
    what: 'compressed with zstd',
    ending: '.zst',
    remedy: 'let its name end with .zst, or unpack it: unzstd',
  },
  { begin: 'BZh91AY&SY', what: 'compressed with bzip2', remedy: 'unpack it: bunzip2' },
  { begin: '\xfd7zXZ\0', what: 'compressed with xz', remedy: 'unpack it: unxz' },
  { begin: 'PK\x03\x04', what: 'a zip archive', remedy: 'unpack it: unzip' },
  {
    begin: 'PAR1\x15',
    what: 'a Parquet file',
    remedy:
      'let its name end with .parquet; for records, write JSON lines, as to_json(lines=True) of pandas does',
  },
];

/** The same bytes. Throws FILE_READ_FAILED where they begin as those of a file do that its name says nothing of. */
export async function* requireExpected(
  path: string,
  bytes: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let isFirst = true;
  for await (const chunk of bytes) {
    if (isFirst) check(path, chunk);
    isFirst = false;
    yield chunk;
  }
}

function check(path: string, bytes: Uint8Array): void {
  requireNoPointer(path, bytes);
  const begin = Buffer.from(bytes.subarray(0, 16)).toString('latin1');
  const found = foreign.find(
    (kind) => begin.startsWith(kind.begin) && !(kind.ending !== undefined && path.endsWith(kind.ending)),
  );
  if (found) throw new XlembedError('FILE_READ_FAILED', `${path} is ${found.what}`, found.remedy);
}
