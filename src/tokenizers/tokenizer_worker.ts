import { workerData } from 'node:worker_threads';
import { Tokenizer } from 'tokenizers';
import { XlembedError } from '../errors.js';
import { serve, Transferred } from '../scheduling/worker.js';
import { CharacterMap } from './laser/character_map.js';
import { type LaserIdTable, toLaserIds } from './laser/laser_tokenizer.js';
import { prepareLaserText } from './laser/prepare_text.js';
import { charactersPerToken, separatorsOf, TextCutter } from './long_text.js';

export interface TokenizerWorkerData {
  /** A tokenizer.json. */
  text: string;
  /** Names the tokenizer in errors. */
  path: string;
  /** Ids kept of each text, special ones included. */
  maxTokens: number;
  mayBeCut: boolean;
  /** LASER-2: its own preparation of texts, and its ids for those of `text`. */
  laser: LaserIdTable | null;
}

/** A list of texts to tokenise, or the question for the special tokens around every text. */
export type TokenizerTask = { texts: string[] } | 'special_tokens';

export interface TokenizedChunk {
  inputIds: Int32Array;
  /** (B) */
  lengths: Int32Array;
  truncated: number;
  replacedSurrogates: number;
  empty: number;
}

/** Ids that the template puts before and behind those of the text. */
export interface SpecialIds {
  before: number[];
  behind: number[];
}

const { text, path, maxTokens, mayBeCut, laser } = workerData as TokenizerWorkerData;
const loneSurrogate = /\p{Surrogate}/gu;

const characterMap = laser?.charsmap.length ? new CharacterMap(laser.charsmap, path) : null;

const tokenizer = load();
const special = tokenizer.then(findSpecialIds);
const cutter = tokenizer.then((loaded) => {
  const normalizer = loaded.getNormalizer();
  return mayBeCut
    ? new TextCutter(normalizer ? separatorsOf((each) => normalizer.normalizeString(each)) : ' ')
    : null;
});
// A failure is reported by the first task that meets it.
for (const promise of [tokenizer, special, cutter]) promise.catch(() => {});

export default serve<TokenizerTask, SpecialIds | TokenizedChunk>(async (task) => {
  if (task === 'special_tokens') return special;
  const chunk = await tokenizeChunk(task.texts);
  return new Transferred(chunk, [chunk.inputIds.buffer as ArrayBuffer, chunk.lengths.buffer as ArrayBuffer]);
});

async function load(): Promise<Tokenizer> {
  try {
    const loaded = Tokenizer.fromString(text);
    loaded.disableTruncation();
    loaded.disablePadding();
    return loaded;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new XlembedError('TOKENIZER_INVALID', `the tokenizers library refuses ${path}: ${reason}`, '', {
      cause,
    });
  }
}

async function findSpecialIds(loaded: Tokenizer): Promise<SpecialIds> {
  if (laser) return { before: [], behind: [laser.endId] };
  for (const probe of ['a', '1', '中', '']) {
    const encoding = await loaded.encode(probe, null, { addSpecialTokens: true });
    const [ids, mask] = [encoding.getIds(), encoding.getSpecialTokensMask()];
    const first = mask.indexOf(0);
    const last = mask.lastIndexOf(0);
    if (first >= 0) return { before: ids.slice(0, first), behind: ids.slice(last + 1) };
  }
  throw new XlembedError('TOKENIZER_INVALID', `the tokenizer ${path} finds no token in "a", "1" or "中"`);
}

async function tokenizeChunk(given: string[]): Promise<TokenizedChunk> {
  const { before, behind } = await special;
  const kept = maxTokens - before.length - behind.length;
  const texts = given.map((each) => each.toWellFormed());
  const sequences = await encodeAll(texts, kept);
  const lengths = Int32Array.from(
    sequences,
    (ids) => before.length + Math.min(ids.length, kept) + behind.length,
  );
  return {
    inputIds: layOut(sequences, lengths, kept, before, behind),
    lengths,
    truncated: sequences.filter((ids) => ids.length > kept).length,
    replacedSurrogates: countSurrogates(given),
    empty: sequences.filter((ids) => ids.length === 0).length,
  };
}

/** Ids without special ones: all of them, or more than `kept` where a text was cut. */
async function encodeAll(texts: string[], kept: number): Promise<number[][]> {
  const cut = await cutter;
  if (!cut) return encode(texts);
  const length = charactersPerToken * (kept + 1);
  const fronts = texts.map((each) => (each.length > 2 * length ? cut.front(each, length) : each));
  const sequences = await encode(fronts);
  for (;;) {
    const short = [...texts.keys()].filter(
      (n) => sequences[n]!.length <= kept && fronts[n]!.length < texts[n]!.length,
    );
    if (short.length === 0) return sequences;
    for (const n of short) {
      fronts[n] = cut.front(texts[n]!, longer(fronts[n]!.length, sequences[n]!.length, kept));
    }
    const again = await encode(short.map((n) => fronts[n]!));
    for (const [i, n] of short.entries()) sequences[n] = again[i]!;
  }
}

/** Characters that should give more than `kept` ids, where `length` gave so many; twice as many at most. */
function longer(length: number, ids: number, kept: number): number {
  const wanted = Math.ceil((1.2 * (kept + 1) * length) / Math.max(ids, 1));
  return Math.max(length + 1, Math.min(wanted, 2 * length));
}

function prepare(each: string): string {
  const prepared = prepareLaserText(each);
  return characterMap ? characterMap.apply(prepared) : prepared;
}

async function encode(texts: string[]): Promise<number[][]> {
  try {
    const prepared = laser ? texts.map(prepare) : texts;
    const encodings = await (await tokenizer).encodeBatch(prepared, { addSpecialTokens: false });
    return encodings.map((encoding) =>
      laser ? toLaserIds(encoding.getIds(), () => encoding.getTokens(), laser) : encoding.getIds(),
    );
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new XlembedError('TOKENIZER_FAILED', `the tokenizer ${path} failed on a text: ${reason}`, '', {
      cause,
    });
  }
}

function layOut(
  sequences: readonly number[][],
  lengths: Int32Array,
  kept: number,
  before: readonly number[],
  behind: readonly number[],
): Int32Array {
  const inputIds = new Int32Array(lengths.reduce((sum, length) => sum + length, 0));
  let position = 0;
  for (const ids of sequences) {
    for (const part of [before, ids.length > kept ? ids.slice(0, kept) : ids, behind]) {
      inputIds.set(part, position);
      position += part.length;
    }
  }
  return inputIds;
}

function countSurrogates(texts: readonly string[]): number {
  let count = 0;
  for (const each of texts) if (!each.isWellFormed()) count += each.match(loneSurrogate)?.length ?? 0;
  return count;
}
