import { invalidCheckpoint } from './checkpoint_error.js';
import type { RangedFile } from './ranged_file.js';

/** One file inside a zip archive, stored as it is. */
export interface ZipEntry {
  name: string;
  /** Bytes of its content, from the start of the archive. */
  offset: number;
  size: number;
}

// Records and their fixed lengths: APPNOTE.TXT of PKWARE, 4.3.7 to 4.3.16.
const LOCAL = { signature: 0x04034b50, bytes: 30 };
const CENTRAL = { signature: 0x02014b50, bytes: 46 };
const END = { signature: 0x06054b50, bytes: 22 };
const LOCATOR_64 = { signature: 0x07064b50, bytes: 20 };
const END_64 = { signature: 0x06064b50, bytes: 56 };
const MAX_COMMENT_BYTES = 0xffff;
const ZIP64_EXTRA = 0x0001;
const ENCRYPTED = 0x1;

/** A checkpoint has some hundred bytes of directory per tensor. */
const MAX_DIRECTORY_BYTES = 64 * 1024 * 1024;

interface Directory {
  entries: number;
  offset: number;
  size: number;
}

interface CentralRecord {
  name: string;
  /** Of the local header. */
  offset: number;
  size: number;
}

/**
 * Lists a zip archive whose entries are stored without compression, as torch.save writes them. Every entry lies
 * inside the file, none overlaps another, none is named twice or leads out of the archive. Throws CHECKPOINT_INVALID.
 */
export function readZipDirectory(file: RangedFile): ZipEntry[] {
  const directory = findDirectory(file);
  const records = readCentralRecords(file, directory);
  records.sort((a, b) => a.offset - b.offset);
  const names = new Set<string>();
  let free = 0;
  return records.map((record) => {
    if (names.has(record.name))
      throw invalidCheckpoint(file.path, `two entries are named ${show(record.name)}`);
    names.add(record.name);
    if (record.offset < free)
      throw invalidCheckpoint(file.path, `entry ${show(record.name)} overlaps another`);
    const entry = readLocalHeader(file, record, directory.offset);
    free = entry.offset + entry.size;
    return entry;
  });
}

/** The end record closes the file; where it says so, a 64-bit one stands before it. */
function findDirectory(file: RangedFile): Directory {
  const tailStart = Math.max(0, file.size - END.bytes - MAX_COMMENT_BYTES);
  const tail = file.read(tailStart, file.size - tailStart);
  let at = tail.length - END.bytes;
  while (at >= 0 && !endsAt(tail, at)) at--;
  if (at < 0)
    throw invalidCheckpoint(file.path, 'the zip archive has no end record: the file is cut off, or no zip');
  const endStart = tailStart + at;
  const small = {
    entries: tail.readUInt16LE(at + 10),
    size: tail.readUInt32LE(at + 12),
    offset: tail.readUInt32LE(at + 16),
  };
  const split = tail.readUInt32LE(at + 4) !== 0;
  const large = readEnd64(file, endStart);
  const directory = large?.directory ?? small;
  if (split || directory.offset + directory.size !== (large?.start ?? endStart)) {
    throw invalidCheckpoint(file.path, 'the zip directory does not end where its end record begins');
  }
  if (directory.size > MAX_DIRECTORY_BYTES || directory.entries * CENTRAL.bytes > directory.size) {
    throw invalidCheckpoint(
      file.path,
      `a zip directory of ${directory.size} bytes for ${directory.entries} entries`,
    );
  }
  return directory;
}

function endsAt(tail: Buffer, at: number): boolean {
  if (tail.readUInt32LE(at) !== END.signature) return false;
  return at + END.bytes + tail.readUInt16LE(at + 20) === tail.length;
}

function readEnd64(file: RangedFile, endStart: number): { directory: Directory; start: number } | undefined {
  if (endStart < LOCATOR_64.bytes) return undefined;
  const locator = file.read(endStart - LOCATOR_64.bytes, LOCATOR_64.bytes);
  if (locator.readUInt32LE(0) !== LOCATOR_64.signature) return undefined;
  const start = safeNumber(locator, 8, file);
  if (start + END_64.bytes !== endStart - LOCATOR_64.bytes) {
    throw invalidCheckpoint(file.path, 'the 64-bit end record of the zip archive is misplaced');
  }
  const end = file.read(start, END_64.bytes);
  if (end.readUInt32LE(0) !== END_64.signature) {
    throw invalidCheckpoint(file.path, 'the 64-bit end record of the zip archive is damaged');
  }
  const directory = {
    entries: safeNumber(end, 32, file),
    size: safeNumber(end, 40, file),
    offset: safeNumber(end, 48, file),
  };
  return { directory, start };
}

