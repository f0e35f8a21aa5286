import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Encoder } from '../../encoding/encoder.js';
import {
  type Dtype,
  loadNative,
  type NativeTrainer,
  nativeCall,
  type PackedSequences,
} from '../../native.js';
import { pack } from '../../tokenizers/packed.js';
import { ENCODER_SHAPES, type EncoderShape, operationsOf } from './encode_model.js';
import { PythonPeer } from './python_peer.js';
import { median, rounded } from './statistics.js';
import { makeBenchModel, vocabularySize } from './train_model.js';
import {
  equalLengths,
  LONG_PASSAGES,
  paddingShare,
  SHORT_TEXTS,
  type TokenPairs,
  tokenPairs,
} from './train_texts.js';

export interface TrainCase {
  /** Of encode_model.ts. */
  model: string;
  batchSize: number;
  /** Of the cached loss, in texts; 0: the plain one. Ours takes as many tokens as that many average texts have. */
  miniBatch: number;
  rounds: number;
  /** Of every text; without it lengths are spread. */
  textTokens?: number;
  /** Short texts, no peer: the memory of the gradient cache. */
  memory?: boolean;
}

export const TRAIN_CASES: TrainCase[] = [
  { model: 'minilm', batchSize: 64, miniBatch: 0, rounds: 5 },
  { model: 'minilm', batchSize: 256, miniBatch: 0, rounds: 3 },
  { model: 'minilm', batchSize: 1024, miniBatch: 64, rounds: 1 },
];

/** On a GPU. */
export const GPU_TRAIN_CASES: TrainCase[] = [
  { model: 'xlm-r-base', batchSize: 4096, miniBatch: 512, rounds: 3, textTokens: 64 },
];

/** Measured on demand alone: what stands in the way of a large batch is memory, and a peak is of a whole process. */
export const MEMORY_CASE: TrainCase = {
  ...{ model: 'minilm', batchSize: 16_384, miniBatch: 64, rounds: 1, memory: true },
};

export interface TrainResult extends TrainCase {
  tokens: number;
  /** Of sentence-transformers' padded columns. */
  padding: number;
  pairsPerSecond: number;
  /** Share of the time of the model's matrix products alone, real tokens only. */
  boundShare: number;
  /** Of the step, in neither model nor loss nor optimizer. */
  outsideShare: number;
  optimizerShare: number;
  chunks: number;
  /** Of the process up to then, its text and tokens included. */
  peakBytes: number;
  peer: { pairsPerSecond: number; ratio: number; peakBytes: number } | null;
  /** |a - b| / |b| of the two losses on one batch, dropout off, before training: the same work? */
  lossDifference: number | null;
}

export interface BenchTrainOptions {
  cases: readonly TrainCase[];
  device: string;
  /** Of activations and products. */
  precision: Dtype;
  /** Operations per second of matrix products in that precision, measured in this run. */
  operationsPerSecond: number;
  /** Of a Python that has sentence-transformers; null leaves it out. */
  python: string | null;
  onPeer?: (versions: Record<string, string>) => void;
  onResult?: (result: TrainResult) => void | Promise<void>;
}

interface PeerStep {
  seconds: number;
  peakBytes: number;
}

const TEMPERATURE = 0.05;
const LEARNING_RATE = 3e-5;
const WEIGHT_DECAY = 0.01;
/** Tokens in a chunk: enough for full speed, on a processor small enough for caches. */
const chunkTokensOn = (device: string) => (device === 'cpu' ? 4096 : 32_768);

/** Steps of xlembed and of sentence-transformers in turn, round by round, on the same model and token ids. */
export async function benchTrain(options: BenchTrainOptions): Promise<TrainResult[]> {
  using peer = options.python
    ? new PythonPeer('train.py', options.python, loadNative().info().threads)
    : null;
  if (peer) options.onPeer?.(await peer.versions());
  const results: TrainResult[] = [];
  for (const shape of ENCODER_SHAPES) {
    const cases = options.cases.filter(({ model }) => model === shape.name);
    if (cases.length === 0) continue;
    const folder = mkdtempSync(join(tmpdir(), 'xlembed-bench-'));
    const encoder = await makeBenchModel(shape, folder, options.device);
    const model: BenchModel = { shape, encoder, peer, folder: join(folder, 'model') };
    try {
      if (peer) await encoder.save(model.folder);
      const lossDifference = peer ? await compareLosses(model, options) : null;
      for (const one of cases) {
        const result = { ...(await measure(one, model, options)), lossDifference };
        results.push(result);
        await options.onResult?.(result);
      }
    } finally {
      await encoder.dispose();
      rmSync(folder, { recursive: true });
    }
  }
  return results;
}

interface BenchModel {
  shape: EncoderShape;
  encoder: Encoder;
  /** As saved, for the peer. */
  folder: string;
  peer: PythonPeer | null;
}

