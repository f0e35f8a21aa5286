import { z } from 'zod';
import { checkOptions, requirePath } from '../checked_options.js';
import { invalidArgument } from '../errors.js';
import type { PackedSequences } from '../native.js';
import { shareOfProcessors } from '../processors.js';
import { WorkerPool } from '../scheduling/worker_pool.js';
import { loadLaserTokenizer, loadTokenizer } from './load_tokenizer.js';
import { mayBeCut } from './long_text.js';
import type { TokenizerInfo } from './tokenizer_json.js';
import type { SpecialIds, TokenizedChunk, TokenizerTask, TokenizerWorkerData } from './tokenizer_worker.js';

export interface TokenizerOptions {
  /** Ids kept of each text, special ones included. */
  maxTokens: number;
  /**
   * Texts that are worked on at a time. Default: the number of processors, shared by the processes of a job on one
   * machine. They are threads of the tokenizers library,
   * which a process has once: the first tokenizer's number holds (RAYON_NUM_THREADS, unless it is set).
   */
  threads?: number | undefined;
  /** Lower-case texts first, whatever the tokenizer does itself. */
  lowerCase?: boolean | undefined;
  /** LASER-2: piece -> id; the path is that of a SentencePiece model. */
  laserDictionary?: ReadonlyMap<string, number> | null | undefined;
}

const schema = z.strictObject({
  maxTokens: z.int(),
  threads: z.int().min(1).optional(),
  lowerCase: z.boolean().optional(),
  laserDictionary: z.custom((value) => value instanceof Map, 'a map').nullish(),
});

/** (T) ids and (B + 1) offsets of B texts, special tokens included, and what was done to the texts. */
export interface TokenizedTexts extends PackedSequences {
  /** Texts cut to maxTokens. */
  truncated: number;
  /** Lone surrogates that became U+FFFD. */
  replacedSurrogates: number;
  /** Texts without an id of their own: empty, or nothing left after normalisation. */
  empty: number;
}

/** Characters in one task: some milliseconds of work, against some tens of microseconds for the task itself. */
const chunkCharacters = { smallest: 8_192, largest: 131_072 };
const chunksPerThread = 4;
/** MB: texts and ids live for one task. V8's default grows each thread by several times that. */
const youngGeneration = 4;

/**
 * Worker threads for so many threads of the library. Each holds the tokenizer, XLM-R's some 400 MB, and hands over lists of
 * texts to the library, which shares them out: what a worker does itself (texts in, ids out) is a small part.
 * Not one for each processor, since calls of the library run on libuv's four threads: with as many, nothing else of Node
 * that is asynchronous would run beside them.
 */
function copiesFor(threads: number, isLaser: boolean): number {
  // LASER-2's preparation of texts is a good part of the work.
  return isLaser ? Math.min(threads, 8) : Math.min(Math.ceil(threads / 4), 3);
}

/** Threads are no garbage: without this those of a tokenizer that was dropped would stay for as long as the process. */
const dropped = new FinalizationRegistry<WorkerPool<never, unknown>>((pool) => void pool.close());

/**
 * A tokenizer in worker threads. Ids are those of Hugging Face's tokenizers library, which does the work.
 */
export class TokenizerPool implements TokenizerInfo {
  readonly path: string;
  readonly maxTokens: number;
  readonly threads: number;
  /** Worker threads, each with the tokenizer in its memory. */
  readonly copies: number;
  readonly modelType: string;
  readonly vocabularySize: number;
  readonly padId: number | undefined;
  readonly unkId: number | undefined;
  readonly hasTokenTypes: boolean;
  /** Ids that the template adds to every text. */
  readonly specialTokens: number;
  readonly #pool: WorkerPool<TokenizerTask, TokenizedChunk | SpecialIds>;

  private constructor(
    pool: WorkerPool<TokenizerTask, TokenizedChunk | SpecialIds>,
    {
      path,
      threads,
      maxTokens,
      specialTokens,
      info,
    }: { path: string; threads: number; maxTokens: number; specialTokens: number; info: TokenizerInfo },
  ) {
    this.#pool = pool;
    this.path = path;
    this.maxTokens = maxTokens;
    this.specialTokens = specialTokens;
    this.threads = threads;
    this.copies = pool.threads;
    this.modelType = info.modelType;
    this.vocabularySize = info.vocabularySize;
    this.padId = info.padId;
    this.unkId = info.unkId;
    this.hasTokenTypes = info.hasTokenTypes;
    dropped.register(this, pool);
  }

