#!/usr/bin/env node
// Whoever calls the public API can name its types: what an exported declaration mentions is exported too.
// usage: node scripts/check-exports.mjs [folder]   of the compiled package (default: dist); exit code 1 when a type is missing
import { realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from './setup/shared.mjs';

const ts = createRequire(import.meta.url)('typescript');

/** `Name of file`, for each type that index.d.ts mentions and does not export; sorted. */
export function missingExports(folder) {
  const entry = join(folder, 'index.d.ts');
  const options = { module: ts.ModuleKind.NodeNext, types: [], noEmit: true };
  const program = ts.createProgram([entry], options);
  const checker = program.getTypeChecker();
  const original = (symbol) =>
    symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  const index = checker.getSymbolAtLocation(program.getSourceFile(entry));
  const exported = new Set(checker.getExportsOfModule(index).map(original));
  const missing = new Set();
  const visit = (node) => {
    const name = nameOfType(node);
    const symbol = name && checker.getSymbolAtLocation(name);
    if (symbol) judge(original(symbol));
    ts.forEachChild(node, visit);
  };
  const judge = (symbol) => {
    const file = symbol.declarations?.[0]?.getSourceFile().fileName;
    const isOwn = file?.startsWith(`${folder}/`) && !(symbol.flags & ts.SymbolFlags.TypeParameter);
    if (isOwn && !exported.has(symbol)) missing.add(`${symbol.name} of ${relative(folder, file)}`);
  };
  for (const symbol of exported) symbol.declarations?.forEach(visit);
  return [...missing].sort();
}

function nameOfType(node) {
  if (ts.isTypeReferenceNode(node)) return node.typeName;
  if (ts.isExpressionWithTypeArguments(node)) return node.expression;
  return undefined;
}

function main() {
  const missing = missingExports(resolve(process.argv[2] ?? join(root, 'dist')));
  for (const name of missing) console.error(`src/index.ts: does not export ${name}, which it mentions`);
  return missing.length > 0 ? 1 : 0;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  process.exitCode = main();
