import { Encoder } from '../../encoding/encoder.js';
import type { EncoderDtype } from '../../native.js';
import type { CaseResult, ImplementationResult } from '../../report/benchmark_results.js';
import { type EncoderShape, operationsOf } from './encode_model.js';
import type { EncodePeers } from './encode_peers.js';
import { ProductsAlone, SquareProducts } from './encode_products.js';
import { median, medianDeviation, rounded } from './statistics.js';

export interface EncodeCase {
  /** `encode minilm, mix` */
  op: string;
  dtype: EncoderDtype;
  /** What the curves are drawn against, and what is fixed: texts, threads, ... */
  shape: Record<string, number>;
  encoder: EncoderShape;
  texts: string[];
  /** Tokens kept of each text. */
  maxTokens: number;
}

export interface EncodeCaseOptions {
  /** The model's folder. */
  folder: string;
  device: string;
  rounds: number;
  peers: EncodePeers | null;
}

interface Runner {
  name: string;
  kind: ImplementationResult['kind'];
  run(): Promise<number>;
  /** Embeddings of the first texts, row after row; null for products alone. */
  sample: () => Float32Array | null;
}

const productsAlone = 'products alone';
const squareProducts = 'square products';

/** Texts in the warm-up, and in the comparison of the embeddings. */
const SAMPLE = 32;

/**
 * Embeds a set of texts with xlembed, with each peer and as matrix products alone, in turn, round by round: whole calls
 * from texts to embeddings, tokenizer included. `difference` is that of the embeddings from xlembed's in float32.
 */
export async function measureEncoding(one: EncodeCase, options: EncodeCaseOptions): Promise<CaseResult> {
  const { folder, device, peers, rounds } = options;
  const { dtype, texts, maxTokens } = one;
  const encoder = await Encoder.load(folder, { dtype, maxTokens, device });
  try {
    const lengths = await tokenLengths(encoder, texts);
    const products = await ProductsAlone.create(one.encoder, dtype, lengths, device);
    const { linear, attention } = operationsOf(one.encoder, lengths);
    // A processor may have no instruction for narrower types, and libtorch no fast product then.
    const hasSquare = device !== 'cpu' || dtype === 'float32';
    const square = hasSquare ? await SquareProducts.create(linear + attention, dtype, device) : null;
    const expected = await inFloat32(one, options);
    const runners: Runner[] = [
      ownRunner(encoder, texts),
      // Right behind what is held against them: a peer's threads may spin for a while after its turn.
      ...(square ? [productsRunner(squareProducts, square)] : []),
      productsRunner(productsAlone, products),
      ...(peers?.able(dtype, maxTokens) ?? []).map((name) => peerRunner(name, one, options)),
    ];
    for (const { run } of [ownRunner(encoder, texts.slice(0, SAMPLE)), ...warmUps(one, options)]) await run();
    const samples = runners.map((): number[] => []);
    const tokenizing: number[] = [];
    for (let round = 0; round < rounds; ++round) {
      for (const [i, runner] of runners.entries()) samples[i]!.push(await runner.run());
      tokenizing.push(await secondsOf(() => encoder.tokenizer.tokenize(texts)));
    }
    products.dispose();
    square?.dispose();
    const work = {
      texts: texts.length,
      tokens: lengths.reduce((sum, length) => sum + length, 0),
      tokenizerShare: rounded(median(tokenizing.map((seconds, k) => seconds / samples[0]![k]!))),
    };
    const implementations = runners.map((runner, i) =>
      judge(runner, runners, samples, i, linear + attention, dtype, expected),
    );
    const { op, shape } = one;
    return { op, dtype, shape, rounds, roundMargin: rounded(margin(samples)), work, implementations };
  } finally {
    await encoder.dispose();
  }
}

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
}

async function tokenLengths(encoder: Encoder, texts: readonly string[]): Promise<number[]> {
  const { cumulativeSeqLengths } = await encoder.tokenizer.tokenize(texts);
  return Array.from(
    { length: texts.length },
    (_, b) => cumulativeSeqLengths[b + 1]! - cumulativeSeqLengths[b]!,
  );
}

