#!/usr/bin/env node
// Makes everything ready to run: npm modules, TypeScript, compiler, libtorch, the addon. Each step is skipped while
// nothing that goes into it has changed. Node's own modules only: it runs before any other is installed.
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildAddon, buildNativeTests } from './setup/addon.mjs';
import { locateFaiss } from './setup/faiss.mjs';
import { locateLibtorch } from './setup/libtorch.mjs';
import { acquireLock } from './setup/lock.mjs';
import { installModules } from './setup/modules.mjs';
import {
  checkMachine,
  createSetup,
  interrupt,
  isCheckout,
  readJson,
  remedyOf,
  root,
  SetupError,
  statePath,
} from './setup/shared.mjs';
import { findToolchain } from './setup/toolchain.mjs';
import { compileSources, compileTests } from './setup/typescript.mjs';

const usage = `usage: node scripts/setup.mjs [options]

  --tests     build the native and the TypeScript tests too
  --no-npm    take the npm modules that are there, whatever package-lock.json says
  --force     do every step again, and choose libtorch anew
  --verbose   show what the tools print (it goes to .build/setup.log otherwise)
  --quiet     print nothing unless something fails
  --help      this text

environment
  LIBTORCH       a folder with libtorch's include/ and lib/ (default: Python's torch, the cache, or fetched with pip)
  XLEMBED_CACHE  where fetched things are kept (default: xlembed in XDG_CACHE_HOME or ~/.cache)
  XLEMBED_CUDA   AUTO (default), ON or OFF
  XLEMBED_FAISS  AUTO (default), ON or OFF
  FAISS_ROOT     where FAISS lies, beside the system's folders
  XLEMBED_WERROR ON makes compiler warnings errors
  CXX, CUDACXX   the compilers`;

function parseOptions() {
  const flag = { type: 'boolean', default: false };
  const options = { tests: flag, 'no-npm': flag, force: flag, verbose: flag, quiet: flag, help: flag };
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    throw new SetupError(error.message, 'run: node scripts/setup.mjs --help');
  }
}

async function runSteps(setup) {
  const { step, options } = setup;
  if (isCheckout && !options['no-npm']) await step('npm modules', () => installModules(setup));
  // Before what a machine may lack: `xlembed doctor` can then tell.
  if (isCheckout) await step('TypeScript', () => compileSources(setup));
  const tools = await step('toolchain', () => findToolchain(setup));
  const libtorch = await step('libtorch', () => locateLibtorch(setup, readJson(statePath)?.libtorch));
  const faiss = await step('FAISS', () => locateFaiss(setup, readJson(statePath)?.faiss));
  await step('addon', () => buildAddon(setup, tools, libtorch, faiss));
  if (!options.tests || !isCheckout) return;
  await step('TypeScript tests', () => compileTests(setup));
  await step('native tests', () => buildNativeTests(setup));
}

function report(error, setup) {
  setup?.clear();
  if (signalled) {
    console.error('\nset-up interrupted; run it again: it goes on where it stopped');
    return;
  }
  if (error instanceof SetupError && error.output && !setup?.options.verbose) console.error(error.output);
  console.error(`\nset-up stopped: ${error.message}`);
  console.error(`what to do: ${remedyOf(error)}`);
}

let setup;
let release;
let signalled = 0;
for (const [signal, number] of [
  ['SIGINT', 2],
  ['SIGTERM', 15],
]) {
  process.on(signal, () => {
    const again = signalled;
    signalled = number;
    // With no tool to end there is nothing to wait for.
    if (interrupt() && !again) return;
    release?.();
    report(undefined, setup);
    process.exit(128 + number);
  });
}
// Nobody reads any more: the work goes on.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
try {
  const options = parseOptions();
  if (options.help) {
    console.log(usage);
  } else {
    checkMachine();
    setup = createSetup(options);
    release = await acquireLock(join(root, '.build', 'setup.lock'), setup);
    await runSteps(setup);
  }
} catch (error) {
  report(error, setup);
  process.exitCode = signalled ? 128 + signalled : 1;
} finally {
  release?.();
  setup?.close();
}
