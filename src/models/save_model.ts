import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { XlembedError } from '../errors.js';
import { type FolderKind, writeFolderBeside } from '../files/write_folder.js';
import {
  type Dtype,
  type HeadModule,
  type NativeEncoder,
  nativeValue,
  type ParameterInfo,
} from '../native.js';
import { isModelFile } from './hub/files.js';
import { writeLaserFiles } from './laser.js';
import { backboneLayout, headLayout, hiddenSizeOf, type Layout } from './layout.js';
import { type ModelCard, modelCard } from './model_card.js';
import type { ModelDescription } from './open_model.js';
import { poolingConfig } from './pooling.js';
import { promptFor } from './prompts.js';
import { writeSafetensors } from './safetensors_writer.js';
import { savedTransformerName } from './tensor_names.js';
import { copyTokenizerFiles } from './tokenizer_files.js';

/** Beside a model's files: its card, and what a training run has left of itself. */
const COMPANIONS = new Set([
  'README.md',
  '.gitattributes',
  'adapter',
  'training.json',
  'training_log.jsonl',
  'tensorboard',
  'report.html',
]);

export const MODEL_FOLDER: FolderKind = {
  what: 'a model',
  // Modules have folders of their own, such as 1_Pooling.
  isOurs: (name) => isModelFile(name) || COMPANIONS.has(name) || /^\d+_[A-Za-z]+$/.test(name),
};

/** What saveModel needs of an encoder. */
export type ParameterSource = Pick<NativeEncoder, 'parameters' | 'writeParameters'>;

export interface SaveOptions {
  /** Replace an existing folder that holds a model and nothing else; default false. */
  overwrite?: boolean;
  /** Element type of the weights on disk; default: each parameter's own. */
  dtype?: Dtype;
  card?: ModelCard;
}

const ARCHITECTURES: Record<string, string> = {
  bert: 'BertModel',
  roberta: 'RobertaModel',
  'xlm-roberta': 'XLMRobertaModel',
  camembert: 'CamembertModel',
  distilbert: 'DistilBertModel',
};

const DENSE_ACTIVATIONS: Record<Extract<HeadModule, { type: 'dense' }>['activation'], string> = {
  tanh: 'torch.nn.modules.activation.Tanh',
  identity: 'torch.nn.modules.linear.Identity',
  relu: 'torch.nn.modules.activation.ReLU',
  gelu: 'torch.nn.modules.activation.GELU',
};

/**
 * Writes a sentence-transformers folder that versions 3 to 6 and transformers' AutoModel and AutoTokenizer open; for
 * LASER-2, which they do not know, a folder of our own without a card (docs/models-laser2.md). It is written beside
 * `folder` and renamed when complete. Throws FILE_EXISTS, FILE_WRITE_FAILED, DISPOSED, what loadTokenizer() throws, and
 * MODEL_INVALID when the encoder's parameters are not those of the description.
 */
export async function saveModel(
  model: ModelDescription,
  encoder: ParameterSource,
  folder: string,
  options: SaveOptions = {},
): Promise<void> {
  const prompts = savedPrompts(model);
  const backbone = backboneLayout(model.backbone);
  const layout = new Map([...backbone, ...headLayout(model.head)]);
  const parameters = checkParameters(
    nativeValue(() => encoder.parameters()),
    layout,
  );
  await writeFolderBeside(folder, options.overwrite ? MODEL_FOLDER : undefined, async (temporary) => {
    const weights = new WeightsWriter(encoder, parameters, options.dtype);
    const savedName = (name: string) => savedTransformerName(model.modelType, name);
    await weights.write(join(temporary, 'model.safetensors'), backbone, savedName);
    if (model.backbone.type === 'lstm') return writeLaserFiles(model, temporary);
    await writeJson(join(temporary, 'config.json'), savedConfig(model, weights.dtype));
    await writeEncodingFiles({ ...model, prompts }, temporary);
    await writeModules(model, temporary, weights);
    await copyTokenizerFiles(model.tokenizerPath, temporary, model.maxTokens);
    await writeFile(join(temporary, 'README.md'), modelCard({ ...model, prompts }, options.card));
  });
}

