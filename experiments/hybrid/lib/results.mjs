import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { readJson } from './files.mjs';
import { REGIMES } from './regimes.mjs';
import { PRETRAINED } from './units.mjs';

export const ORDER = [PRETRAINED, ...Object.keys(REGIMES)];

/** All results of a folder, each with the scores of every question. */
export async function readResults(folder) {
  const names = (await readdir(folder)).filter((name) => /-\d+\.json$/.test(name)).sort();
  const results = [];
  for (const name of names) {
    const packed = await readFile(join(folder, 'questions', `${name}.gz`));
    const questions = JSON.parse(await promisify(gunzip)(packed));
    results.push({ ...(await readJson(join(folder, name))), questions });
  }
  return results;
}

/** Results of an encoder by regime, in the order of the tables; within a regime by seed. */
export function byRegime(results, encoder) {
  const own = results.filter((result) => result.encoder === encoder);
  const entries = ORDER.map((regime) => [
    regime,
    own.filter((result) => result.regime === regime).sort((a, b) => a.seed - b.seed),
  ]);
  return new Map(entries.filter(([, list]) => list.length > 0));
}

export function encodersOf(results) {
  return [...new Set(results.map(({ encoder }) => encoder))].sort().reverse();
}

export function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Standard deviation between seeds; undefined for one. */
export function deviation(values) {
  if (values.length < 2) return undefined;
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1));
}
