import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { makeTinyWorld, writeSettings } from './tiny_world.js';

const folder = mkdtempSync(join(tmpdir(), 'xlembed-hybrid-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const at = (...names: string[]) => join(folder, ...names);
const json = (path: string) => JSON.parse(readFileSync(path, 'utf8'));
const env = { ...process.env, XLEMBED_SHARED: at('shared') };
const command = (settings: string, output: string) => [
  ...['experiments/hybrid/run.mjs', '--settings', settings, '--output', output],
];

function run(settings: string, output: string): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, command(settings, output), {
    encoding: 'utf8',
    env,
  });
  assert.equal(status, 0, stdout + stderr);
  return stdout;
}

const REGIMES = ['hybrid_50', 'shuffled', 'code_switching'];
const whole = at('whole');
const units = (output: string) =>
  readdirSync(join(output, 'results')).filter((name) => /-\d\.json$/.test(name));

test('from data to tables: both encoders, every kind of batch', () => {
  makeTinyWorld(at('shared'));
  run(writeSettings(at('tiny.json'), { regimes: REGIMES }), whole);
  const expected = ['pretrained', ...REGIMES].flatMap((regime) =>
    ['transformer', 'laser2'].map((name) => `${name}-${regime}-0.json`),
  );
  assert.deepEqual(units(whole).sort(), expected.sort());

  const hybrid = json(join(whole, 'results/transformer-hybrid_50-0.json'));
  assert.equal(hybrid.training.steps, 6);
  assert.deepEqual(hybrid.training.options.holdOut, ['el', 'vi']);
  assert.ok(hybrid.training.processorSeconds > 0);
  assert.equal(hybrid.evaluation.tasks['xquad-r'].grid.length, 9);
  const switched = json(join(whole, 'results/transformer-code_switching-0.json'));
  assert.ok(switched.training.switched > 0);

  const tables = readFileSync(join(whole, 'report/tables.md'), 'utf8');
  for (const name of ['plain: shuffled pairs', 'LASER-2 architecture', 'p (Holm)', 'XLM-R, paper']) {
    assert.ok(tables.includes(name), name);
  }
  // What an HTML page forgives, a figure by itself does not show.
  const parse = 'import sys, xml.dom.minidom; [xml.dom.minidom.parse(path) for path in sys.argv[1:]]';
  const figures = readdirSync(join(whole, 'report')).filter((name) => name.endsWith('.svg'));
  assert.ok(figures.includes('transformer-map.svg'));
  const bars = readFileSync(join(whole, 'report/transformer-map.svg'), 'utf8');
  assert.match(bars, /^<svg xmlns=/);
  assert.match(bars, /fill="#12996a"\/><text [^>]*>hybrid, α 0.5</);
  const parsed = spawnSync('python3', ['-c', parse, ...figures.map((name) => join(whole, 'report', name))], {
    encoding: 'utf8',
  });
  assert.equal(parsed.status, 0, parsed.stderr);
});

test('texts of the evaluation, and held-out languages, are in no pair', () => {
  const counts = json(join(whole, 'results/data.json'));
  assert.equal(counts.leakage.help.identical, 1);
  const pairs = readFileSync(join(whole, 'data/pairs.jsonl'), 'utf8');
  assert.ok(!pairs.includes('which sentence of the help'));
  for (const line of pairs.trim().split('\n')) {
    const { query, positive } = JSON.parse(line);
    for (const language of ['el', 'vi']) assert.ok(!(language in query) && !(language in positive));
  }
});

test('killed again and again, the experiment ends with the results of one that was not', async () => {
  const output = at('killed');
  for (const part of ['data', 'start']) cpSync(join(whole, part), join(output, part), { recursive: true });
  const settings = writeSettings(at('killed.json'), { regimes: ['hybrid_50'] });
  const moments = [
    () => existsSync(join(output, 'models/transformer-pretrained-0.checkpoints/step-00000002')),
    () => existsSync(join(output, 'results/laser2-pretrained-0.json')),
    () => existsSync(join(output, 'models/transformer-hybrid_50-0.checkpoints')),
  ];
  for (const happens of moments) {
    const child = spawn(process.execPath, command(settings, output), {
      stdio: 'ignore',
      env,
      detached: true,
    });
    const exit = once(child, 'exit');
    while (child.exitCode === null && !happens()) await new Promise((resolve) => setTimeout(resolve, 2));
    // Driver and workers at once, as a machine that loses power would.
    if (child.exitCode === null) process.kill(-child.pid!, 'SIGKILL');
    await exit;
  }
  run(settings, output);
  assert.equal(units(output).length, 4);
  for (const name of units(output)) {
    const [killed, expected] = [output, whole].map(
      (place) => json(join(place, 'results', name)).evaluation.tasks,
    );
    assert.deepEqual(killed, expected, name);
  }
  assert.match(run(settings, output), /4 of 4 units are done/);
});

test('published models under a launcher take the same way', () => {
  const settings = writeSettings(at('launched.json'), {
    // In torchrun's place: a program that starts the command behind it.
    launcher: ['env', 'XLEMBED_LAUNCHED=1'],
    data: join(whole, 'data'),
    regimes: ['code_switching'],
    encoders: {
      transformer: { kind: 'model', model: join(whole, 'models/transformer-pretrained-0') },
      laser2: { kind: 'model', model: join(whole, 'models/laser2-pretrained-0') },
    },
    pretraining: null,
    evaluation: { 'xquad-r': {} },
  });
  run(settings, at('launched'));
  assert.equal(units(at('launched')).length, 4);
  const { training, evaluation } = json(at('launched/results/laser2-code_switching-0.json'));
  assert.equal(training.steps, 6);
  assert.equal(training.options.codeSwitching.lexicons.length, 8);
  assert.ok(evaluation.tasks['xquad-r'].measures.cross_lingual_map > 0);
});

test('the settings in the repository are valid, and a wrong option is named', () => {
  const wrong = writeSettings(at('wrong.json'), { training: { batchSize: 1 } });
  const code = `
    import { readSettings } from './experiments/hybrid/lib/settings.mjs';
    for (const name of ['small', 'full', 'gpu', 'paper']) await readSettings(name);
    await readSettings(${JSON.stringify(wrong)}).catch((error) => console.log(error.message));`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /batchSize/);
});
