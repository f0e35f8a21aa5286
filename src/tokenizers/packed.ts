import type { PackedSequences } from '../native.js';

/** Lays sequences end to end. */
export function pack(sequences: readonly Int32Array[]): PackedSequences {
  const cumulativeSeqLengths = new Int32Array(sequences.length + 1);
  sequences.forEach((sequence, b) => {
    cumulativeSeqLengths[b + 1] = cumulativeSeqLengths[b]! + sequence.length;
  });
  const inputIds = new Int32Array(cumulativeSeqLengths.at(-1)!);
  sequences.forEach((sequence, b) => {
    inputIds.set(sequence, cumulativeSeqLengths[b]);
  });
  return { inputIds, cumulativeSeqLengths };
}

/** Sequence b, as a view. */
export function sequenceAt({ inputIds, cumulativeSeqLengths }: PackedSequences, b: number): Int32Array {
  return inputIds.subarray(cumulativeSeqLengths[b], cumulativeSeqLengths[b + 1]);
}
