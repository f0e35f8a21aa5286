// Builds for a GPU machine's own libtorch, runs the native tests and those TypeScript tests that run on a device, the
// benchmarks and CUDA's sanitizers, and writes what came out as one JSON. A stage that fails is recorded, and the next
// one begins. Nothing is fetched.
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, rmSync } from 'node:fs';
import { cpus } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { capture, listFiles, readJson, root, writeJson } from './setup/shared.mjs';
import { findNvcc, which } from './setup/toolchain.mjs';

const usage = `usage: scripts/gpu-check [folder] [options]

  folder            for the JSON of results (default: bench/results); of the same commit it keeps the stages that
                    are not run again
  --device <name>   cuda (default), cuda:N, or cpu to try the script itself
  --stages <list>   some of setup,native,benchmarks,typescript,sanitizers (default: all)
  --only <op>       of the benchmarks one op of the kernels; without it also encoding and training
  --quick           small benchmarks
  --minutes <n>     for everything (default: 30); what does not fit is recorded as timed out
  --help            this text

A machine with nvcc, cmake, g++, a Python with a CUDA torch, and Node with this checkout's node_modules.`;

/**
 * Seconds that a stage may take at most, in the order in which they run: figures before what may hang. The sanitizers
 * run every kernel some fifty times slower.
 */
const limits = { setup: 900, native: 120, benchmarks: 600, typescript: 300, sanitizers: 240 };
/** Of one benchmark program, so that what hangs takes no more with it. */
const benchmarkLimit = 240;
const saveEvery_ms = 5000;
const linesKept = 60;
const failuresKept = 50;

function fail(message) {
  console.error(message);
  process.exit(2);
}

function parseOptions() {
  const text = { type: 'string' };
  const flag = { type: 'boolean', default: false };
  try {
    const { values, positionals } = parseArgs({
      options: {
        ...{
          device: { ...text, default: 'cuda' },
          stages: { ...text, default: Object.keys(limits).join(',') },
        },
        ...{ only: text, quick: flag, minutes: { ...text, default: '30' }, help: flag },
      },
      allowPositionals: true,
    });
    const stages = values.stages.split(',');
    const unknown = stages.find((stage) => !(stage in limits));
    if (unknown !== undefined) throw new Error(`there is no stage ${unknown}`);
    if (!(Number(values.minutes) > 0)) throw new Error('--minutes takes a number above 0');
    if (positionals.length > 1) throw new Error('at most one folder');
    const folder = resolve(positionals[0] ?? join(root, 'bench', 'results'));
    return { ...values, stages, folder, isCuda: values.device.startsWith('cuda') };
  } catch (error) {
    fail(`${error.message}\n\n${usage}`);
  }
}

/** Folder of the torch that Python imports. */
function pythonTorch() {
  const program = `
import importlib.util
spec = importlib.util.find_spec("torch")
print(list(spec.submodule_search_locations)[0] if spec and spec.origin else "")`;
  return capture('python3', ['-c', program], { cwd: '/' }) || undefined;
}

function findVersions() {
  const nvcc = findNvcc();
  const line = (command, args, pattern) => capture(command, args)?.match(pattern)?.[0];
  const found = {
    node: process.versions.node,
    compiler: line('g++', ['-dumpfullversion'], /.*/),
    cmake: line('cmake', ['--version'], /\d+\.\d+[.\d]*/),
    nvcc: nvcc && line(nvcc, ['--version'], /release [\d.]+/),
    gpu: line('nvidia-smi', ['--query-gpu=name,driver_version,memory.total', '--format=csv,noheader'], /.*/),
    python: line('python3', ['--version'], /\d+\.\d+[.\d]*/),
    torch: line('python3', ['-c', 'import importlib.metadata as m; print(m.version("torch"))'], /.*/),
    processor: cpus()[0]?.model.trim(),
    commit: line('git', ['-C', root, 'describe', '--always', '--dirty', '--abbrev=40'], /[\w-]+/),
  };
  return Object.fromEntries(Object.entries(found).map(([name, value]) => [name, value || 'none']));
}

/** Against Python's libtorch, with the CUDA sources and with nothing fetched; on the CPU as the set-up chooses. */
function environment({ isCuda, device }) {
  const shared = { ...process.env, XLEMBED_TEST_DEVICE: device, FORCE_COLOR: '0' };
  if (!isCuda) return shared;
  const libtorch = process.env.LIBTORCH ?? pythonTorch();
  const faiss = process.env.XLEMBED_FAISS ?? 'OFF';
  return { ...shared, XLEMBED_CUDA: 'ON', XLEMBED_FAISS: faiss, ...(libtorch && { LIBTORCH: libtorch }) };
}

