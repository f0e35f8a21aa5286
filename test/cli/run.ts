import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

export interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the program as a user does. */
export function xlembed(...args: string[]): Outcome {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['dist/cli/main.js', ...args], {
    encoding: 'utf8',
    timeout: 120_000,
  });
  return { status, stdout, stderr };
}

/** A folder that goes when the file's tests have ended. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'xlembed-cli-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
