/** A safetensors file with any header and any data, right or wrong. */
export function safetensorsBytes(header: unknown, dataBytes: number, declaredLength?: bigint): Buffer {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(declaredLength ?? BigInt(text.length));
  return Buffer.concat([length, text, Buffer.alloc(dataBytes)]);
}

/** Two float32 tensors: a (2, 3) and b (1). */
export const TWO_TENSORS = {
  a: { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] },
  b: { dtype: 'F32', shape: [1], data_offsets: [24, 28] },
};
