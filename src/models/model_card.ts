import { hiddenSizeOf } from './layout.js';
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

/** README.md of a model folder: Hugging Face's front matter, then what a reader needs to use it. */
export function modelCard(model: ModelDescription, card: ModelCard = {}): string {
  const chapters = [
    `# ${card.title ?? 'Multilingual sentence encoder'}`,
    `A [sentence-transformers](https://www.sbert.net) model: it maps texts to ${outputDimensions(model)}-dimensional vectors for search and comparison.`,
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

function outputDimensions(model: ModelDescription): number {
  const dense = model.head.findLast((module) => module.type === 'dense');
  return dense?.outFeatures ?? hiddenSizeOf(model.backbone);
}

function description(model: ModelDescription): string {
  const { layers, hiddenSize, vocabularySize } = model.backbone;
  const head = model.head.map((module) => {
    if (module.type === 'pool')
      return { mean: 'mean pooling', first: 'first token', max: 'max pooling' }[module.mode];
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
  const passage = ['passage', 'document', 'corpus'].find((name) => Object.hasOwn(model.prompts, name)) ?? '';
  return [
    '## Usage',
    '',
    '```python',
    'from sentence_transformers import SentenceTransformer',
    '',
    'model = SentenceTransformer("path/to/this/folder")',
    `queries = model.encode(["How far away is the moon?"]${prompt('query')})`,
    `passages = model.encode(["Der Mond ist 384400 km entfernt."]${prompt(passage)})`,
    'print(model.similarity(queries, passages))',
    '```',
  ].join('\n');
}
