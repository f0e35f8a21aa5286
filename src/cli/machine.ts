import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { doctor } from './doctor.js';

export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('Say what this machine has, what it lacks, and the remedy')
    .option('--json', 'print the findings as JSON')
    .action(async (flags: { json?: boolean }) => {
      process.exitCode = await doctor({ json: flags.json ?? false });
    });
}

export function addSetup(program: Command): void {
  const script = new URL('../../scripts/setup.mjs', import.meta.url);
  program
    .command('setup')
    .description('Find or fetch libtorch and build the native addon')
    .option('--force', 'do every step again')
    .option('--verbose', 'show what the tools print')
    .option('--quiet', 'print nothing unless something fails')
    .addHelpText('after', () => `\n${environmentOf(fileURLToPath(script))}`)
    .action(async (flags: Record<string, boolean>) => {
      // In this process: one of its own would go on when a signal ends this one.
      process.argv = [
        process.execPath,
        fileURLToPath(script),
        ...Object.keys(flags).map((flag) => `--${flag}`),
      ];
      process.stdout.removeAllListeners('error');
      await import(script.href);
    });
}

/** What the script says of the environment variables that it reads. */
function environmentOf(script: string): string {
  const usage = execFileSync(process.execPath, [script, '--help'], { encoding: 'utf8' });
  return usage.slice(usage.indexOf('environment')).trimEnd();
}
