import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { copyOfScripts, load, temporaryFolder } from './load.js';

const { partialFolder, pinnedVersion, sizeOfFolder } = await load('scripts/setup/fetch_libtorch.mjs');

/** Writes wheels that pip accepts: { 'torch-2.13.0': { files, requires } }. */
function writeWheels(folder: string, wheels: Record<string, { files: string[]; requires?: string[] }>) {
  const program = `
import json, sys, zipfile
for stem, wheel in json.load(sys.stdin).items():
    name, version = stem.rsplit("-", 1)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(f"{sys.argv[1]}/{stem}-py3-none-any.whl", "w") as archive:
        for file in wheel["files"]:
            archive.writestr(file, file)
        requires = "".join(f"Requires-Dist: {text}\\n" for text in wheel.get("requires", []))
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n{requires}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(f"{info}/RECORD", "")
`;
  mkdirSync(folder, { recursive: true });
  execFileSync('python3', ['-c', program, folder], { input: JSON.stringify(wheels) });
}

/** Runs the real script's fetching in a process of its own, with an index that holds only our wheels. */
function fetch(
  context: TestContext,
  wheels: Parameters<typeof writeWheels>[1],
  environment: Record<string, string> = {},
) {
  const folder = temporaryFolder(context);
  const root = copyOfScripts(context);
  writeWheels(join(folder, 'wheels'), wheels);
  const cache = join(folder, 'cache');
  mkdirSync(join(cache, `libtorch-${pinnedVersion}.partial-${hostname()}-999999999`), { recursive: true });
  const program = `
    import { createSetup } from '${root}/scripts/setup/shared.mjs';
    import { fetchLibtorch } from '${root}/scripts/setup/fetch_libtorch.mjs';
    await fetchLibtorch(createSetup(), '${cache}/libtorch-${pinnedVersion}').catch((error) => {
      console.error(error.message);
      process.exitCode = 1;
    });`;
  const result = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    env: {
      ...process.env,
      PIP_NO_INDEX: '1',
      PIP_FIND_LINKS: join(folder, 'wheels'),
      PIP_CONFIG_FILE: '/dev/null',
      ...environment,
    },
  });
  const files = readdirSync(cache, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(cache.length + 1))
    .sort();
  return { result, files, folders: readdirSync(cache).sort() };
}

const shared = [
  'torch/include/ATen/ATen.h',
  'torch/lib/libtorch.so',
  'torch/lib/libtorch_cpu.so',
  'torch/lib/libc10.so',
  'torch/lib/libgomp.so.1',
  'torch/lib/libtorch_python.so',
  'torch/__init__.py',
];

test('a CPU wheel gives include/ and the libraries, nothing else; leftovers go', (context) => {
  const { result, files, folders } = fetch(context, { [`torch-${pinnedVersion}`]: { files: shared } });
  assert.equal(result.status, 0, result.stderr);
  const home = `libtorch-${pinnedVersion}`;
  assert.deepEqual(folders, [home]);
  assert.deepEqual(files, [
    `${home}/include/ATen/ATen.h`,
    `${home}/lib/libc10.so`,
    `${home}/lib/libgomp.so.1`,
    `${home}/lib/libtorch.so`,
    `${home}/lib/libtorch_cpu.so`,
  ]);
});

test('a CUDA wheel keeps its libraries and brings the NVIDIA ones beside it', (context) => {
  const { result, files, folders } = fetch(context, {
    [`torch-${pinnedVersion}`]: {
      files: [...shared, 'torch/lib/libtorch_cuda.so', 'torch/lib/libc10_cuda.so'],
      requires: ['nvidia-cublas==13.1; platform_system == "Linux"', 'cuda-toolkit[cudart]==13.0', 'sympy>=1'],
    },
    'nvidia_cublas-13.1': { files: ['nvidia/cu13/lib/libcublas.so.13'] },
    'cuda_toolkit-13.0': { files: ['cuda_toolkit.txt'] },
  });
  assert.equal(result.status, 0, result.stderr);
  assert.match(result.stdout, /CUDA build of PyTorch/);
  assert.deepEqual(folders, [`libtorch-${pinnedVersion}`, 'nvidia']);
  assert.ok(files.includes('nvidia/cu13/lib/libcublas.so.13'));
  assert.ok(files.includes(`libtorch-${pinnedVersion}/lib/libtorch_cuda.so`));
  assert.equal(files.includes(`libtorch-${pinnedVersion}/lib/libtorch_python.so`), false);
});

