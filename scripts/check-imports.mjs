#!/usr/bin/env node
// Holds the layering: data moves forward, nothing calls back up.
// usage: node scripts/check-imports.mjs [root]   prints file:line and the rule; exit code 1 when one is broken
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { listFiles, root as repository } from './setup/shared.mjs';

const ts = createRequire(import.meta.url)('typescript');

/** The one table. Each folder or file imports from earlier rows only; neighbours in a row never see each other. */
export const layers = {
  typescript: [
    ['errors'],
    ['checked_options', 'files', 'json_depth', 'large_map', 'processors'],
    ['native', 'scheduling'],
    ['processes'],
    ['tensor'],
    ['datasets'],
    ['tokenizers'],
    ['batches'],
    ['models'],
    ['encoding'],
    ['training', 'search'],
    ['evaluation'],
    ['report'],
    ['cli', 'index'],
  ],
  /** These wire everything together and import anything. */
  unrestricted: ['cli', 'index'],
  /** Folder of native/ -> the project's folders and the outside headers that it includes. */
  native: {
    kernels: { from: ['kernels'], never: ['libtorch', 'Node'] },
    core: { from: ['kernels', 'core'], never: ['Node'] },
    addon: { from: ['kernels', 'core', 'addon'], never: [] },
    tests: { from: ['kernels', 'core', 'tests'], never: ['Node'] },
  },
  outside: {
    libtorch: /^(torch|ATen|c10|caffe2)\//,
    Node: /^(napi|node|js_native|uv\.h|v8)/,
  },
};

/** @typedef {{ file: string, line: number, rule: string }} Violation */

/** The npm packages that those who install this one have. */
function dependenciesOf(root) {
  const path = join(root, 'package.json');
  return Object.keys(existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')).dependencies ?? {}) : {});
}

const layerOf = (file) => file.split('/')[0].replace(/\.ts$/, '');
const rowOf = (layer) => layers.typescript.findIndex((row) => row.includes(layer));

function judgeImport(from, to) {
  const [source, target] = [layerOf(from), layerOf(to)];
  if (source === target || layers.unrestricted.includes(source)) return undefined;
  if (rowOf(target) === -1) return `src/${target} is not in the table of layers`;
  if (rowOf(target) < rowOf(source)) return undefined;
  if (rowOf(target) === rowOf(source)) return `${source} and ${target} never see each other`;
  return `${source} comes before ${target} and must not import from it`;
}

/** Every module that a file names: [{ name, line, runs }]; `runs` is false for what the compiler erases. */
function modulesOf(path) {
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest);
  const found = [];
  const add = (specifier, runs) => {
    if (!specifier || !ts.isStringLiteral(specifier)) return;
    const line = source.getLineAndCharacterOfPosition(specifier.getStart(source)).line + 1;
    found.push({ name: specifier.text, line, runs });
  };
  const visit = (node) => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, !node.importClause?.isTypeOnly);
    if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, !node.isTypeOnly);
    if (ts.isImportTypeNode(node)) add(node.argument.literal, false);
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0], true);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

const packageOf = (name) => /^(@[^/]+\/)?[^/]+/.exec(name)[0];

/** Imports of one file: [{ target: path relative to src, line, runs }], and what breaks a rule by its spelling alone. */
function importsOf(src, file, packages, violations) {
  const found = [];
  for (const { name, line, runs } of modulesOf(join(src, file))) {
    const broken = (rule) => violations.push({ file: `src/${file}`, line, rule });
    if (name.startsWith('#xlembed/') || name === 'xlembed')
      broken(`src imports by relative path, not ${name}`);
    else if (!/^(\.|node:)/.test(name) && !packages.includes(packageOf(name)))
      broken(`${packageOf(name)} is not among the dependencies of package.json`);
    if (!name.startsWith('.')) continue;
    const target = relative(src, resolve(src, dirname(file), name)).replace(/\.js$/, '.ts');
    if (target.startsWith('..')) broken(`${name} is outside src`);
    else found.push({ target, line, runs });
  }
  return found;
}

/** Depth first over the files and what they load when they run; each edge that closes a circle is named once. */
function findCycles(graph) {
  const state = new Map();
  const path = [];
  const violations = [];
  const visit = (file) => {
    state.set(file, 'open');
    path.push(file);
    for (const { target, line } of graph.get(file).filter((edge) => edge.runs)) {
      if (state.get(target) === 'open') {
        const circle = [...path.slice(path.indexOf(target)), target].join(' -> ');
        violations.push({ file: `src/${file}`, line, rule: `imports must not form a circle: ${circle}` });
      } else if (graph.has(target) && !state.has(target)) {
        visit(target);
      }
    }
    path.pop();
    state.set(file, 'done');
  };
  for (const file of graph.keys()) if (!state.has(file)) visit(file);
  return violations;
}

/** @returns {Violation[]} */
function checkTypeScript(root) {
  const src = join(root, 'src');
  const packages = dependenciesOf(root);
  const violations = [];
  const graph = new Map();
  for (const path of listFiles(src, (name) => name.endsWith('.ts'))) {
    const file = relative(src, path);
    if (rowOf(layerOf(file)) === -1) {
      violations.push({
        file: `src/${file}`,
        line: 1,
        rule: `src/${layerOf(file)} is not in the table of layers`,
      });
    }
    graph.set(file, importsOf(src, file, packages, violations));
    for (const { target, line } of graph.get(file)) {
      const rule = rowOf(layerOf(file)) === -1 ? undefined : judgeImport(file, target);
      if (rule) violations.push({ file: `src/${file}`, line, rule });
    }
  }
  return [...violations, ...findCycles(graph)];
}

function judgeInclude(folder, header, isOwn) {
  const { from, never } = layers.native[folder];
  const kind = never.find((name) => layers.outside[name].test(header));
  if (kind) return `native/${folder} includes nothing of ${kind}: ${header}`;
  const target = header.split('/')[0];
  if (isOwn && target in layers.native && !from.includes(target))
    return `native/${folder} never includes ${target}/`;
  return undefined;
}

/** @returns {Violation[]} */
function checkNative(root) {
  const violations = [];
  for (const path of listFiles(join(root, 'native'), (name) => /\.(h|cpp|cu|cuh)$/.test(name))) {
    const file = relative(root, path);
    const folder = file.split('/')[1];
    if (!(folder in layers.native)) {
      violations.push({ file, line: 1, rule: `native/${folder} is not in the table of layers` });
      continue;
    }
    for (const [index, text] of readFileSync(path, 'utf8').split('\n').entries()) {
      const [, bracket, header] = /^\s*#\s*include\s*([<"])([^>"]+)/.exec(text) ?? [];
      const rule = header && judgeInclude(folder, header, bracket === '"');
      if (rule) violations.push({ file, line: index + 1, rule });
    }
  }
  return violations;
}

/** @returns {Violation[]} every broken rule under root/src and root/native */
export function checkImports(root) {
  return [...checkTypeScript(root), ...checkNative(root)];
}

function main() {
  const root = resolve(process.argv[2] ?? repository);
  if (!existsSync(join(root, 'src')) && !existsSync(join(root, 'native'))) {
    console.error(`${root} has neither src/ nor native/`);
    return 2;
  }
  const violations = checkImports(root);
  for (const { file, line, rule } of violations) console.error(`${file}:${line}: ${rule}`);
  return violations.length > 0 ? 1 : 0;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  process.exitCode = main();