async function inFloat32(
  { texts, maxTokens }: EncodeCase,
  { folder, device }: EncodeCaseOptions,
): Promise<Float32Array> {
  const encoder = await Encoder.load(folder, { maxTokens, device });
  const { data } = await encoder.encode(texts.slice(0, SAMPLE));
  await encoder.dispose();
  return data;
}

function ownRunner(encoder: Encoder, texts: readonly string[]): Runner {
  let data: Float32Array = new Float32Array(0);
  const run = () =>
    secondsOf(async () => {
      data = (await encoder.encode(texts)).data;
    });
  const sample = () => data.subarray(0, SAMPLE * encoder.dimensions);
  return { name: 'xlembed', kind: 'xlembed', run, sample };
}

const productsRunner = (name: string, products: { seconds(): Promise<number> }): Runner => ({
  ...{ name, kind: 'products', run: () => products.seconds(), sample: () => null },
});

function peerRunner(
  name: ReturnType<EncodePeers['able']>[number],
  { dtype, texts, maxTokens }: EncodeCase,
  { peers, folder }: EncodeCaseOptions,
): Runner {
  let values = new Float32Array(0);
  const run = async () => {
    const { seconds, sample } = await peers!.run(name, dtype, folder, texts, maxTokens);
    values = Float32Array.from(sample.flat());
    return seconds;
  };
  return { name, kind: 'peer', run, sample: () => values };
}

const warmUps = (one: EncodeCase, options: EncodeCaseOptions): Runner[] =>
  (options.peers?.able(one.dtype, one.maxTokens) ?? []).map((name) =>
    peerRunner(name, { ...one, texts: one.texts.slice(0, SAMPLE) }, options),
  );

/** All ratios are of times taken in the same round. */
function judge(
  { name, kind, sample }: Runner,
  runners: readonly Runner[],
  samples: readonly number[][],
  own: number,
  operations: number,
  arithmetic: EncoderDtype,
  expected: Float32Array,
): ImplementationResult {
  const seconds = samples[own]!;
  const alone = samples[runners.findIndex(({ name }) => name === productsAlone)]!;
  const paired = (others: readonly number[]) =>
    rounded(median(others.map((other, k) => other / seconds[k]!)));
  const values = sample();
  const peers = runners.flatMap((peer, i) =>
    kind === 'xlembed' && (peer.kind === 'peer' || peer.name === squareProducts)
      ? [{ peer: peer.name, ratio: paired(samples[i]!) }]
      : [],
  );
  return {
    ...{ name, kind, seconds: rounded(median(seconds)), deviation: rounded(medianDeviation(seconds)) },
    ...{ fastest: rounded(Math.min(...seconds)), bytes: 0, operations, arithmetic },
    boundSeconds: rounded(paired(alone) * median(seconds)),
    boundBy: 'operations',
    difference: values ? rounded(relativeDifference(values, expected)) : 0,
    ratios: peers,
  };
}

/** |a - b| / |b| over all values. */
function relativeDifference(a: Float32Array, b: Float32Array): number {
  let [difference, size] = [0, 0];
  for (const [n, value] of b.entries()) {
    difference += ((a[n] ?? Number.NaN) - value) ** 2;
    size += value ** 2;
  }
  return Math.sqrt(difference / size);
}

/** Half the width of the 95 % interval of a whole round's mean time, relative. */
function margin(samples: readonly number[][]): number {
  const totals = samples[0]!.map((_, round) => samples.reduce((sum, one) => sum + one[round]!, 0));
  const mean = totals.reduce((sum, total) => sum + total, 0) / totals.length;
  const variance =
    totals.reduce((sum, total) => sum + (total - mean) ** 2, 0) / Math.max(1, totals.length - 1);
  return (1.96 * Math.sqrt(variance / totals.length)) / mean;
}
