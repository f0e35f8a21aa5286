import { XlembedError } from '../errors.js';
import type { BackboneConfig, HeadModule, LstmConfig, TensorSource, TransformerConfig } from '../native.js';
import { NATIVE_DTYPES, type StoredTensor } from './stored_tensor.js';

/** Canonical tensor name -> shape: what the native encoder asks for. Hugging Face's names without a prefix. */
export type Layout = Map<string, number[]>;

/** Tensors of what comes before the head. */
export function backboneLayout(config: BackboneConfig): Layout {
  return config.type === 'lstm' ? lstmLayout(config) : transformerLayout(config);
}

/** LASER-2's names. Each matrix stacks the gates i, f, g, o. */
export function lstmLayout(config: LstmConfig): Layout {
  const gates = 4 * config.hiddenSize;
  const directions = config.bidirectional ? ['', '_reverse'] : [''];
  const layout: Layout = new Map([['embed_tokens.weight', [config.vocabularySize, config.embeddingSize]]]);
  for (let layer = 0; layer < config.layers; layer++) {
    const input = layer === 0 ? config.embeddingSize : directions.length * config.hiddenSize;
    for (const direction of directions) {
      const suffix = `l${layer}${direction}`;
      layout.set(`lstm.weight_ih_${suffix}`, [gates, input]);
      layout.set(`lstm.weight_hh_${suffix}`, [gates, config.hiddenSize]);
      layout.set(`lstm.bias_ih_${suffix}`, [gates]);
      layout.set(`lstm.bias_hh_${suffix}`, [gates]);
    }
  }
  return layout;
}

/** Token vectors' length: what the head receives. */
export function hiddenSizeOf(config: BackboneConfig): number {
  return config.type === 'lstm' && config.bidirectional ? 2 * config.hiddenSize : config.hiddenSize;
}

/** An embedding's length. */
export function outputDimensions(head: readonly HeadModule[], hiddenSize: number): number {
  return head.reduce((size, module) => {
    if (module.type === 'pool') return size * module.modes.length;
    return module.type === 'dense' ? module.outFeatures : size;
  }, hiddenSize);
}

/** Tensors of the transformer. Linear weights are (out, in). */
export function transformerLayout(config: TransformerConfig): Layout {
  const { hiddenSize: hidden, intermediateSize: intermediate } = config;
  const layout: Layout = new Map([
    ['embeddings.word_embeddings.weight', [config.vocabularySize, hidden]],
    ['embeddings.position_embeddings.weight', [config.maxPositions, hidden]],
  ]);
  if (config.tokenTypes > 0)
    layout.set('embeddings.token_type_embeddings.weight', [config.tokenTypes, hidden]);
  addNorm(layout, 'embeddings.LayerNorm', hidden);
  for (let layer = 0; layer < config.layers; layer++) {
    const at = `encoder.layer.${layer}`;
    for (const part of ['query', 'key', 'value'])
      addLinear(layout, `${at}.attention.self.${part}`, hidden, hidden);
    addLinear(layout, `${at}.attention.output.dense`, hidden, hidden);
    addNorm(layout, `${at}.attention.output.LayerNorm`, hidden);
    addLinear(layout, `${at}.intermediate.dense`, intermediate, hidden);
    addLinear(layout, `${at}.output.dense`, hidden, intermediate);
    addNorm(layout, `${at}.output.LayerNorm`, hidden);
  }
  return layout;
}

/** Tensors of the head; K in `dense.K.linear` is the module's position in the head list. */
export function headLayout(head: readonly HeadModule[]): Layout {
  const layout: Layout = new Map();
  for (const [position, module] of head.entries()) {
    if (module.type !== 'dense') continue;
    layout.set(`dense.${position}.linear.weight`, [module.outFeatures, module.inFeatures]);
    if (module.bias) layout.set(`dense.${position}.linear.bias`, [module.outFeatures]);
  }
  return layout;
}

function addLinear(layout: Layout, name: string, outFeatures: number, inFeatures: number): void {
  layout.set(`${name}.weight`, [outFeatures, inFeatures]);
  layout.set(`${name}.bias`, [outFeatures]);
}

function addNorm(layout: Layout, name: string, size: number): void {
  layout.set(`${name}.weight`, [size]);
  layout.set(`${name}.bias`, [size]);
}

/**
 * The file's tensors by canonical name. `canonicalName` gives undefined for tensors that are not wanted.
 * Throws TENSOR_MISSING, TENSOR_SHAPE_MISMATCH, and MODEL_UNSUPPORTED for elements that the encoder cannot take as
 * they lie.
 */
export function mapTensors(
  layout: Layout,
  tensors: readonly StoredTensor[],
  canonicalName: (name: string) => string | undefined,
): TensorSource[] {
  const found = new Map<string, StoredTensor>();
  for (const tensor of tensors) {
    const name = canonicalName(tensor.name);
    if (name === undefined || !layout.has(name)) continue;
    const other = found.get(name);
    if (other) throw ambiguous(name, other, tensor);
    found.set(name, tensor);
  }
  return [...layout].map(([name, shape]) => toSource(name, shape, found.get(name), tensors));
}

function toSource(
  name: string,
  expected: number[],
  tensor: StoredTensor | undefined,
  all: readonly StoredTensor[],
): TensorSource {
  if (!tensor) throw missing(name, expected, all);
  const { path, offset, shape } = tensor;
  if (shape.length !== expected.length || shape.some((size, axis) => size !== expected[axis])) {
    throw new XlembedError(
      'TENSOR_SHAPE_MISMATCH',
      `${path}: expected shape [${expected.join(', ')}] for ${tensor.name}, received [${shape.join(', ')}]`,
      'the weights do not belong to this configuration',
    );
  }
  return { name, path, offset, shape, dtype: nativeDtype(tensor) };
}

function nativeDtype(tensor: StoredTensor) {
  const dtype = NATIVE_DTYPES[tensor.dtype];
  if (dtype && tensor.contiguous) return dtype;
  const what = dtype
    ? 'is not contiguous'
    : `has dtype ${tensor.dtype}, supported: ${Object.keys(NATIVE_DTYPES).join(', ')}`;
  throw new XlembedError(
    'MODEL_UNSUPPORTED',
    `${tensor.path}: tensor "${tensor.name}" ${what}`,
    'load the model in Python and save it again with save_pretrained',
  );
}

function missing(name: string, shape: number[], all: readonly StoredTensor[]): XlembedError {
  const where = all[0]?.path ?? 'the weights file';
  return new XlembedError(
    'TENSOR_MISSING',
    `${where}: expected a tensor ${name} of shape [${shape.join(', ')}] among ${all.length} tensors, found none`,
    'the weights do not belong to this configuration',
  );
}

function ambiguous(name: string, one: StoredTensor, other: StoredTensor): XlembedError {
  return new XlembedError(
    'MODEL_INVALID',
    `${one.path}: "${one.name}" and "${other.name}" both stand for ${name}`,
    'keep one encoder per file',
  );
}