function readCentralRecords(file: RangedFile, directory: Directory): CentralRecord[] {
  const bytes = file.read(directory.offset, directory.size);
  const records: CentralRecord[] = [];
  let at = 0;
  while (at < bytes.length) {
    const next = recordEnd(bytes, at);
    if (next === undefined)
      throw invalidCheckpoint(file.path, `the zip directory is damaged at its byte ${at}`);
    records.push(readCentralRecord(file, bytes.subarray(at, next)));
    at = next;
  }
  if (records.length !== directory.entries) {
    throw invalidCheckpoint(file.path, `expected ${directory.entries} zip entries, found ${records.length}`);
  }
  return records;
}

function recordEnd(bytes: Buffer, at: number): number | undefined {
  if (at + CENTRAL.bytes > bytes.length || bytes.readUInt32LE(at) !== CENTRAL.signature) return undefined;
  const [name, extra, comment] = [28, 30, 32].map((field) => bytes.readUInt16LE(at + field));
  const end = at + CENTRAL.bytes + name! + extra! + comment!;
  return end <= bytes.length ? end : undefined;
}

function readCentralRecord(file: RangedFile, record: Buffer): CentralRecord {
  const nameEnd = CENTRAL.bytes + record.readUInt16LE(28);
  const name = record.toString('utf8', CENTRAL.bytes, nameEnd);
  checkName(file, name);
  const extra = record.subarray(nameEnd, nameEnd + record.readUInt16LE(30));
  const [size, compressedSize, offset] = readSizes(file, record, extra);
  if ((record.readUInt16LE(8) & ENCRYPTED) !== 0)
    throw invalidCheckpoint(file.path, `entry ${show(name)} is encrypted`);
  if (record.readUInt16LE(10) !== 0) {
    const hint =
      'torch.save stores entries uncompressed: unpack the archive and write it again with torch.save';
    throw invalidCheckpoint(file.path, `entry ${show(name)} is compressed`, hint);
  }
  if (size !== compressedSize) {
    throw invalidCheckpoint(file.path, `entry ${show(name)} stores ${compressedSize} bytes for ${size}`);
  }
  return { name, offset: offset!, size: size! };
}

/** Size, stored size, and offset of the local header; a field of all ones stands in the 64-bit extra field instead. */
function readSizes(file: RangedFile, record: Buffer, extra: Buffer): number[] {
  const large = findExtra(extra, ZIP64_EXTRA);
  let at = 0;
  return [24, 20, 42].map((field) => {
    const value = record.readUInt32LE(field);
    if (value !== 0xffffffff || !large) return value;
    if (at + 8 > large.length)
      throw invalidCheckpoint(file.path, 'a 64-bit size in the zip directory is cut off');
    at += 8;
    return safeNumber(large, at - 8, file);
  });
}

function findExtra(extra: Buffer, wanted: number): Buffer | undefined {
  for (let at = 0; at + 4 <= extra.length; ) {
    const end = at + 4 + extra.readUInt16LE(at + 2);
    if (extra.readUInt16LE(at) === wanted) return extra.subarray(at + 4, end);
    at = end;
  }
  return undefined;
}

function readLocalHeader(file: RangedFile, record: CentralRecord, limit: number): ZipEntry {
  const outside = invalidCheckpoint(
    file.path,
    `entry ${show(record.name)} reaches beyond the end of the zip data`,
  );
  if (record.offset + LOCAL.bytes > limit) throw outside;
  const header = file.read(record.offset, LOCAL.bytes);
  const nameBytes = header.readUInt16LE(26);
  const offset = record.offset + LOCAL.bytes + nameBytes + header.readUInt16LE(28);
  if (offset + record.size > limit) throw outside;
  const name = file.read(record.offset + LOCAL.bytes, nameBytes).toString('utf8');
  if (header.readUInt32LE(0) !== LOCAL.signature || name !== record.name || header.readUInt16LE(8) !== 0) {
    throw invalidCheckpoint(file.path, `entry ${show(record.name)} has a local header that is not its own`);
  }
  return { name, offset, size: record.size };
}

/** Nothing is unpacked here; a name that leads elsewhere is still a sign of a forged archive. */
function checkName(file: RangedFile, name: string): void {
  const parts = name.split('/');
  if (name === '' || name.startsWith('/') || /[\\\0]/.test(name) || parts.includes('..')) {
    throw invalidCheckpoint(file.path, `the entry name ${show(name)} leads out of the archive`);
  }
}

function safeNumber(bytes: Buffer, at: number, file: RangedFile): number {
  const value = bytes.readBigUInt64LE(at);
  if (value > BigInt(file.size))
    throw invalidCheckpoint(file.path, `the zip archive names byte ${value}, beyond its end`);
  return Number(value);
}

function show(name: string): string {
  return JSON.stringify(name.slice(0, 80));
}
