// Training by `xlembed train` in several processes: what settings with a launcher do, such as torchrun's.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** Options of Trainer whose flag is not their name with hyphens, or takes another form. */
const SPECIAL = {
  dropout: (value) => (value ? [] : ['--no-dropout']),
  temperatureRate: (value) => ['--learn-temperature', value],
  matryoshkaSizes: (value) => ['--matryoshka', value.join()],
  languagePairs: () => [],
  languageWeights: (value) => ['--language-weights', typeof value === 'object' ? value.temperature : value],
  codeSwitching: ({ mode, query, passage, lexicons }) => [
    ...[
      '--code-switch-mode',
      mode,
      '--code-switch',
      `${query.probability},${passage.probability}`,
      '--lexicon',
    ],
    ...lexicons.map(({ source, target, path }) => `${source}-${target}=${path}`),
  ],
};

/** `--batch-size 100 --sampler hybrid ...` of Trainer's options. */
export function trainFlags(options) {
  return Object.entries(options).flatMap(([name, value]) => {
    if (value === undefined || value === null) return [];
    if (SPECIAL[name]) return SPECIAL[name](value).map(String);
    const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    if (typeof value === 'boolean') return value ? [flag] : [];
    return [flag, Array.isArray(value) ? value.join() : String(value)];
  });
}

/** The command that trains, in the order of its words. */
export function trainCommand(
  launcher,
  { model, data, output, device, maxTokens, checkpointEvery, options, more },
) {
  const root = join(createRequire(import.meta.url).resolve('xlembed/package.json'), '..');
  return [
    ...launcher,
    ...[process.execPath, join(root, 'dist/cli/main.js'), 'train', '--resume'],
    ...['--model', model, '--data', data, '--output', output, '--device', device],
    ...[
      '--checkpoint-every',
      String(checkpointEvery),
      ...(maxTokens ? ['--max-tokens', String(maxTokens)] : []),
    ],
    ...trainFlags(options),
    ...more,
  ];
}

/** Runs it; its progress goes where this process's does. */
export function launch([program, ...args]) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    child.on('error', reject).on('exit', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`${program} ${args.join(' ')} ended with ${code ?? signal}`));
    });
  });
}