  /**
   * Opens a tokenizer.json, a vocab.txt, a sentencepiece.bpe.model, or a folder that holds one of them. Truncation
   * and padding that the file asks for are left out: `maxTokens` rules. Throws FILE_NOT_FOUND, FILE_READ_FAILED,
   * TOKENIZER_INVALID and INVALID_ARGUMENT.
   */
  static async open(path: string, options: TokenizerOptions): Promise<TokenizerPool> {
    requirePath('path', path);
    checkOptions(schema, options);
    const { maxTokens, threads = shareOfProcessors(), lowerCase, laserDictionary } = options;
    const loaded = laserDictionary
      ? await loadLaserTokenizer(path, laserDictionary)
      : await loadTokenizer(path, lowerCase);
    const { json, text, path: file, laser, info } = loaded;
    process.env.TOKENIZERS_PARALLELISM ??= 'true';
    process.env.RAYON_NUM_THREADS ??= String(threads);
    // LASER's preparation looks across words: its texts stay whole.
    const cut = laser === null && mayBeCut(json);
    const workerData: TokenizerWorkerData = { text, path: file, maxTokens, mayBeCut: cut, laser };
    const pool = new WorkerPool<TokenizerTask, TokenizedChunk | SpecialIds>({
      file: new URL('./tokenizer_worker.js', import.meta.url),
      workerData,
      youngGeneration,
      threads: copiesFor(threads, laser !== null),
    });
    try {
      const { before, behind } = (await pool.run('special_tokens')) as SpecialIds;
      const specialTokens = before.length + behind.length;
      if (maxTokens <= specialTokens) throw tooFewTokens(maxTokens, specialTokens);
      return new TokenizerPool(pool, { path: file, threads, maxTokens, specialTokens, info });
    } catch (error) {
      await pool.close();
      throw error;
    }
  }

  /**
   * Ids of the texts, in their order: special tokens added, cut to maxTokens as Hugging Face cuts (special tokens
   * stay). Throws INVALID_ARGUMENT, TOKENIZER_FAILED, WORKER_FAILED, and DISPOSED after close().
   */
  async tokenize(texts: readonly string[]): Promise<TokenizedTexts> {
    const own = copiedTexts(texts);
    const chunks = splitByCharacters(own, this.copies).map((chunk) => this.#pool.run({ texts: chunk }));
    return merge((await Promise.all(chunks)) as TokenizedChunk[], own.length);
  }

  /** Waits for the texts handed in, then ends the threads. */
  close(): Promise<void> {
    return this.#pool.close();
  }
}

/** Of an array that its owner may change meanwhile. Throws INVALID_ARGUMENT for what is no text. */
export function copiedTexts(texts: readonly string[]): string[] {
  if (!Array.isArray(texts)) throw invalidArgument('texts', 'an array of strings', texts);
  const wrong = texts.findIndex((text) => typeof text !== 'string');
  if (wrong >= 0) throw invalidArgument(`texts[${wrong}]`, 'a string', texts[wrong]);
  return [...texts];
}

function splitByCharacters(texts: readonly string[], threads: number): string[][] {
  const characters = texts.reduce((sum, text) => sum + text.length, 0);
  const { smallest, largest } = chunkCharacters;
  const size = Math.min(largest, Math.max(smallest, characters / (threads * chunksPerThread)));
  const chunks: string[][] = [];
  let room = 0;
  for (const text of texts) {
    if (room <= 0) {
      chunks.push([]);
      room = size;
    }
    chunks.at(-1)!.push(text);
    // An empty text is work too.
    room -= text.length + 1;
  }
  return chunks;
}

function merge(chunks: readonly TokenizedChunk[], count: number): TokenizedTexts {
  const inputIds = new Int32Array(chunks.reduce((sum, chunk) => sum + chunk.inputIds.length, 0));
  const cumulativeSeqLengths = new Int32Array(count + 1);
  const merged = { inputIds, cumulativeSeqLengths, truncated: 0, replacedSurrogates: 0, empty: 0 };
  let [position, row] = [0, 0];
  for (const chunk of chunks) {
    inputIds.set(chunk.inputIds, position);
    position += chunk.inputIds.length;
    for (const length of chunk.lengths) {
      cumulativeSeqLengths[row + 1] = cumulativeSeqLengths[row]! + length;
      row += 1;
    }
    merged.truncated += chunk.truncated;
    merged.replacedSurrogates += chunk.replacedSurrogates;
    merged.empty += chunk.empty;
  }
  return merged;
}

function tooFewTokens(maxTokens: number, specialTokens: number) {
  return invalidArgument(
    'maxTokens',
    `more than the ${specialTokens} special tokens of every text`,
    maxTokens,
  );
}