test("a user's pip settings for environments do not hold", (context) => {
  const torch = {
    files: [...shared, 'torch/lib/libtorch_cuda.so'],
    requires: ['nvidia-cublas==13.1'],
  };
  const wheels = {
    [`torch-${pinnedVersion}`]: torch,
    'nvidia_cublas-13.1': { files: ['nvidia/cu13/lib/libcublas.so.13'] },
  };
  const { result } = fetch(context, wheels, { PIP_REQUIRE_VIRTUALENV: '1', PIP_USER: '1' });
  assert.equal(result.status, 0, result.stderr);
});

test('a folder is measured while its files come and go', (context) => {
  const folder = temporaryFolder(context);
  const program = 'while true; do mkdir -p a/b/c b/b/c; rm -rf a b; done';
  const child = spawn('sh', ['-c', program], { cwd: folder, stdio: 'ignore' });
  context.after(() => child.kill());
  for (const end = Date.now() + 1000; Date.now() < end; ) assert.equal(sizeOfFolder(folder), 0);
});

test('a failed download leaves nothing behind', (context) => {
  const { result, folders } = fetch(context, { 'torch-1.0.0': { files: shared } });
  assert.equal(result.status, 1);
  assert.match(result.stderr, /libtorch with pip failed/);
  assert.deepEqual(folders, []);
});

test('a wheel path that climbs out is not followed', (context) => {
  const files = [...shared, 'torch/include/../../escaped.h'];
  const { result, folders } = fetch(context, { [`torch-${pinnedVersion}`]: { files } });
  assert.equal(result.status, 0, result.stderr);
  assert.deepEqual(folders, [`libtorch-${pinnedVersion}`]);
});

test('a failure is a message with a remedy, no stack trace', (context) => {
  const root = copyOfScripts(context);
  const env = { ...process.env, LIBTORCH: join(root, 'absent') };
  const result = spawnSync(process.execPath, [join(root, 'scripts/setup.mjs')], { encoding: 'utf8', env });
  assert.equal(result.status, 1);
  assert.match(
    result.stderr,
    /set-up stopped: LIBTORCH=.* cannot be used: no such folder\nwhat to do: set it to/,
  );
  assert.doesNotMatch(result.stderr, /^\s+at /m);
  assert.equal(existsSync(join(root, '.build/setup.lock')), false);
});

test('an unknown option is refused', () => {
  const result = spawnSync(process.execPath, ['scripts/setup.mjs', '--fast'], { encoding: 'utf8' });
  assert.equal(result.status, 1);
  assert.match(
    result.stderr,
    /Unknown option '--fast'[\s\S]*what to do: run: node scripts\/setup.mjs --help/,
  );
});

test('a compiled file goes with its source, and a removed output comes back', async (context) => {
  const root = copyOfScripts(context);
  const source = (name: string) => join(root, 'src', `${name}.ts`);
  const output = (name: string) => join(root, 'dist', `${name}.js`);
  mkdirSync(join(root, 'src'));
  const text = {
    compilerOptions: {
      rootDir: 'src',
      outDir: 'dist',
      incremental: true,
      types: [],
      lib: ['ES5'],
      skipLibCheck: true,
      tsBuildInfoFile: '.build/src.tsbuildinfo',
    },
    include: ['src'],
  };
  writeFileSync(join(root, 'tsconfig.json'), JSON.stringify(text));
  for (const name of ['kept', 'removed']) writeFileSync(source(name), `export const ${name} = 1;`);
  execFileSync('ln', ['-s', join(process.cwd(), 'node_modules'), join(root, 'node_modules')]);
  const { createSetup } = await load(join(root, 'scripts/setup/shared.mjs'));
  const { compileSources } = await load(join(root, 'scripts/setup/typescript.mjs'));
  const compile = async (): Promise<string> => (await compileSources(createSetup({ quiet: true })))[1];
  assert.equal(await compile(), '2 files compiled');
  assert.equal(await compile(), 'up to date');
  execFileSync('rm', [source('removed'), output('kept')]);
  assert.equal(await compile(), '1 files compiled');
  assert.ok(existsSync(output('kept')) && !existsSync(output('removed')));
});

test('what a set-up on another machine is fetching into the same cache stays, what it left a day ago goes', (context) => {
  const cache = temporaryFolder(context);
  const [running, left] = ['libtorch.partial-node-7-999999999', 'libtorch.partial-node-8-999999999'];
  for (const name of [running, left]) mkdirSync(join(cache, name));
  utimesSync(join(cache, left), 1, 1);
  const own = partialFolder(join(cache, 'libtorch'));
  assert.deepEqual(
    readdirSync(cache)
      .map((name) => join(cache, name))
      .sort(),
    [join(cache, running), own].sort(),
  );
});
