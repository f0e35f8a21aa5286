import { join } from 'node:path';
import { NpyWriter } from '../../datasets/npy.js';
import { IdLines } from './id_lines.js';
import { storedDtype, storedWidth } from './precision.js';
import type { ShardBlock, ShardLayout, ShardWriter } from './shard_format.js';

/**
 * STEM.npy (N, width), STEM.ids.jsonl, and with int8 STEM.scales.npy (N, 1) float32: in NumPy, values * scales are the
 * vectors.
 */
export class NpyShard implements ShardWriter {
  private constructor(
    private readonly names: readonly string[],
    private readonly values: NpyWriter,
    private readonly ids: IdLines,
    private readonly scales: NpyWriter | undefined,
  ) {}

  static async create(folder: string, stem: string, layout: ShardLayout): Promise<NpyShard> {
    const { dimensions, precision, keepTexts } = layout;
    const names = [`${stem}.npy`, `${stem}.ids.jsonl`];
    if (precision === 'int8') names.push(`${stem}.scales.npy`);
    const [values, ids, scales] = names.map((name) => join(folder, name));
    return new NpyShard(
      names,
      await NpyWriter.create(values!, storedWidth(dimensions, precision), storedDtype[precision]),
      await IdLines.create(ids!, keepTexts),
      scales === undefined ? undefined : await NpyWriter.create(scales, 1),
    );
  }

  async append({ records, vectors }: ShardBlock): Promise<void> {
    await this.values.append(vectors.values);
    await this.ids.append(records);
    if (vectors.scales) await this.scales?.append(vectors.scales);
  }

  async close(): Promise<string[]> {
    await this.values.close();
    await this.ids.close();
    await this.scales?.close();
    return [...this.names];
  }

  async abort(): Promise<void> {
    for (const part of [this.values, this.ids, this.scales]) await part?.abort();
  }
}
