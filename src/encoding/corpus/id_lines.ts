import { type FileHandle, open } from 'node:fs/promises';
import type { TextRecord } from '../../datasets/texts.js';
import { syncFile } from '../../files/siblings.js';

/** Writes the ids of a shard, one JSON value a line: the id, or `{id, text}`. */
export class IdLines {
  private constructor(
    private readonly file: FileHandle,
    private readonly keepTexts: boolean,
  ) {}

  static async create(path: string, keepTexts: boolean): Promise<IdLines> {
    return new IdLines(await open(path, 'wx'), keepTexts);
  }

  async append(records: readonly TextRecord[]): Promise<void> {
    const lines = records.map(({ id, text }) => `${JSON.stringify(this.keepTexts ? { id, text } : id)}\n`);
    await this.file.appendFile(lines.join(''));
  }

  async close(): Promise<void> {
    await syncFile(this.file);
    await this.file.close();
  }

  async abort(): Promise<void> {
    await this.file.close().catch(() => {});
  }
}
