import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileError } from '../../files/file_error.js';
import { writeTextBeside } from '../../files/write_file.js';
import { type BenchmarkResults, parseBenchmarkResults } from '../../report/benchmark_results.js';
import { commandLine } from '../command_line.js';
import { mergeResults } from './merge.js';

/** What the file has; null where there is none. Throws FILE_READ_FAILED, or that it holds no results. */
export async function readResults(path: string): Promise<BenchmarkResults | null> {
  try {
    return parseBenchmarkResults(path, await readFile(path, 'utf8'));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw fileError(path, cause);
  }
}

/** These results, with those of other cases that a file had before. */
export async function writeResults(
  path: string,
  earlier: BenchmarkResults | null,
  results: BenchmarkResults,
): Promise<void> {
  const all = earlier ? mergeResults(earlier, results) : results;
  await writeTextBeside(path, `${JSON.stringify(all, null, 2)}\n`);
}

/** This process's command as it was given, files and folders by their last names. */
export const givenCommand = (): string =>
  commandLine(process.argv.slice(2).map((one) => (one.includes('/') ? basename(one) : one)));
