import type { Command } from 'commander';
import { inspectModel, type ModelInspection } from '../models/inspect_model.js';
import type { BackboneConfig, HeadModule } from '../native.js';
import { createConsole, settingsLines } from './console.js';
import { type ModelFlags, modelFolder, withSource } from './model_option.js';

type InspectFlags = Omit<ModelFlags, 'model'> & { json?: boolean };

export function addModels(program: Command): void {
  const models = program.command('models').description('Look at models');
  withSource(models.command('inspect'))
    .description('Say what a model is and what of it would be used; loads no weights')
    .argument('<model>', 'folder, or owner/name[@revision] on the hub, which is fetched')
    .option('--json', 'print the description as JSON')
    .action(inspect);
}

async function inspect(model: string, flags: InspectFlags): Promise<void> {
  const console = createConsole(flags);
  const found = await inspectModel(await modelFolder({ ...flags, model }, console));
  console.result(describe(model, found), { model, ...found });
}

function describe(model: string, found: ModelInspection): string {
  const { tokenizer, prompts, usedPrompts, defaultPrompt } = found;
  const dtypes = Object.entries(found.dtypes).map(([dtype, { bytes }]) => `${dtype} ${megabytes(bytes)}`);
  const named = Object.keys(prompts).length > 0 ? prompts : 'none';
  const lines = settingsLines({
    model,
    folder: found.folder,
    commit: found.commit ?? undefined,
    architecture: `${found.modelType}: ${describeBackbone(found.backbone)}`,
    parameters: `${found.parameters.toLocaleString('en')} (${dtypes.join(', ')} on disk)`,
    head: `${found.head.map(describeModule).join(', ')} -> ${found.dimensions} dimensions`,
    similarity: found.similarity,
    input: `${found.maxTokens} tokens, special tokens included`,
    tokenizer: `${tokenizer.kind}, ${tokenizer.vocabularySize.toLocaleString('en')} ids, ${tokenizer.path}`,
    prompts: named,
    'default prompt': defaultPrompt ?? 'none',
    'before queries': JSON.stringify(usedPrompts.query),
    'before passages': JSON.stringify(usedPrompts.passage),
    weights: found.weights.map(({ path }) => path).join(', '),
  });
  const width = Math.max(...found.files.map(({ path }) => path.length));
  const files = found.files.map(({ path, bytes }) => `  ${path.padEnd(width)}  ${megabytes(bytes)}`);
  return [lines, 'files', ...files, ...found.notes.map((note) => `note: ${note}`)].join('\n');
}

function describeBackbone(backbone: BackboneConfig): string {
  const { layers, hiddenSize, vocabularySize } = backbone;
  const vocabulary = `vocabulary ${vocabularySize.toLocaleString('en')}`;
  if (backbone.type === 'lstm') {
    const direction = backbone.bidirectional ? 'bidirectional ' : '';
    return `${layers} ${direction}LSTM layers of ${hiddenSize}, embeddings of ${backbone.embeddingSize}, ${vocabulary}`;
  }
  const { heads, intermediateSize, maxPositions, activation } = backbone;
  return `transformer, ${layers} layers, hidden ${hiddenSize}, ${heads} heads, feed-forward ${intermediateSize} (${activation}), ${maxPositions} positions, ${vocabulary}`;
}

function describeModule(module: HeadModule): string {
  if (module.type === 'pool') return `${module.modes.join(' + ')} pooling`;
  if (module.type === 'normalize') return 'L2 normalisation';
  const { inFeatures, outFeatures, bias, activation } = module;
  return `dense ${inFeatures} -> ${outFeatures} (${bias ? '' : 'no bias, '}${activation})`;
}

function megabytes(bytes: number): string {
  return bytes < 1e5 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
