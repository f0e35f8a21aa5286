import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { SchemaElement } from 'hyparquet';
import { ByteWriter, type ColumnSource, ParquetWriter } from 'hyparquet-writer';
import { syncFile } from '../../files/siblings.js';
import { type Precision, storedWidth } from './precision.js';
import type { ShardBlock, ShardLayout, ShardWriter } from './shard_format.js';

const listOf = (element: SchemaElement): SchemaElement[] => [
  { name: 'embedding', repetition_type: 'REQUIRED', num_children: 1, converted_type: 'LIST' },
  { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
  element,
];
const required = { repetition_type: 'REQUIRED' } as const;

/** Column `embedding`, and `scale` with int8. */
const vectorColumns: Partial<Record<Precision, SchemaElement[]>> = {
  float32: listOf({ name: 'element', type: 'FLOAT', ...required }),
  int8: [
    ...listOf({ name: 'element', type: 'INT32', converted_type: 'INT_8', ...required }),
    { name: 'scale', type: 'FLOAT', ...required },
  ],
  binary: [{ name: 'embedding', type: 'BYTE_ARRAY', ...required }],
};

/**
 * STEM.parquet with the columns `id`, `text` (if texts are kept), `embedding` (a list of float or int8, or bytes of bits)
 * and `scale` (int8). The shard is laid out in memory and written at its end.
 */
export class ParquetShard implements ShardWriter {
  readonly #bytes = new ByteWriter();
  readonly #writer: ParquetWriter;

  private constructor(
    private readonly folder: string,
    private readonly name: string,
    private readonly layout: ShardLayout,
  ) {
    const text = (name: string): SchemaElement => ({
      name,
      type: 'BYTE_ARRAY',
      converted_type: 'UTF8',
      ...required,
    });
    const vectors = vectorColumns[layout.precision]!;
    const names = [text('id'), ...(layout.keepTexts ? [text('text')] : [])];
    const columns = names.length + (layout.precision === 'int8' ? 2 : 1);
    this.#writer = new ParquetWriter({
      writer: this.#bytes,
      schema: [{ name: 'root', num_children: columns }, ...names, ...vectors],
      statistics: false,
      createdBy: 'xlembed',
    });
  }

  static async create(folder: string, stem: string, layout: ShardLayout): Promise<ParquetShard> {
    return new ParquetShard(folder, `${stem}.parquet`, layout);
  }

  async append({ records, vectors }: ShardBlock): Promise<void> {
    if (records.length === 0) return;
    const { precision, dimensions, keepTexts } = this.layout;
    const width = storedWidth(dimensions, precision);
    const rows = Array.from(records, (_, row) => vectors.values.subarray(row * width, (row + 1) * width));
    const embedding = precision === 'binary' ? rows : rows.map((row) => Array.from(row));
    const plain = { encoding: 'PLAIN', codec: 'UNCOMPRESSED' } as const;
    const columnData: ColumnSource[] = [{ name: 'id', data: records.map(({ id }) => id) }];
    if (keepTexts) columnData.push({ name: 'text', data: records.map(({ text }) => text) });
    columnData.push({ name: 'embedding', data: embedding, ...plain });
    if (vectors.scales) columnData.push({ name: 'scale', data: vectors.scales, ...plain });
    await this.#writer.write({ columnData, rowGroupSize: records.length });
  }

  async close(): Promise<string[]> {
    await this.#writer.finish();
    const file = await open(join(this.folder, this.name), 'wx');
    try {
      await file.writeFile(this.#bytes.getBytes());
      await syncFile(file);
    } finally {
      await file.close();
    }
    return [this.name];
  }

  async abort(): Promise<void> {}
}
