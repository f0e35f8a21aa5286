import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { XlembedError } from '../errors.js';
import { type FolderKind, writeFolderBeside } from '../files/write_folder.js';
import { type NativeEncoder, type NativeLoraOptions, nativeCall, type TensorSource } from '../native.js';
import { parseFields, readJson } from './json_file.js';
import { readSafetensorsHeader } from './safetensors.js';
import { writeSafetensors } from './safetensors_writer.js';
import { NATIVE_DTYPES } from './stored_tensor.js';
import { savedTransformerName } from './tensor_names.js';

/** Low-rank adapters: of which modules and layers, and how large. */
export type LoraOptions = Pick<NativeLoraOptions, 'rank' | 'alpha' | 'dropout' | 'targets' | 'layers'>;

export const ADAPTER_CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';
const ADAPTER_FOLDER: FolderKind = {
  what: 'adapters',
  isOurs: (name) => [ADAPTER_CONFIG, WEIGHTS, 'README.md'].includes(name),
};
/** PEFT's names for modules begin with what it wraps them in. */
const PREFIX = 'base_model.model.';

/** What of PEFT's configuration changes the result; a value that is not listed here is refused. */
const schema = z.object({
  peft_type: z.literal('LORA'),
  r: z.int().min(1),
  lora_alpha: z.number(),
  lora_dropout: z.number().min(0).lt(1).default(0),
  target_modules: z.array(z.string()),
  layers_to_transform: z.union([z.array(z.int()), z.int(), z.null()]).optional(),
  bias: z.literal('none').default('none'),
  use_rslora: z.literal(false).default(false),
  use_dora: z.literal(false).default(false),
  fan_in_fan_out: z.literal(false).default(false),
  rank_pattern: z.strictObject({}).default({}),
  alpha_pattern: z.strictObject({}).default({}),
  modules_to_save: z.null().optional(),
});

/**
 * Writes an encoder's adapters as a folder that Python's PEFT opens over the same base model. Throws FILE_EXISTS,
 * FILE_WRITE_FAILED, DISPOSED.
 */
export async function saveAdapter(
  encoder: Pick<NativeEncoder, 'adapterParameters' | 'writeAdapters'>,
  { rank, alpha, dropout, layers }: LoraOptions,
  folder: string,
  options: { baseModel: string; modelType: string; overwrite?: boolean },
): Promise<void> {
  const parameters = await nativeCall(() => encoder.adapterParameters());
  const savedName = (name: string) => PREFIX + savedTransformerName(options.modelType, name);
  const names = new Map(parameters.map(({ name }) => [savedName(name), name]));
  const config = {
    ...{ peft_type: 'LORA', task_type: 'FEATURE_EXTRACTION', base_model_name_or_path: options.baseModel },
    ...{ r: rank, lora_alpha: alpha, lora_dropout: dropout, target_modules: modulesOf(names.keys()) },
    layers_to_transform: layers.length > 0 ? layers : layersOf(parameters.map(({ name }) => name)),
    ...{ bias: 'none', fan_in_fan_out: false, inference_mode: true, init_lora_weights: true },
    modules_to_save: null,
  };
  await writeFolderBeside(folder, options.overwrite ? ADAPTER_FOLDER : undefined, async (temporary) => {
    await writeFile(join(temporary, ADAPTER_CONFIG), `${JSON.stringify(config, null, 2)}\n`);
    const tensors = parameters.map((parameter) => ({ ...parameter, name: savedName(parameter.name) }));
    await writeSafetensors(join(temporary, WEIGHTS), tensors, { format: 'pt' }, (targets) =>
      encoder.writeAdapters(targets.map((target) => ({ ...target, name: names.get(target.name)! }))),
    );
  });
}

/** What PEFT finds at the end of its modules' names. */
function modulesOf(names: Iterable<string>): string[] {
  return [...new Set([...names].map((name) => /\.\d+\.(.+)\.lora_/.exec(name)![1]!))];
}

/** Written out, so that PEFT leaves modules outside the encoder's layers alone (`dense` is the pooler's name too). */
function layersOf(names: readonly string[]): number[] {
  const layers = names.map((name) => Number(/\.(\d+)\./.exec(name)?.[1]));
  return [...new Set(layers)].sort((a, b) => a - b);
}

/** Options and tensors of a folder that PEFT or saveAdapter wrote. Throws FILE_NOT_FOUND, MODEL_UNSUPPORTED. */
export function readAdapter(folder: string): LoraOptions & { sources: TensorSource[] } {
  const path = join(folder, ADAPTER_CONFIG);
  const config = parseFields(schema, readJson(path), path, 'MODEL_UNSUPPORTED');
  const sources = readSafetensorsHeader(join(folder, WEIGHTS)).tensors.map((tensor) => {
    const dtype = NATIVE_DTYPES[tensor.dtype];
    if (!dtype || !tensor.name.startsWith(PREFIX)) {
      throw new XlembedError(
        'MODEL_UNSUPPORTED',
        `${tensor.path}: ${tensor.name} of type ${tensor.dtype}`,
        `expected names that begin with ${PREFIX}, and F32, F16 or BF16`,
      );
    }
    const { path, offset, shape } = tensor;
    return { name: tensor.name.slice(PREFIX.length), path, offset, shape, dtype };
  });
  const layers = config.layers_to_transform ?? [];
  return {
    rank: config.r,
    alpha: config.lora_alpha,
    dropout: config.lora_dropout,
    targets: config.target_modules,
    layers: typeof layers === 'number' ? [layers] : layers,
    sources,
  };
}
