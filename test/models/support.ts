import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  closeSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after } from 'node:test';
import { type ErrorCode, XlembedError } from '#xlembed/errors.js';
import type { ModelDescription } from '#xlembed/models/open_model.js';
import type { ParameterSource } from '#xlembed/models/save_model.js';
import type { Dtype, TensorSource, TensorTarget } from '#xlembed/native.js';

export const REFERENCE = 'test/reference/models';

const temporaryFolders: string[] = [];
after(() => {
  for (const folder of temporaryFolders) rmSync(folder, { recursive: true, force: true });
});

/** A folder that goes when the test file has run. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'xlembed-models-'));
  temporaryFolders.push(folder);
  return folder;
}

export function putFile(path: string, content: string | Uint8Array): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

export function putJson(path: string, value: unknown): string {
  return putFile(path, JSON.stringify(value));
}

/** A copy of a reference model with some fields of one of its JSON files changed; undefined removes a field. */
export function changedModel(name: string, file: string, changes: Record<string, unknown>): string {
  const folder = join(temporaryFolder(), name);
  cpSync(join(REFERENCE, name), folder, { recursive: true });
  const path = join(folder, file);
  putJson(path, { ...JSON.parse(readFileSync(path, 'utf8')), ...changes });
  return folder;
}

/** The coded error that a call gives; no error, or another kind of it, fails the test. */
export function refusal(call: () => unknown, code: ErrorCode, message: RegExp): XlembedError {
  let caught: unknown;
  try {
    call();
  } catch (error) {
    caught = error;
  }
  return checkRefusal(caught, code, message);
}

export async function refusalOf(
  call: () => Promise<unknown>,
  code: ErrorCode,
  message: RegExp,
): Promise<XlembedError> {
  const caught = await call().then(
    () => undefined,
    (error: unknown) => error,
  );
  return checkRefusal(caught, code, message);
}

function checkRefusal(caught: unknown, code: ErrorCode, message: RegExp): XlembedError {
  assert.ok(caught instanceof XlembedError, `expected ${code}, received ${caught}`);
  assert.equal(caught.code, code, caught.message);
  assert.match(caught.message, message);
  assert.ok(caught.message.length < 1000, 'a message stays short whatever the file holds');
  return caught;
}

export const BYTES: Record<Dtype, number> = { float32: 4, float16: 2, bfloat16: 2 };

export function readBytes({ path, offset, shape, dtype }: Omit<TensorSource, 'name'>): Buffer {
  const bytes = Buffer.alloc(shape.reduce((product, size) => product * size, BYTES[dtype]));
  const file = openSync(path, 'r');
  assert.equal(readSync(file, bytes, 0, bytes.length, offset), bytes.length);
  closeSync(file);
  return bytes;
}

export interface ExpectedTensor {
  shape: number[];
  dtype: string;
  sha256: string;
  first: number;
  last: number;
}

export function expectedTensors(model: string): Record<string, ExpectedTensor> {
  return JSON.parse(readFileSync(join(REFERENCE, model, 'expected.json'), 'utf8')).tensors;
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Stands for a loaded encoder: its parameters are the bytes that a model's sources name. */
export function encoderOf(model: ModelDescription): ParameterSource {
  const sources = new Map(model.sources.map((source) => [source.name, source]));
  return {
    parameters: () => model.sources.map(({ name, shape, dtype }) => ({ name, shape, dtype })),
    writeParameters: async (targets: TensorTarget[]) => {
      for (const { name, path, offset, dtype } of targets) {
        const source = sources.get(name)!;
        assert.equal(dtype, source.dtype);
        const file = openSync(path, 'r+');
        writeSync(file, readBytes(source), 0, undefined, offset);
        closeSync(file);
      }
    },
  };
}
