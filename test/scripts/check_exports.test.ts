import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { load, temporaryFolder } from './load.js';

const { missingExports } = await load('scripts/check-exports.mjs');

test('a type that an exported declaration mentions is exported too', (context) => {
  const folder = temporaryFolder(context);
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
  write(
    'search.d.ts',
    `export interface Hit { score: number }
     export interface Options { only?: Hit[] }
     interface Base<T> { value: T }
     export interface Found extends Base<string> {}
     export declare function search(options: Options): Promise<Hit>;`,
  );
  write('index.d.ts', "export { search, type Found, type Hit as SearchHit } from './search.js';");
  assert.deepEqual(missingExports(folder), ['Base of search.d.ts', 'Options of search.d.ts']);
});

test('this package names all its types', () => {
  assert.deepEqual(missingExports(resolve('dist')), []);
});