async function measure(
  one: TrainCase,
  { shape, encoder, peer, folder }: BenchModel,
  options: BenchTrainOptions,
): Promise<Omit<TrainResult, 'lossDifference'>> {
  const { batchSize, rounds } = one;
  const batches = Array.from({ length: rounds === 1 ? 1 : rounds + 1 }, (_, n) =>
    tokenPairs(batchSize, vocabularySize(shape), n, lengthsOf(one)),
  );
  await peer?.ask({ ...peerOptions(one, folder), dropout: true });
  const trainer = await createTrainer(one, encoder, options, true);
  const ours: number[] = [];
  const theirs: number[] = [];
  const outside: number[] = [];
  const optimizer: number[] = [];
  let chunks = 0;
  let theirPeak = 0;
  for (const [round, pairs] of batches.entries()) {
    const answer = peer ? ((await peer.ask(question(pairs))) as PeerStep) : { seconds: 0, peakBytes: 0 };
    const begun = performance.now();
    const result = await nativeCall(() => trainer.step(batch(pairs, round)));
    const seconds = (performance.now() - begun) / 1000;
    chunks = result.chunks;
    // The first round warms up, unless it is the only one that is affordable.
    if (round === 0 && rounds > 1) continue;
    ours.push(seconds);
    theirs.push(answer.seconds);
    theirPeak = answer.peakBytes;
    const inside = result.modelSeconds + result.lossSeconds + result.optimizerSeconds;
    outside.push(1 - inside / seconds);
    optimizer.push(result.optimizerSeconds / seconds);
  }
  trainer.dispose();
  const pairs = batches.at(-1)!;
  const operations = median(batches.map((batch) => stepOperations(shape, batch)));
  const seconds = median(ours);
  return {
    ...one,
    tokens: tokensOf(pairs),
    padding: rounded(paddingShare(pairs)),
    pairsPerSecond: rounded(batchSize / seconds),
    boundShare: rounded(operations / options.operationsPerSecond / seconds),
    outsideShare: rounded(median(outside)),
    optimizerShare: rounded(median(optimizer)),
    chunks,
    peakBytes: process.resourceUsage().maxRSS * 1024,
    peer: peer && {
      pairsPerSecond: rounded(batchSize / median(theirs)),
      ratio: rounded(median(theirs.map((value, k) => value / ours[k]!))),
      peakBytes: theirPeak,
    },
  };
}

const lengthsOf = ({ memory, textTokens }: TrainCase) =>
  textTokens ? equalLengths(textTokens) : memory ? SHORT_TEXTS : LONG_PASSAGES;

async function compareLosses(
  { shape, encoder, peer, folder }: BenchModel,
  options: BenchTrainOptions,
): Promise<number> {
  const one = { model: shape.name, batchSize: 32, miniBatch: 0, rounds: 1 };
  const pairs = tokenPairs(one.batchSize, vocabularySize(shape), 1000);
  await peer!.ask({ ...peerOptions(one, folder), dropout: false, learningRate: 0 });
  const { loss: theirs } = (await peer!.ask(question(pairs))) as { loss: number };
  const trainer = await createTrainer(one, encoder, options, false);
  const { loss: ours } = await nativeCall(() => trainer.evaluate(batch(pairs, 0)));
  trainer.dispose();
  return rounded(Math.abs(ours - theirs) / Math.abs(theirs));
}

const peerOptions = ({ miniBatch }: TrainCase, folder: string) => ({
  command: 'open',
  folder,
  miniBatch,
  temperature: TEMPERATURE,
  learningRate: LEARNING_RATE,
  weightDecay: WEIGHT_DECAY,
});

function question({ queries, passages }: TokenPairs): object {
  return {
    command: 'step',
    queries: queries.map((ids) => Array.from(ids)),
    passages: passages.map((ids) => Array.from(ids)),
  };
}

function batch({ queries, passages }: TokenPairs, step: number) {
  const packed: PackedSequences = pack([...queries, ...passages]);
  return { ...packed, queries: queries.length, step, learningRate: LEARNING_RATE };
}

function createTrainer(
  { miniBatch }: TrainCase,
  encoder: Encoder,
  { device, precision }: BenchTrainOptions,
  dropout: boolean,
): Promise<NativeTrainer> {
  const chunkTokens = chunkTokensOn(device);
  return nativeCall(() =>
    loadNative().createTrainer(encoder.native, {
      temperature: TEMPERATURE,
      symmetric: false,
      weightDecay: WEIGHT_DECAY,
      ...{ beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradientNorm: 1, seed: 0 },
      ...{ dropout, precision, normalize: true },
      chunkTokens,
      // Without a cache all graphs are kept, as the peer keeps them.
      graphTokens: miniBatch === 0 ? 2 ** 40 : chunkTokens,
    }),
  );
}

const lengthsIn = ({ queries, passages }: TokenPairs) =>
  [...queries, ...passages].map(({ length }) => length);

const tokensOf = (pairs: TokenPairs) => lengthsIn(pairs).reduce((sum, length) => sum + length, 0);

/** Of the matrix products of one step, forward and twice backward. */
function stepOperations(shape: EncoderShape, pairs: TokenPairs): number {
  const { linear, attention } = operationsOf(shape, lengthsIn(pairs));
  return 3 * (linear + attention);
}
