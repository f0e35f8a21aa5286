import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { PackedSequences } from '#xlembed/native.js';
import { pack } from '#xlembed/tokenizers/packed.js';

/** What make_encoder_goldens.py wrote. */
export interface Golden {
  sequences: number[][];
  pairs: number;
  float32: { mean: number[][]; first: number[][] };
  bfloat16: { mean: number[][]; first: number[][] };
  training: { losses: number[]; gradient_norms: number[]; weights: Record<string, number[]> };
}

export const MODELS = ['bert', 'xlm-roberta', 'distilbert'] as const;

export const folderOf = (name: string) => `test/reference/encoder/${name}`;

export function readGolden(name: string): Golden {
  return JSON.parse(readFileSync(`${folderOf(name)}.json`, 'utf8')) as Golden;
}

export function packed(sequences: readonly number[][]): PackedSequences {
  return pack(sequences.map((sequence) => Int32Array.from(sequence)));
}

export function largestDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(actual.length, expected.length);
  let largest = 0;
  for (let i = 0; i < actual.length; ++i) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    assert.ok(!Number.isNaN(difference), `NaN at ${i}`);
    largest = Math.max(largest, difference);
  }
  return largest;
}
