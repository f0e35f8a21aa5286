import { XlembedError } from '../../errors.js';
import { BoundedQueue } from '../../scheduling/bounded_queue.js';
import { mapAhead } from '../../scheduling/read_ahead.js';
import type { TokenizedTexts } from '../../tokenizers/tokenizer_pool.js';
import { encodeSequences, type TokenBudget } from '../encode_sequences.js';
import type { Encoder } from '../encoder.js';
import type { FigureCounter } from './figures.js';
import { areNormal, type CorpusSettings } from './options.js';
import { quantized, type StoredVectors, shortened } from './precision.js';
import type { Window } from './shard_reader.js';

/** A window whose texts have become vectors, and what was counted on the way. */
export interface EncodedWindow {
  window: Window;
  vectors: StoredVectors;
  tokens: number;
  truncated: number;
  replacedSurrogates: number;
}

export interface PipelineParts {
  encoder: Encoder;
  settings: CorpusSettings;
  budget: TokenBudget;
  figures: FigureCounter;
  /** Ends the pipeline behind the shard that is being encoded. */
  signal: AbortSignal | undefined;
  onProgress: () => void;
}

/** Windows that lie between two stages. */
const QUEUE_WINDOWS = 2;
/** A worker thread that dies is replaced; a text that kills every thread is an error. */
const TOKENISE_ATTEMPTS = 3;

/**
 * read -> tokenise -> encode, each stage ahead of the next by a bounded queue: two windows are tokenised and two encoded
 * at a time, so that the device has its next batch when one is done. Windows come out in their order.
 */
export function encodedWindows(
  windows: AsyncIterable<Window>,
  parts: PipelineParts,
): AsyncIterable<EncodedWindow> {
  const texts = BoundedQueue.ahead(windows, 'texts', QUEUE_WINDOWS);
  const tokenised = mapAhead(texts, (window) => tokenise(window, parts), 1);
  const tokens = BoundedQueue.ahead(tokenised, 'tokens', QUEUE_WINDOWS);
  const encoded = mapAhead(untilShardEnd(tokens, parts.signal), (window) => encode(window, parts), 1);
  const vectors = BoundedQueue.ahead(encoded, 'vectors', QUEUE_WINDOWS);
  parts.figures.watch(texts, tokens, vectors);
  return vectors;
}

interface TokenisedWindow {
  window: Window;
  tokens: TokenizedTexts;
}

async function tokenise(
  window: Window,
  { encoder, settings, figures }: PipelineParts,
): Promise<TokenisedWindow> {
  const { prompt } = settings;
  const texts = window.records.map(({ text }) => (prompt ? prompt + text : text));
  for (let attempt = 1; ; ++attempt) {
    try {
      const tokens = await encoder.tokenizer.tokenize(texts);
      figures.tokenised(tokens.truncated);
      return { window, tokens };
    } catch (error) {
      const died = error instanceof XlembedError && error.code === 'WORKER_FAILED';
      if (!died || attempt === TOKENISE_ATTEMPTS) throw error;
      figures.workerRestarted();
    }
  }
}

async function* untilShardEnd(
  windows: AsyncIterable<TokenisedWindow>,
  signal: AbortSignal | undefined,
): AsyncGenerator<TokenisedWindow> {
  for await (const tokenised of windows) {
    if (tokenised.window.first && signal?.aborted) return;
    yield tokenised;
  }
}

async function encode({ window, tokens }: TokenisedWindow, parts: PipelineParts): Promise<EncodedWindow> {
  const { encoder, settings, budget, figures, onProgress } = parts;
  const { dimensions, normalized, precision } = settings;
  const metered = {
    dimensions: encoder.dimensions,
    encode: async (batch: Parameters<typeof encoder.native.encode>[0]) => {
      figures.batchBegins();
      try {
        return await encoder.native.encode(batch);
      } finally {
        figures.batchEnds(batch.inputIds.length);
      }
    },
  };
  const vectors = await encodeSequences(metered, tokens, budget, (documents, count) => {
    figures.encoded(documents, count);
    onProgress();
  });
  const toLengthOne = normalized && !areNormal(encoder, dimensions);
  const kept = shortened(vectors, encoder.dimensions, dimensions, toLengthOne);
  return {
    window,
    vectors: quantized(kept, dimensions, precision),
    tokens: tokens.inputIds.length,
    truncated: tokens.truncated,
    replacedSurrogates: tokens.replacedSurrogates,
  };
}
