import type { Bounds, CaseResult, ImplementationResult } from '../../report/benchmark_results.js';
import { secondsText, threeDigits } from '../../report/format.js';
import { shapeText } from './merge.js';

const giga = (value: number) => threeDigits(value / 1e9);

export function boundsText(bounds: Bounds): string {
  return [
    `copy ${giga(bounds.copyBytesPerSecond)} GB/s, read ${giga(bounds.readBytesPerSecond)} GB/s`,
    `matrix products ${giga(bounds.float32OperationsPerSecond)} GFLOP/s in float32`,
    `${giga(bounds.bfloat16OperationsPerSecond)} in bfloat16`,
  ].join(', ');
}

/** A case's heading, and a line for each implementation. */
export function caseText(result: CaseResult): string {
  const { op, dtype, shape, rounds } = result;
  const heading = `\n${op} ${dtype}: ${shapeText(shape)} (${rounds} rounds)`;
  const width = Math.max(...result.implementations.map(({ name }) => name.length));
  return [heading, ...result.implementations.map((one) => implementationLine(one, width))].join('\n');
}

function implementationLine(one: ImplementationResult, width: number): string {
  const { name, seconds, deviation, bytes, operations, boundSeconds } = one;
  const time = `${secondsText(seconds).padStart(9)} ± ${((100 * deviation) / seconds).toFixed(0).padStart(2)} %`;
  const rates = `${giga(bytes / seconds).padStart(8)} GB/s ${giga(operations / seconds).padStart(8)} GFLOP/s`;
  const share = `${((100 * boundSeconds) / seconds).toFixed(0).padStart(4)} % of bound`;
  const ratios = one.ratios.map(({ peer, ratio }) => `${ratio.toFixed(2)} x ${peer}`);
  const memory = one.extraBytes === undefined ? [] : [`${(one.extraBytes / 2 ** 20).toFixed(0)} MB beside`];
  const others = [...ratios, ...memory].join(', ');
  return `  ${name.padEnd(width)}  ${time}  ${rates}  ${share}  ${others}`.trimEnd();
}

/** An encoding case: a heading with the texts, and a line for each implementation. */
export function encodingText(result: CaseResult): string {
  const { op, dtype, shape, rounds, implementations, work } = result;
  const { tokens, texts, tokenizerShare } = work!;
  const heading = `\n${op}, ${dtype}: ${shapeText(shape)}, ${tokens} tokens (${rounds} rounds); tokenizer alone ${percent(tokenizerShare)} of the time`;
  const width = Math.max(...implementations.map(({ name }) => name.length));
  const lines = implementations.map(({ name, seconds, boundSeconds, ratios, difference }) =>
    [
      `  ${name.padEnd(width)} ${(tokens / seconds).toFixed(0).padStart(7)} tokens/s`,
      `${(texts / seconds).toFixed(1).padStart(7)} texts/s`,
      `${percent(boundSeconds / seconds).padStart(7)} of the products' rate`,
      `difference ${difference.toExponential(1)}`,
      ratios.map(({ peer, ratio }) => `${ratio.toFixed(2)} x ${peer}`).join(', '),
    ]
      .join('  ')
      .trimEnd(),
  );
  return [heading, ...lines].join('\n');
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