function checkParameters(parameters: readonly ParameterInfo[], layout: Layout): Map<string, ParameterInfo> {
  const byName = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  const unknown = parameters.find(({ name }) => !layout.has(name));
  if (unknown) throw wrongParameters(`a parameter ${unknown.name} that the model does not have`);
  for (const [name, shape] of layout) {
    const received = byName.get(name)?.shape.join(', ');
    if (received === undefined) throw wrongParameters(`no parameter ${name}`);
    if (received !== shape.join(', ')) {
      throw wrongParameters(`${name} of shape [${received}], expected [${shape.join(', ')}]`);
    }
  }
  return byName;
}

function wrongParameters(what: string): XlembedError {
  return new XlembedError(
    'MODEL_INVALID',
    `the encoder has ${what}`,
    'save with the description it was made from',
  );
}

/** Writes some of an encoder's parameters to one file, under the names that it has for them. */
class WeightsWriter {
  readonly dtype: Dtype;

  constructor(
    private readonly encoder: ParameterSource,
    private readonly parameters: Map<string, ParameterInfo>,
    private readonly wanted: Dtype | undefined,
  ) {
    this.dtype = wanted ?? [...parameters.values()][0]!.dtype;
  }

  async write(path: string, layout: Layout, savedName: (name: string) => string): Promise<void> {
    const names = new Map([...layout.keys()].map((name) => [savedName(name), name]));
    const tensors = [...names].map(([saved, name]) => ({
      name: saved,
      shape: layout.get(name)!,
      dtype: this.wanted ?? this.parameters.get(name)!.dtype,
    }));
    // transformers refuses files that do not say which framework wrote them.
    await writeSafetensors(path, tensors, { format: 'pt' }, (targets) =>
      this.encoder.writeParameters(targets.map((target) => ({ ...target, name: names.get(target.name)! }))),
    );
  }
}

/** The source's config.json with what saving changes: the bare encoder, and its element type. */
function savedConfig(model: ModelDescription, dtype: Dtype): Record<string, unknown> {
  const { dtype: _newName, torch_dtype: _oldName, _name_or_path, ...kept } = model.hfConfig;
  return { ...kept, architectures: [ARCHITECTURES[model.modelType]], torch_dtype: dtype };
}

/** sentence-transformers' encode_document takes the prompt of passages from `document` alone, which is empty if absent. */
function savedPrompts({ prompts }: ModelDescription): Record<string, string> {
  const passage = promptFor({ prompts }, 'passage');
  return passage === '' ? prompts : { ...prompts, document: passage };
}

async function writeEncodingFiles(model: ModelDescription, folder: string): Promise<void> {
  await writeJson(join(folder, 'config_sentence_transformers.json'), {
    model_type: 'SentenceTransformer',
    prompts: model.prompts,
    default_prompt_name: model.defaultPrompt,
    similarity_fn_name: model.similarity,
  });
  await writeJson(join(folder, 'sentence_bert_config.json'), {
    max_seq_length: model.maxTokens,
    do_lower_case: model.lowerCase,
  });
}

/** modules.json and the modules' folders, in the spelling of versions 3 to 5, which 6 reads too. */
async function writeModules(model: ModelDescription, folder: string, weights: WeightsWriter): Promise<void> {
  const entries = [moduleEntry(0, '', 'Transformer')];
  for (const [position, module] of model.head.entries()) {
    const type = { pool: 'Pooling', dense: 'Dense', normalize: 'Normalize' }[module.type];
    const path = `${position + 1}_${type}`;
    entries.push(moduleEntry(position + 1, path, type));
    await mkdir(join(folder, path));
    if (module.type === 'pool') {
      await writeJson(
        join(folder, path, 'config.json'),
        poolingConfig(module.modes, hiddenSizeOf(model.backbone), model.includePrompt),
      );
    } else if (module.type === 'dense') {
      const { inFeatures, outFeatures, bias, activation } = module;
      const activationFunction = DENSE_ACTIVATIONS[activation];
      await writeJson(join(folder, path, 'config.json'), {
        in_features: inFeatures,
        out_features: outFeatures,
        bias,
        activation_function: activationFunction,
      });
      const prefix = `dense.${position}.`;
      const own = new Map([...headLayout(model.head)].filter(([name]) => name.startsWith(prefix)));
      await weights.write(join(folder, path, 'model.safetensors'), own, (name) => name.slice(prefix.length));
    }
  }
  await writeJson(join(folder, 'modules.json'), entries);
}

function moduleEntry(idx: number, path: string, type: string) {
  return { idx, name: String(idx), path, type: `sentence_transformers.models.${type}` };
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFile(path, `${JSON.stringify(value, null, 2)}\n`);
}
