import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { NpyArray } from '../../datasets/npy.js';
import { syncFile } from '../../files/siblings.js';
import { IdLines } from './id_lines.js';
import { type Precision, storedWidth } from './precision.js';
import type { ShardBlock, ShardLayout, ShardWriter } from './shard_format.js';

/** The header's place is kept free until the number of rows is known; spaces fill it up, as the format allows. */
const HEADER_BYTES = 512;
const dtypes: Record<Precision, string> = { float32: 'F32', float16: 'F16', int8: 'I8', binary: 'U8' };

/** STEM.safetensors with `embeddings` (N, width), and `scales` (N, 1) float32 with int8, beside STEM.ids.jsonl. */
export class SafetensorsShard implements ShardWriter {
  #rows = 0;
  #position = HEADER_BYTES;
  readonly #scales: Float32Array[] = [];

  private constructor(
    private readonly names: readonly string[],
    private readonly layout: ShardLayout,
    private readonly file: FileHandle,
    private readonly ids: IdLines,
  ) {}

  static async create(folder: string, stem: string, layout: ShardLayout): Promise<SafetensorsShard> {
    const names = [`${stem}.safetensors`, `${stem}.ids.jsonl`];
    const [file, ids] = names.map((name) => join(folder, name));
    return new SafetensorsShard(
      names,
      layout,
      await open(file!, 'wx'),
      await IdLines.create(ids!, layout.keepTexts),
    );
  }

  async append({ records, vectors }: ShardBlock): Promise<void> {
    await this.#write(vectors.values);
    await this.ids.append(records);
    if (vectors.scales) this.#scales.push(vectors.scales);
    this.#rows += records.length;
  }

  async close(): Promise<string[]> {
    const embeddingBytes = this.#position - HEADER_BYTES;
    for (const scales of this.#scales) await this.#write(scales);
    await this.file.write(this.#header(embeddingBytes), 0, HEADER_BYTES, 0);
    await syncFile(this.file);
    await this.file.close();
    await this.ids.close();
    return [...this.names];
  }

  async abort(): Promise<void> {
    await this.file.close().catch(() => {});
    await this.ids.abort();
  }

  #header(embeddingBytes: number): Buffer {
    const { dimensions, precision } = this.layout;
    const tensors: Record<string, unknown> = {
      embeddings: {
        dtype: dtypes[precision],
        shape: [this.#rows, storedWidth(dimensions, precision)],
        data_offsets: [0, embeddingBytes],
      },
    };
    if (precision === 'int8') {
      const end = embeddingBytes + 4 * this.#rows;
      tensors.scales = { dtype: 'F32', shape: [this.#rows, 1], data_offsets: [embeddingBytes, end] };
    }
    const header = Buffer.alloc(HEADER_BYTES, ' ', 'latin1');
    header.writeBigUInt64LE(BigInt(HEADER_BYTES - 8));
    header.write(JSON.stringify(tensors), 8, 'latin1');
    return header;
  }

  async #write(values: NpyArray): Promise<void> {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.file.write(bytes, done, bytes.length - done, this.#position);
      done += bytesWritten;
      this.#position += bytesWritten;
    }
  }
}