/** The groups of processes that run now. */
const running = new Set();
/** Writes what is known so far. */
let save = () => {};
function kill(group) {
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // It has just ended.
  }
}
for (const [signal, number] of [
  ['SIGINT', 2],
  ['SIGTERM', 15],
]) {
  process.on(signal, () => {
    for (const group of running) kill(group);
    save();
    process.exit(128 + number);
  });
}

/** Runs a program with everything it starts, for at most `seconds`; its output goes to the log. */
function runProgram(command, args, { env, seconds, log }) {
  return new Promise((settle) => {
    const lines = [];
    let rest = '';
    let timedOut = false;
    log.write(`\n$ ${[command, ...args].join(' ')}\n`);
    const child = spawn(command, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    if (child.pid !== undefined) running.add(child.pid);
    const timer = setTimeout(() => {
      timedOut = true;
      kill(child.pid);
    }, seconds * 1000);
    const take = (chunk) => {
      log.write(chunk);
      const parts = (rest + chunk).split(/\r?\n/);
      rest = parts.pop();
      lines.push(...parts);
    };
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', take);
    const end = (exitCode, why) => {
      clearTimeout(timer);
      running.delete(child.pid);
      settle({ exitCode, timedOut, lines: [...lines, rest, why].filter(Boolean) });
    };
    child.on('error', (error) => end(127, error.message));
    child.on('close', (code, signal) => end(code ?? 128, signal && `ended by ${signal}`));
  });
}

/** What the tools of the tests print for something that failed. */
const failureLine =
  /\*\*\*(Failed|Timeout|Exception|Not Run)|^\s*✖ |^FAIL|ERROR SUMMARY: [1-9]|hazards? detected/;

const passed = { status: 'passed' };
const skipped = (reason) => ({ status: 'skipped', reason });

/** A stage's outcome from the programs it ran. */
function judge(outcomes) {
  const bad = outcomes.filter(({ exitCode, timedOut }) => exitCode !== 0 || timedOut);
  if (bad.length === 0) return passed;
  const lines = bad.flatMap(({ name, lines }) => [name, ...lines]);
  return {
    status: bad.some(({ timedOut }) => timedOut) ? 'timed out' : 'failed',
    // Texts, not lists: one entry a line is what a person reads and a formatter leaves alone.
    failures: lines
      .filter((line) => failureLine.test(line))
      .slice(0, failuresKept)
      .join('\n'),
    output: bad.map(({ name, lines }) => [name, ...lines.slice(-linesKept)].join('\n')).join('\n\n'),
  };
}

/** Whether a file of this name is the test of a kernel that has a CUDA twin. */
function runsOnGpu(name) {
  const op = /^kernels_(\w+)_test$/.exec(name)?.[1];
  return op !== undefined && existsSync(join(root, 'native', 'kernels', `${op}.cu`));
}

/** What the benchmarks write, by its name in the results. */
const resultFiles = Object.fromEntries(
  ['benchmarks', 'encoding', 'training'].map((name) => [
    name,
    join(root, '.build', `gpu-check-${name}.json`),
  ]),
);

/** Arguments of `xlembed bench`, one program after the other. */
function benchmarkRuns({ device, quick, only }) {
  const on = ['--device', device];
  const kernels = ['kernels', ...on, ...(quick ? ['--quick'] : []), ...(only ? ['--only', only] : [])];
  const shape = quick
    ? ['--shape', 'minilm', '--count', '32', '--rounds', '1', '--dtype', 'float32']
    : ['--shape', 'xlm-r-base', '--dtype', 'bfloat16'];
  const runs = [[...kernels, '--output', resultFiles.benchmarks]];
  if (only) return runs;
  runs.push(['encode', ...on, ...shape, '--lengths', '128', '512', '--output', resultFiles.encoding]);
  if (!quick) runs.push(['train', ...on, '--output', resultFiles.training]);
  return runs;
}

/** The stages by name; each gives { status, ... }. */
function stagesOf(options, env, log) {
  const run = async (command, args, seconds, extra = {}) => ({
    name: [
      basename(command),
      ...args.map((arg) => (arg.startsWith(root) ? arg.slice(root.length + 1) : arg)),
    ].join(' '),
    ...(await runProgram(command, args, { env: { ...env, ...extra }, seconds, log })),
  });
  const node = (seconds, ...args) => run(process.execPath, args, seconds);
  const sanitize = async (seconds) => {
    if (!options.isCuda) return skipped('needs a GPU');
    const sanitizer = which('compute-sanitizer') ?? which('/usr/local/cuda/bin/compute-sanitizer');
    if (!sanitizer) return skipped('compute-sanitizer was not found');
    const programs = listFiles(join(root, 'build'), runsOnGpu);
    if (programs.length === 0) return skipped('no native tests are built');
    const runs = ['memcheck', 'racecheck'].flatMap((tool) =>
      programs.map((program) => ['--tool', tool, '--error-exitcode', '9', program]),
    );
    // All at once: each waits for one processor most of the time. More threads would wait awake for each other.
    const extra = { XLEMBED_TEST_SMALL: '1', OMP_NUM_THREADS: '1' };
    return judge(await Promise.all(runs.map((args) => run(sanitizer, args, seconds, extra))));
  };
  const benchmark = async (seconds) => {
    const end = Date.now() + seconds * 1000;
    const outcomes = [];
    for (const args of benchmarkRuns(options)) {
      const left = Math.min(benchmarkLimit, (end - Date.now()) / 1000);
      outcomes.push(await node(left, 'dist/cli/main.js', 'bench', ...args));
    }
    return judge(outcomes);
  };
  return {
    setup: async (seconds) => judge([await node(seconds, 'scripts/setup.mjs', '--tests', '--no-npm')]),
    native: async (seconds) => judge([await node(seconds, 'scripts/test.mjs', '--only', 'native')]),
    benchmarks: benchmark,
    typescript: async (seconds) =>
      judge([await node(seconds, 'scripts/test.mjs', '--only', 'ts', '--on-device')]),
    sanitizers: sanitize,
  };
}

/** Runs the stages one after the other; `outcomes` has what is known of them at any time. */
async function runStages(options, stages, outcomes) {
  const end = Date.now() + Number(options.minutes) * 60_000;
  for (const name of Object.keys(limits).filter((name) => options.stages.includes(name))) {
    const begin = Date.now();
    const seconds = Math.min(limits[name], (end - begin) / 1000);
    outcomes[name] = { status: 'interrupted' };
    save();
    const outcome = seconds < 1 ? { status: 'timed out' } : await stages[name](seconds);
    outcomes[name] = { ...outcome, seconds: Number(((Date.now() - begin) / 1000).toFixed(1)) };
    const why = outcome.reason ? `: ${outcome.reason}` : '';
    console.log(
      `${name.padEnd(12)}${outcome.status.padEnd(10)}${outcomes[name].seconds.toFixed(1).padStart(7)} s${why}`,
    );
    if (outcome.output) console.log(outcome.output);
  }
}

/** `NVIDIA H200` as a file's name. */
const slug = (name) =>
  name
    .toLowerCase()
    .replace(/\([a-z]+\)/g, '')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');

async function main() {
  const options = parseOptions();
  if (options.help) return console.log(usage);
  const versions = findVersions();
  const machine = options.isCuda ? versions.gpu.split(',')[0] : versions.processor;
  mkdirSync(join(root, '.build'), { recursive: true });
  const log = createWriteStream(join(root, '.build', 'gpu-check.log'));
  for (const file of Object.values(resultFiles)) rmSync(file, { force: true });
  const path = join(options.folder, `gpu-check-${slug(machine)}.json`);
  const createdAt = new Date().toISOString();
  const earlier = existsSync(path) ? readJson(path) : null;
  const kept = earlier?.versions?.commit === versions.commit ? earlier : null;
  const stages = {};
  save = () => {
    // Cases measured before a benchmark failed or ran out of time are results too.
    const before = stages.benchmarks ? null : kept;
    const results = Object.entries(resultFiles).map(([name, file]) => [
      name,
      existsSync(file) ? readJson(file) : (before?.[name] ?? null),
    ]);
    writeJson(path, {
      ...{ createdAt, device: options.device, machine, versions },
      stages: { ...kept?.stages, ...stages },
      ...Object.fromEntries(results),
    });
  };
  // Now and then: a machine that is taken away leaves what was measured until then.
  const timer = setInterval(save, saveEvery_ms);
  await runStages(options, stagesOf(options, environment(options), log), stages);
  clearInterval(timer);
  save();
  log.end();
  const failed = Object.entries(stages).filter(([, { status }]) => !['passed', 'skipped'].includes(status));
  console.log(
    `${failed.length === 0 ? 'all passed' : `FAILED: ${failed.map(([name]) => name).join(', ')}`}; ${path}`,
  );
  process.exitCode = failed.length === 0 ? 0 : 1;
}

await main();
