import type { Dtype } from '../native.js';

/** Element types by their safetensors names, with their size in bits. */
export const STORED_DTYPE_BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

export type StoredDtype = keyof typeof STORED_DTYPE_BITS;

/** One tensor in a weights file, whatever the format. */
export interface StoredTensor {
  /** As the file spells it. */
  name: string;
  path: string;
  /** Bytes from the start of the file. */
  offset: number;
  /** Length in bytes. */
  bytes: number;
  shape: number[];
  dtype: StoredDtype;
  /** False when the elements do not lie in row-major order without gaps. */
  contiguous: boolean;
}

/** Element types that the native side reads and writes. */
export const NATIVE_DTYPES: Partial<Record<StoredDtype, Dtype>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
};

export const STORED_DTYPES: Record<Dtype, StoredDtype> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' };

/** Number of elements; undefined when it is beyond 2^53. */
export function elementCount(shape: readonly number[]): number | undefined {
  if (shape.includes(0)) return 0;
  let count = 1;
  for (const dimension of shape) {
    count *= dimension;
    if (!Number.isSafeInteger(count)) return undefined;
  }
  return count;
}
