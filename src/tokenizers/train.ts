import { execFile } from 'node:child_process';
import { mkdtemp, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
import { checkOptions, requirePath } from '../checked_options.js';
import { invalidArgument, XlembedError } from '../errors.js';
import { syncFile } from '../files/siblings.js';
import { parseTokenizerJson, type StageJson, type TokenizerJson } from './tokenizer_json.js';
import { addedTokens, leadingTokens, maskToken, metaspace, template } from './xlm_roberta.js';

export interface TrainTokenizerOptions {
  /** Ids at most, special tokens included. Every character of the texts has an id whatever this says. Default 30,000. */
  vocabularySize?: number | undefined;
  /** Default true: small training data then meets each word more often. XLM-R itself keeps case. */
  lowercase?: boolean | undefined;
}

const schema = z.strictObject({ vocabularySize: z.int().min(1), lowercase: z.boolean() }).partial();

type Merge = [string, string];

/**
 * Makes a tokenizer.json out of raw texts, for a model that starts from nothing: byte-pair encoding (some 30,000
 * pieces in about a second, the same ones on every run) in XLM-R's manner: NFKC, words begin with "▁",
 * `<s> $A </s>`, ids `<s>` 0 `<pad>` 1 `</s>` 2 `<unk>` 3, `<mask>` last. Marks are pieces of their own. Resolves to
 * the number of ids. Throws EMPTY_DATASET, INVALID_ARGUMENT, FILE_WRITE_FAILED, TOKENIZER_FAILED.
 */
export async function trainTokenizer(
  texts: Iterable<string>,
  outputFile: string,
  options: TrainTokenizerOptions = {},
): Promise<number> {
  if (typeof (texts as Iterable<string> | undefined)?.[Symbol.iterator] !== 'function')
    throw invalidArgument('texts', 'a list of texts', texts);
  requirePath('outputFile', outputFile);
  checkOptions(schema, options);
  const { vocabularySize = 30_000, lowercase = true } = options;
  const lines = [...texts]
    .map((text) => text.toWellFormed().replace(/\s+/g, ' ').trim())
    .filter((line) => line !== '');
  if (lines.length === 0) throw new XlembedError('EMPTY_DATASET', 'no text to train a tokenizer on');
  const pipeline = untrained(lowercase);
  const json = numbered(await trained(lines, pipeline), vocabularySize);
  await writeWhole(outputFile, JSON.stringify(json));
  return Object.keys(json.model.vocab).length;
}

function untrained(lowercase: boolean): TokenizerJson {
  const normalizers: StageJson[] = [
    { type: 'NFKC' },
    ...(lowercase ? [{ type: 'Lowercase' }] : []),
    { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
    { type: 'Strip', strip_left: true, strip_right: true },
  ];
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: { type: 'Sequence', normalizers },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [metaspace, { type: 'Punctuation', behavior: 'Isolated' }],
    },
    post_processor: null,
    decoder: metaspace,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab: {},
      merges: [],
    },
  };
}

/** Runs the library's own trainer, in a process of its own. */
async function trained(lines: readonly string[], pipeline: TokenizerJson): Promise<TokenizerJson> {
  const folder = await mkdtemp(join(tmpdir(), 'xlembed-train-')).catch((cause: Error) => {
    const message = `no temporary folder can be made: ${cause.message}`;
    throw new XlembedError('FILE_WRITE_FAILED', message, 'set TMPDIR to a folder with room', { cause });
  });
  const [input, corpus, output] = ['untrained.json', 'texts.txt', 'tokenizer.json'].map((name) =>
    join(folder, name),
  );
  try {
    await writeFile(input!, JSON.stringify(pipeline));
    await writeFile(corpus!, lines.join('\n'));
    const program = fileURLToPath(new URL('./train_process.js', import.meta.url));
    await promisify(execFile)(process.execPath, [program, input!, corpus!, output!]);
    return parseTokenizerJson(await readFile(output!, 'utf8'), output!);
  } catch (cause) {
    if (cause instanceof XlembedError) throw cause;
    const { code, message, stderr } = cause as NodeJS.ErrnoException & { stderr?: string };
    const hint =
      code === 'ERR_ACCESS_DENIED' ? 'start Node with --allow-child-process beside --permission' : '';
    const said = stderr?.trim() || message;
    throw new XlembedError('TOKENIZER_FAILED', `training a tokenizer failed: ${said}`, hint, { cause });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Gives the pieces their final ids: special tokens, characters, then as many merges, best first, as there is room. */
function numbered(json: TokenizerJson, vocabularySize: number): TokenizerJson {
  const merges = json.model.merges as Merge[];
  const merged = new Set(merges.map(([left, right]) => left + right));
  const vocab = json.model.vocab as Record<string, number>;
  const characters = Object.keys(vocab).filter((piece) => !merged.has(piece));
  characters.sort((a, b) => vocab[a]! - vocab[b]!);
  const pieces = [...leadingTokens, ...characters];
  const kept: Merge[] = [];
  const known = new Set(pieces);
  for (const [left, right] of merges) {
    if (known.size + 1 >= vocabularySize) break;
    known.add(left + right);
    kept.push([left, right]);
  }
  const ids = [...known, maskToken].map((piece, id): [string, number] => [piece, id]);
  return {
    ...json,
    added_tokens: addedTokens(ids.length - 1),
    post_processor: template(),
    model: {
      ...json.model,
      unk_token: '<unk>',
      fuse_unk: true,
      vocab: Object.fromEntries(ids),
      merges: kept,
    },
  };
}

/** Beside it, flushed, then renamed: the file is there in whole or not at all. */
async function writeWhole(path: string, text: string): Promise<void> {
  const beside = `${path}.${process.pid}.tmp`;
  try {
    const file = await open(beside, 'w');
    await file.writeFile(text).finally(() => syncFile(file).finally(() => file.close()));
    await rename(beside, path);
  } catch (cause) {
    await rm(beside, { force: true });
    throw new XlembedError('FILE_WRITE_FAILED', `cannot write ${path}: ${(cause as Error).message}`, '', {
      cause,
    });
  }
}
