import type { Command } from 'commander';
import { integer, positiveInteger } from './arguments.js';
import { createConsole } from './console.js';
import { type DemoOptions, runDemo } from './demo/run.js';

interface DemoFlags extends DemoOptions {
  json?: boolean;
}

export function addDemo(program: Command): void {
  program
    .command('demo')
    .description('Show the whole job on real text: train three regimes, evaluate, search, report')
    .option('--output <dir>', 'gets report.html, results.json and model/', 'runs/demo')
    .option('--steps <n>', 'training steps of each regime', positiveInteger, 600)
    .option('--seed <n>', 'of split, weights and batches', integer, 0)
    .option('--device <name>', 'cpu, cuda or cuda:N', 'cpu')
    .option('--json', 'print the results as JSON')
    .action(async (flags: DemoFlags) => runDemo(flags, createConsole(flags)));
}
