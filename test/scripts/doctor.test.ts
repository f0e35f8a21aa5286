import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { temporaryFolder } from './load.js';

interface Report {
  loads: boolean;
  findings: { name: string; status: string; value: string; remedy: string }[];
}

function runDoctor(root: string, env = process.env) {
  const program = `
    import { doctor } from '${join(root, 'dist/cli/doctor.js')}';
    process.exitCode = await doctor({ json: process.argv[1] === 'json' });`;
  const run = (format: string) =>
    spawnSync(process.execPath, ['--input-type=module', '-e', program, format], { encoding: 'utf8', env });
  const json = run('json');
  return { status: json.status, report: JSON.parse(json.stdout) as Report, text: run('text').stdout };
}

/** The package as npm unpacks it, before `npx xlembed setup`. */
function unbuiltPackage(context: TestContext): string {
  const folder = temporaryFolder(context);
  cpSync('dist', join(folder, 'dist'), { recursive: true });
  cpSync('package.json', join(folder, 'package.json'));
  symlinkSync(join(process.cwd(), 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

test('here the addon loads, and everything has a value', () => {
  assert.ok(existsSync('build/xlembed-setup.json'), 'run: npm run setup');
  const { status, report, text } = runDoctor(process.cwd());
  assert.equal(status, 0);
  assert.equal(report.loads, true);
  for (const name of [
    'Node',
    'compiler',
    'cmake',
    'libtorch',
    'addon',
    'threads',
    'CPU capability',
    'cache',
  ]) {
    const finding = report.findings.find((one) => one.name === name);
    assert.equal(finding?.status, 'ok', name);
    assert.ok(text.includes(finding?.value ?? 'nothing'), name);
  }
});

test('before the set-up the exit code is 1, and what is missing has its remedy', (context) => {
  const { status, report, text } = runDoctor(unbuiltPackage(context));
  assert.equal(status, 1);
  assert.equal(report.loads, false);
  const missing = report.findings.filter((finding) => finding.status === 'missing');
  assert.deepEqual(missing.map((finding) => finding.name).sort(), ['addon', 'libtorch']);
  for (const { remedy } of missing) assert.match(remedy, /npx xlembed setup/);
  assert.match(text, /MISSING addon +ADDON_NOT_BUILT/);
});

test('an addon compiled for another processor is named; the system would end the process', (context) => {
  const root = unbuiltPackage(context);
  mkdirSync(join(root, 'build', 'Release'), { recursive: true });
  writeFileSync(join(root, 'build', 'Release', 'xlembed.node'), '');
  const addonWith = (instructions: string[]) => {
    writeFileSync(join(root, 'build', 'xlembed-setup.json'), JSON.stringify({ instructions }));
    return runDoctor(root).report.findings.find(({ name }) => name === 'addon');
  };
  const finding = addonWith(['avx1024']);
  assert.match(finding?.value ?? '', /ADDON_LOAD_FAILED: .* another processor: this one has no avx1024$/);
  assert.equal(finding?.remedy, 'run on this machine: npx xlembed setup');
  assert.doesNotMatch(addonWith([])?.value ?? '', /another processor/);
});

test('a Node that may not load addons is named', (context) => {
  const root = unbuiltPackage(context);
  mkdirSync(join(root, 'build', 'Release'), { recursive: true });
  writeFileSync(join(root, 'build', 'Release', 'xlembed.node'), '');
  const { report } = runDoctor(root, { ...process.env, NODE_OPTIONS: '--no-addons' });
  const addon = report.findings.find(({ name }) => name === 'addon');
  assert.match(addon?.remedy ?? '', /--no-addons/);
});

test('a tool that is there but too old is named with its version', (context) => {
  const bin = temporaryFolder(context);
  const texts = { 'g++': '9.4.0', cmake: 'cmake version 3.16.3' };
  for (const [name, text] of Object.entries(texts)) {
    writeFileSync(join(bin, name), `#!/bin/sh\necho '${text}'\n`);
    chmodSync(join(bin, name), 0o755);
  }
  const { report } = runDoctor(unbuiltPackage(context), { ...process.env, PATH: bin });
  const findingOf = (name: string) => {
    const finding = report.findings.find((one) => one.name === name);
    return `${finding?.status}: ${finding?.value}`;
  };
  assert.equal(findingOf('compiler'), 'missing: 9.4.0 is older than 11.0');
  assert.equal(findingOf('cmake'), 'missing: 3.16.3 is older than 3.22');
  assert.equal(findingOf('make'), 'missing: neither ninja nor make');
});

test('a cache that cannot be read is named, and the rest is still said', () => {
  const { status, report } = runDoctor(process.cwd(), { ...process.env, XLEMBED_CACHE: '/dev/null' });
  assert.equal(status, 0);
  const cache = report.findings.find(({ name }) => name === 'cache');
  assert.match(`${cache?.status}: ${cache?.value}`, /^missing: ENOTDIR/);
  assert.match(cache?.remedy ?? '', /XLEMBED_CACHE/);
});

test("a dependency that Node finds by Yarn's Plug'n'Play, without a node_modules, is there", (context) => {
  const folder = unbuiltPackage(context);
  const description = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  description.dependencies.unplugged = '1';
  writeFileSync(join(folder, 'package.json'), JSON.stringify(description));
  const preload = join(folder, 'preload.cjs');
  writeFileSync(
    preload,
    `const Module = require('node:module');
     const resolve = Module._resolveFilename;
     Module._resolveFilename = (name, ...more) => name === 'unplugged' ? __filename : resolve(name, ...more);`,
  );
  const modules = (env: NodeJS.ProcessEnv) =>
    runDoctor(folder, env).report.findings.find(({ name }) => name === 'npm modules');
  assert.equal(modules(process.env)?.value, 'not installed: unplugged');
  assert.equal(modules({ ...process.env, NODE_OPTIONS: `--require=${preload}` })?.status, 'ok');
});
