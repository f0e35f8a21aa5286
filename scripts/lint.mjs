#!/usr/bin/env node
// Everything that can be judged without running the program. Every finding fails; --fix repairs what has one answer.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { pythonTool } from './setup/python_tool.mjs';
import { capture, createSetup, listFiles, root, SetupError } from './setup/shared.mjs';

const usage = `usage: node scripts/lint.mjs [--fix | --tidy]

  biome, clang-format, the layering of imports, the exported types, and the types of the tests
  --fix    repair formatting and what biome can repair safely
  --tidy   clang-tidy over native/kernels and native/core instead (needs build/compile_commands.json)`;

const native = (...endings) =>
  listFiles(join(root, 'native'), (name) => endings.some((ending) => name.endsWith(ending)));

/** Runs a tool on the user's terminal; true when it found nothing. */
function check(command, args) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (result.error) throw new SetupError(`${command}: ${result.error.message}`, 'run: npm run setup');
  return result.status === 0;
}

const nodeTool = (script, ...args) => check(process.execPath, [join(root, script), ...args]);

function biome(fix) {
  const script = 'node_modules/@biomejs/biome/bin/biome';
  return nodeTool(script, 'check', '--error-on-warnings', ...(fix ? ['--write'] : [])); // what biome.json includes
}

async function clangFormat(setup, fix) {
  const tool = await pythonTool(setup, 'clang-format');
  const files = native('.h', '.cpp', '.cu', '.cuh');
  return files.length === 0 || check(tool, [...(fix ? ['-i'] : ['--dry-run', '-Werror']), ...files]);
}

/** The compiler's commands without gcc's precompiled header: the plain header is included in its place. */
function writeClangCommands(folder) {
  const path = join(root, 'build', 'compile_commands.json');
  if (!existsSync(path)) throw new SetupError('build/compile_commands.json is missing', 'run: npm run setup');
  const header = join(root, 'native', 'core', 'torch.h');
  const commands = JSON.parse(readFileSync(path, 'utf8')).map((entry) => ({
    ...entry,
    command: entry.command.replace(/-include \S+cmake_pch\.hxx/, `-include ${header}`),
  }));
  writeFileSync(join(folder, 'compile_commands.json'), JSON.stringify(commands));
}

/** gcc keeps its omp.h among headers that only gcc can read; this folder holds that one alone. */
function linkOpenMpHeader(folder) {
  const header = capture('g++', ['-print-file-name=include/omp.h']);
  rmSync(join(folder, 'omp.h'), { force: true });
  if (header?.startsWith('/')) symlinkSync(header, join(folder, 'omp.h'));
}

async function clangTidy(setup) {
  const tool = await pythonTool(setup, 'clang-tidy');
  const folder = join(root, '.build', 'clang');
  mkdirSync(folder, { recursive: true });
  writeClangCommands(folder);
  linkOpenMpHeader(folder);
  const files = native('.cpp').filter((path) => /^native\/(kernels|core)\//.test(relative(root, path)));
  // gcc's own warning options mean nothing to clang; gcc 12's std::stable_sort uses a function it calls deprecated.
  const options = ['-Wno-unknown-warning-option', '-Wno-deprecated-declarations', `-isystem${folder}`];
  const extra = options.map((option) => `--extra-arg=${option}`);
  const jobs = String(Math.min(2, availableParallelism()));
  const args = ['-P', jobs, '-n', '1', tool, '-p', folder, '--quiet', ...extra];
  const result = spawnSync('xargs', args, {
    cwd: root,
    input: files.join('\n'),
    stdio: ['pipe', 'inherit', 'pipe'],
  });
  // clang-tidy counts the warnings of libtorch's headers, which it does not show; the rest is worth reading.
  const messages = String(result.stderr).replace(/^\d+ warnings? (generated|treated as errors?).*\n?/gm, '');
  process.stderr.write(messages);
  return result.status === 0;
}

async function runAll(setup, fix) {
  const checks = {
    biome: () => biome(fix),
    'clang-format': () => clangFormat(setup, fix),
    imports: () => nodeTool('scripts/check-imports.mjs'),
    'exported types': () => nodeTool('scripts/check-exports.mjs'), // of the last compilation
    'types of tests': () =>
      nodeTool('node_modules/typescript/bin/tsc', '-p', 'test/tsconfig.json', '--noEmit'),
  };
  const failed = [];
  for (const [name, body] of Object.entries(checks)) if (!(await body())) failed.push(name);
  return failed;
}

try {
  const flag = { type: 'boolean', default: false };
  const { values } = parseArgs({ options: { fix: flag, tidy: flag, help: flag } });
  if (values.help) {
    console.log(usage);
  } else {
    const setup = createSetup();
    const failed = values.tidy
      ? (await clangTidy(setup))
        ? []
        : ['clang-tidy']
      : await runAll(setup, values.fix);
    console.log(failed.length === 0 ? 'lint: nothing found' : `lint: failed: ${failed.join(', ')}`);
    process.exitCode = failed.length === 0 ? 0 : 1;
  }
} catch (error) {
  console.error(`lint stopped: ${error.message}`);
  if (error instanceof SetupError) console.error(`what to do: ${error.remedy}`);
  process.exitCode = 2;
}
