import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** What model_variants.py wrote about one model. */
export interface Variant {
  /** Folder of test/reference/models that it begins with. */
  base: string;
  texts: string[];
  /** JSON files that replace or join the folder's. */
  files: Record<string, unknown>;
  input_ids: number[][];
  embeddings: number[][];
}

export const VARIANTS = Object.entries(
  JSON.parse(readFileSync('test/reference/model_variants.json', 'utf8')) as Record<string, Variant>,
);

/** Writes the variant's folder; gives its path. */
export function putVariant({ base, files }: Variant, folder: string): string {
  cpSync(join('test/reference/models', base), folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), JSON.stringify(content));
  }
  return folder;
}
