/** What a test wants to lie about, field by field. */
export interface ZipPart {
  name: string;
  data: Uint8Array;
  localName?: string;
  localOffset?: number;
  method?: number;
  flags?: number;
  size?: number;
  compressedSize?: number;
  extra?: Buffer;
}

export interface ZipEnd {
  entries?: number;
  directorySize?: number;
  directoryOffset?: number;
  disk?: number;
  comment?: string;
}

/** A zip archive of stored entries, right where nothing else is asked for. */
export function zipBytes(parts: ZipPart[], end: ZipEnd = {}): Buffer {
  const offsets: number[] = [];
  const local: Buffer[] = [];
  let at = 0;
  for (const part of parts) {
    offsets.push(part.localOffset ?? at);
    const chunk = Buffer.concat([localHeader(part), part.data]);
    local.push(chunk);
    at += chunk.length;
  }
  const directory = Buffer.concat(parts.map((part, number) => centralRecord(part, offsets[number]!)));
  const record = Buffer.alloc(22);
  record.writeUInt32LE(0x06054b50, 0);
  record.writeUInt16LE(end.disk ?? 0, 4);
  record.writeUInt16LE(end.entries ?? parts.length, 8);
  record.writeUInt16LE(end.entries ?? parts.length, 10);
  record.writeUInt32LE(end.directorySize ?? directory.length, 12);
  record.writeUInt32LE(end.directoryOffset ?? at, 16);
  record.writeUInt16LE(end.comment?.length ?? 0, 20);
  return Buffer.concat([...local, directory, record, Buffer.from(end.comment ?? '')]);
}

function localHeader(part: ZipPart): Buffer {
  const name = Buffer.from(part.localName ?? part.name);
  const header = Buffer.alloc(30);
  header.writeUInt32LE(0x04034b50, 0);
  header.writeUInt16LE(part.method ?? 0, 8);
  header.writeUInt16LE(name.length, 26);
  return Buffer.concat([header, name]);
}

function centralRecord(part: ZipPart, offset: number): Buffer {
  const name = Buffer.from(part.name);
  const extra = part.extra ?? Buffer.alloc(0);
  const size = part.size ?? part.data.length;
  const header = Buffer.alloc(46);
  header.writeUInt32LE(0x02014b50, 0);
  header.writeUInt16LE(part.flags ?? 0, 8);
  header.writeUInt16LE(part.method ?? 0, 10);
  header.writeUInt32LE(part.compressedSize ?? size, 20);
  header.writeUInt32LE(size, 24);
  header.writeUInt16LE(name.length, 28);
  header.writeUInt16LE(extra.length, 30);
  header.writeUInt32LE(offset, 42);
  return Buffer.concat([header, name, extra]);
}

/** A checkpoint around a pickle, with one storage of `storageBytes` under the key 0. */
export function checkpointBytes(pickle: Uint8Array, storageBytes = 24, more: ZipPart[] = []): Buffer {
  return zipBytes([
    { name: 'archive/data.pkl', data: pickle },
    { name: 'archive/byteorder', data: Buffer.from('little') },
    { name: 'archive/data/0', data: new Uint8Array(storageBytes) },
    ...more,
  ]);
}
