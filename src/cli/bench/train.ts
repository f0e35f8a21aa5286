import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Encoder } from '../../encoding/encoder.js';
import { loadNative, type NativeTrainer, nativeCall, type PackedSequences } from '../../native.js';
import { pack } from '../../tokenizers/packed.js';
import { PythonPeer } from './python_peer.js';
import { median, rounded } from './statistics.js';
import { makeBenchModel, SHAPE } from './train_model.js';
import { LONG_PASSAGES, paddingShare, SHORT_TEXTS, type TokenPairs, tokenPairs } from './train_texts.js';

export interface TrainCase {
  batchSize: number;
  /** Of the cached loss, in texts; 0: the plain one. Ours takes as many tokens as that many average texts have. */
  miniBatch: number;
  rounds: number;
  /** Short texts, no peer: the memory of the gradient cache. */
  memory?: boolean;
}

export const TRAIN_CASES: TrainCase[] = [
  { batchSize: 64, miniBatch: 0, rounds: 5 },
  { batchSize: 256, miniBatch: 0, rounds: 3 },
  { batchSize: 1024, miniBatch: 64, rounds: 1 },
];

/** Measured on demand alone: what stands in the way of a large batch is memory, and a peak is of a whole process. */
export const MEMORY_CASE: TrainCase = { batchSize: 16_384, miniBatch: 64, rounds: 1, memory: true };

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
  /** float32 operations per second of matrix products, measured in this run. */
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
/** Tokens in a chunk where the batch is to fit memory at once: enough for full speed, small enough for caches. */
const CHUNK_TOKENS = 4096;

/** Steps of xlembed and of sentence-transformers in turn, round by round, on the same model and token ids. */
export async function benchTrain(options: BenchTrainOptions): Promise<TrainResult[]> {
  const folder = mkdtempSync(join(tmpdir(), 'xlembed-bench-'));
  const encoder = await makeBenchModel(folder);
  using peer = options.python
    ? new PythonPeer('train.py', options.python, loadNative().info().threads)
    : null;
  const results: TrainResult[] = [];
  try {
    const model = join(folder, 'model');
    if (peer) options.onPeer?.(await peer.versions());
    const lossDifference = peer ? await compareLosses(encoder, peer, model) : null;
    for (const one of options.cases) {
      const measured = await measure(one, encoder, peer, model, options.operationsPerSecond);
      const result = { ...measured, lossDifference };
      results.push(result);
      await options.onResult?.(result);
    }
    return results;
  } finally {
    await encoder.dispose();
    rmSync(folder, { recursive: true });
  }
}

async function measure(
  one: TrainCase,
  encoder: Encoder,
  peer: PythonPeer | null,
  folder: string,
  operationsPerSecond: number,
): Promise<Omit<TrainResult, 'lossDifference'>> {
  const { batchSize, rounds } = one;
  const lengths = one.memory ? SHORT_TEXTS : LONG_PASSAGES;
  const batches = Array.from({ length: rounds === 1 ? 1 : rounds + 1 }, (_, n) =>
    tokenPairs(batchSize, SHAPE.vocab_size, n, lengths),
  );
  await peer?.ask({ ...peerOptions(one, folder), dropout: true });
  const trainer = await createTrainer(one, encoder, true);
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
  const operations = median(batches.map(operationsOf));
  const seconds = median(ours);
  return {
    ...one,
    tokens: tokensOf(pairs),
    padding: rounded(paddingShare(pairs)),
    pairsPerSecond: rounded(batchSize / seconds),
    boundShare: rounded(operations / operationsPerSecond / seconds),
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

async function compareLosses(encoder: Encoder, peer: PythonPeer, folder: string): Promise<number> {
  const one = { batchSize: 32, miniBatch: 0, rounds: 1 };
  const pairs = tokenPairs(one.batchSize, SHAPE.vocab_size, 1000);
  await peer.ask({ ...peerOptions(one, folder), dropout: false, learningRate: 0 });
  const { loss: theirs } = (await peer.ask(question(pairs))) as { loss: number };
  const trainer = await createTrainer(one, encoder, false);
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

function createTrainer({ miniBatch }: TrainCase, encoder: Encoder, dropout: boolean): Promise<NativeTrainer> {
  const chunkTokens = CHUNK_TOKENS;
  return nativeCall(() =>
    loadNative().createTrainer(encoder.native, {
      temperature: TEMPERATURE,
      symmetric: false,
      weightDecay: WEIGHT_DECAY,
      ...{ beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradientNorm: 1, seed: 0 },
      dropout,
      normalize: true,
      chunkTokens,
      // Without a cache all graphs are kept, as the peer keeps them.
      graphTokens: miniBatch === 0 ? 2 ** 40 : chunkTokens,
    }),
  );
}

const tokensOf = ({ queries, passages }: TokenPairs) =>
  [...queries, ...passages].reduce((sum, { length }) => sum + length, 0);

/** Of the products of one step, forward and twice backward: a layer's, and attention's over each length. */
function operationsOf({ queries, passages }: TokenPairs): number {
  const { hidden_size: h, intermediate_size: f, num_hidden_layers: layers } = SHAPE;
  return [...queries, ...passages].reduce(
    (sum, { length }) => sum + 3 * layers * length * (2 * (4 * h * h + 2 * h * f) + 4 * length * h),
    0,
  );
}
