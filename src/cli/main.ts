#!/usr/bin/env node
import { setImmediate } from 'node:timers/promises';
import { Command, CommanderError } from 'commander';
import { writeError } from '../files/file_error.js';
import { packageVersion } from '../native.js';
import { addBench } from './bench.js';
import { addIndex } from './build_index.js';
import { addCompare } from './compare.js';
import { reportError } from './console.js';
import { addDemo } from './demo.js';
import { addEncode } from './encode.js';
import { addEvaluate } from './evaluate.js';
import { addDoctor, addSetup } from './machine.js';
import { addMine } from './mine.js';
import { addModels } from './models.js';
import { addSearch } from './search.js';
import { addTrain } from './train.js';

/** Exit codes: 0 done, 1 coded error, 2 wrong usage, 70 a bug, 130 and 143 ended by a signal. */
async function main(): Promise<void> {
  const program = new Command('xlembed')
    .description('Fine-tune, run and measure multilingual embedding models')
    .version(packageVersion())
    .showHelpAfterError('(xlembed <command> --help shows the options)')
    .exitOverride();
  for (const add of [
    addDemo,
    addTrain,
    addMine,
    addEncode,
    addIndex,
    addSearch,
    addEvaluate,
    addCompare,
    addModels,
    addBench,
    addDoctor,
    addSetup,
  ]) {
    add(program);
  }
  for (const command of program.commands) {
    command.exitOverride().showHelpAfterError(`(xlembed ${command.name()} --help shows the options)`);
  }
  try {
    await program.parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
    else process.exitCode = reportError(error, process.argv.includes('--json'));
  }
}

// A reader that closes the pipe (head, less) ends the output, not the program with a stack trace.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  process.exit(reportError(writeError('the standard output', error), false));
});
// Nobody sees the progress any more: the work goes on.
process.stderr.on('error', () => {});

await main();
// The next turn tells of what could not be written.
await setImmediate();
// Idle worker threads and native handles must not keep the program alive once its verb has ended.
process.exit();
