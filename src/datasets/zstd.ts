import { Decompress } from 'fzstd';
import xxhash, { type XXHashAPI } from 'xxhash-wasm';
import { XlembedError } from '../errors.js';
import { loadWebAssembly } from './web_assembly.js';

const MAGIC = 0xfd2fb528;
/** The first of sixteen. */
const SKIPPABLE_MAGIC = 0x184d2a50;
/** Longer offsets have more bits than fzstd reads at a time (32, from the begin of a byte): it takes others. */
const LARGEST_WINDOW_BYTES = 2 ** 26 - 4;
const CHECKSUM_BYTES = 4;

/**
 * The content of a .zst: frames, one behind the other (RFC 8878). Node 20 decodes none, later versions stop behind the
 * first; fzstd gives other bytes where a frame needs a dictionary or looks far back, and passes over checksums: all three
 * are looked at here.
 */
export async function* zstdDecompressed(
  path: string,
  bytes: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const source = new ByteSource(bytes);
  const hashes = await loadWebAssembly(xxhash);
  // What a transfer that failed has left, and no archive: an archive of nothing has a frame.
  do yield* frameContent(path, source, hashes);
  while (await source.hasMore());
}

async function* frameContent(
  path: string,
  source: ByteSource,
  hashes: XXHashAPI,
): AsyncGenerator<Uint8Array> {
  const start = await source.read(5);
  const magic = start.readUInt32LE();
  if (magic >>> 4 === SKIPPABLE_MAGIC >>> 4) {
    const rest = await source.read(3);
    await source.skip(start.readUInt8(4) + rest.readUIntLE(0, 3) * 2 ** 8);
    return;
  }
  if (magic !== MAGIC) throw new Error('no Zstandard frame begins where one should');
  const { header, hasChecksum } = await readHeader(path, start, source);
  const pieces: Uint8Array[] = [];
  const hash = hasChecksum ? hashes.create64() : undefined;
  const decompress = new Decompress((piece) => pieces.push(piece));
  decompress.push(header);
  for (let isLast = false; !isLast; ) {
    const blockHeader = await source.read(3);
    const fields = blockHeader.readUIntLE(0, 3);
    isLast = (fields & 1) === 1;
    const isOneByteRepeated = ((fields >> 1) & 3) === 1;
    const block = await source.read(isOneByteRepeated ? 1 : fields >> 3);
    decompress.push(Buffer.concat([blockHeader, block]));
    for (const piece of pieces) hash?.update(piece);
    yield* pieces.splice(0);
  }
  const checksum = await source.read(hash ? CHECKSUM_BYTES : 0);
  // A frame shorter than any header is decoded now.
  decompress.push(checksum, true);
  for (const piece of pieces) hash?.update(piece);
  if (hash && checksum.readUInt32LE() !== Number(BigInt.asUintN(32, hash.digest())))
    throw new Error('its content does not fit its checksum');
  yield* pieces;
}

/** The rest of a frame's header, whose descriptor is the last byte of `start`. */
async function readHeader(
  path: string,
  start: Buffer,
  source: ByteSource,
): Promise<{ header: Buffer; hasChecksum: boolean }> {
  const descriptor = start.readUInt8(4);
  const isSingleSegment = (descriptor & 32) !== 0;
  const windowBytes = isSingleSegment ? 0 : 1;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!;
  const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
  const rest = await source.read(windowBytes + dictionaryBytes + sizeBytes);
  if (rest.subarray(windowBytes, windowBytes + dictionaryBytes).some((byte) => byte !== 0)) {
    throw recompress(
      path,
      'needs the dictionary that it was compressed with',
      'without one: zstd -D DICTIONARY -dc',
    );
  }
  const window = isSingleSegment
    ? rest.readUIntLE(dictionaryBytes, Math.min(sizeBytes, 6))
    : windowOf(rest[0]!);
  if (window > LARGEST_WINDOW_BYTES)
    throw recompress(path, `refers back over ${window} bytes`, 'in shorter windows: zstd --long=31 -dc');
  return { header: Buffer.concat([start, rest]), hasChecksum: (descriptor & 4) !== 0 };
}

function windowOf(byte: number): number {
  const base = 2 ** (10 + (byte >> 3));
  return base + (base / 8) * (byte & 7);
}

function recompress(path: string, what: string, how: string): XlembedError {
  return new XlembedError('FILE_READ_FAILED', `${path} ${what}`, `compress it ${how} FILE | zstd -o NEW`);
}

/** Bytes that come in pieces of any size, taken in others. */
class ByteSource {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #held: Uint8Array = new Uint8Array();

  constructor(bytes: AsyncIterable<Uint8Array>) {
    this.#pieces = bytes[Symbol.asyncIterator]();
  }

  async hasMore(): Promise<boolean> {
    return this.#held.length > 0 || this.#receive();
  }

  async read(length: number): Promise<Buffer> {
    while (this.#held.length < length)
      if (!(await this.#receive())) throw new Error('unexpected end of file');
    const taken = this.#held.subarray(0, length);
    this.#held = this.#held.subarray(length);
    return Buffer.from(taken.buffer, taken.byteOffset, taken.byteLength);
  }

  async skip(length: number): Promise<void> {
    for (let left = length; left > 0; ) {
      if (this.#held.length === 0 && !(await this.#receive())) throw new Error('unexpected end of file');
      left -= (await this.read(Math.min(left, this.#held.length))).length;
    }
  }

  async #receive(): Promise<boolean> {
    const { done, value } = await this.#pieces.next();
    if (done) return false;
    this.#held = this.#held.length === 0 ? value : Buffer.concat([this.#held, value]);
    return true;
  }
}
