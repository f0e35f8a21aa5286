import { batchByTokens } from '../batches/token_budget.js';
import { type NativeEncoder, nativeCall, nativeValue, type PackedSequences } from '../native.js';
import { pack, sequenceAt } from '../tokenizers/packed.js';

/** Tokens in one native call, unless told otherwise: enough that a GPU's products outweigh their launches. */
export function defaultTokenBudget(device: string): number {
  return device.startsWith('cuda') ? 32_768 : 8192;
}

/** Tokens in one native call; shrinks when the device runs out of memory. */
export class TokenBudget {
  constructor(
    public tokens: number,
    /** Called with the new budget when it has shrunk. */
    private readonly onShrink: (tokens: number) => void = () => {},
  ) {}

  /** Half of what was too much, unless another batch has shrunk it so far already; returns the half. */
  halve(tooMuch: number): number {
    const tokens = Math.max(1, Math.floor(tooMuch / 2));
    if (tokens < this.tokens) {
      this.tokens = tokens;
      this.onShrink(tokens);
    }
    return tokens;
  }
}

/** A batch that is packed while the device works on another: the device never waits for one. */
const BATCHES_UNDER_WAY = 2;

/**
 * Encodes sequences in batches of like length. Returns (B, D) in the order of the sequences. A batch that the device has
 * no memory for is halved and tried again; throws OUT_OF_MEMORY for a single sequence, and DISPOSED.
 */
export async function encodeSequences(
  native: Pick<NativeEncoder, 'encode' | 'dimensions'>,
  tokens: PackedSequences,
  budget: TokenBudget,
  onBatch: (sequences: number, tokens: number) => void = () => {},
): Promise<Float32Array> {
  const dimensions = nativeValue(() => native.dimensions);
  const count = tokens.cumulativeSeqLengths.length - 1;
  const sequences = Array.from({ length: count }, (_, row) => sequenceAt(tokens, row));
  const result = new Float32Array(count * dimensions);
  const batches = batched(sequences, Array.from(sequences.keys()), budget.tokens);
  const work = async () => {
    for (let batch = batches.shift(); batch; batch = batches.shift()) {
      const { rows } = batch;
      const packed = pack(rows.map((row) => sequences[row]!));
      try {
        const embeddings = await nativeCall(() => native.encode(packed));
        scatter(embeddings, rows, result, dimensions);
        onBatch(rows.length, packed.inputIds.length);
      } catch (error) {
        if ((error as { code?: string }).code !== 'OUT_OF_MEMORY' || rows.length === 1) {
          batches.length = 0;
          throw error;
        }
        batches.unshift(...batched(sequences, rows, budget.halve(batch.budget)));
      }
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: BATCHES_UNDER_WAY }, work));
  const failed = ends.find((end) => end.status === 'rejected');
  if (failed) throw failed.reason;
  return result;
}

interface Batch {
  rows: number[];
  /** That it was made with. */
  budget: number;
}

/** These rows in batches, shortest first. */
function batched(sequences: readonly Int32Array[], rows: readonly number[], budget: number): Batch[] {
  const lengths = rows.map((row) => sequences[row]!.length);
  return batchByTokens(lengths, budget).map((batch) => ({
    rows: batch.map((position) => rows[position]!),
    budget,
  }));
}

function scatter(
  embeddings: Float32Array,
  rows: readonly number[],
  result: Float32Array,
  dimensions: number,
): void {
  for (const [position, row] of rows.entries()) {
    const embedding = embeddings.subarray(position * dimensions, (position + 1) * dimensions);
    result.set(embedding, row * dimensions);
  }
}
