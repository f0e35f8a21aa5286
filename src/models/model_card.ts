import type { PoolMode } from '../native.js';
import { hiddenSizeOf, outputDimensions } from './layout.js';
import type { ModelDescription } from './open_model.js';

/** What a saved model's README.md says beyond the architecture. */
export interface ModelCard {
  title?: string;
  /** Hugging Face id of the model that training began with. */
  baseModel?: string;
  /** ISO 639-1 codes, or BCP 47 tags. */
  languages?: string[];
  /** SPDX identifier, lower case. */
  license?: string;
  /** Further chapters, in markdown. */
  sections?: { heading: string; body: string }[];
}

const POOL_MODES: Record<PoolMode, string> = {
  first: 'first token',
  max: 'max pooling',
  mean: 'mean pooling',
  mean_sqrt_length: 'sum over the root of the length',
  weighted_mean: 'mean weighted by position',
  last: 'last token',
};

/** README.md of a model folder: Hugging Face's front matter, then what a reader needs to use it. */
export function modelCard(model: ModelDescription, card: ModelCard = {}): string {
  const chapters = [
    `# ${card.title ?? 'Multilingual sentence encoder'}`,
    `A [sentence-transformers](https://www.sbert.net) model: it maps texts to ${outputDimensions(model.head, hiddenSizeOf(model.backbone))}-dimensional vectors for search and comparison.`,
    description(model),
    ...(card.sections ?? []).map(({ heading, body }) => `## ${heading}\n\n${body.trim()}`),
    usage(model),
  ];
  return `${frontMatter(card)}\n${chapters.join('\n\n')}\n`;
}

function frontMatter(card: ModelCard): string {
  const lines = ['---'];
  // Texts are written as JSON, which is YAML.
  if (card.languages?.length)
    lines.push('language:', ...card.languages.map((tag) => `- ${JSON.stringify(tag)}`));
  if (card.license) lines.push(`license: ${JSON.stringify(card.license)}`);
  if (card.baseModel) lines.push(`base_model: ${JSON.stringify(card.baseModel)}`);
  lines.push('library_name: sentence-transformers', 'pipeline_tag: sentence-similarity', 'tags:');
  lines.push('- sentence-transformers', '- sentence-similarity', '- feature-extraction', '---', '');
  return lines.join('\n');
}

function description(model: ModelDescription): string {
  const { layers, hiddenSize, vocabularySize } = model.backbone;
  const head = model.head.map((module) => {
    if (module.type === 'pool') return module.modes.map((mode) => POOL_MODES[mode]).join(' beside ');
    if (module.type === 'normalize') return 'L2 normalisation';
    return `dense ${module.inFeatures} to ${module.outFeatures} (${module.activation})`;
  });
  const prompts = Object.entries(model.prompts).map(([name, text]) => `\`${name}\`: ${JSON.stringify(text)}`);
  return [
    '## Model',
    '',
    `- Encoder: ${model.modelType}, ${layers} layers of ${hiddenSize}, ${vocabularySize} vocabulary entries`,
    `- Head: ${head.join(', ')}`,
    `- Longest input: ${model.maxTokens} tokens`,
    `- Similarity: ${model.similarity}`,
    `- Prompts: ${prompts.join(', ') || 'none'}`,
  ].join('\n');
}

function usage(model: ModelDescription): string {
  const prompt = (name: string) => (Object.hasOwn(model.prompts, name) ? `, prompt_name="${name}"` : '');
  return [
    '## Usage',
    '',
    '```python',
    'from sentence_transformers import SentenceTransformer',
    '',
    'model = SentenceTransformer("path/to/this/folder")',
    `queries = model.encode(["How far away is the moon?"]${prompt('query')})`,
    `passages = model.encode(["Der Mond ist 384400 km entfernt."]${prompt('document')})`,
    'print(model.similarity(queries, passages))',
    '```',
  ].join('\n');
}
