import { maskedCrc32c } from './crc32c.js';

/** Numbers of one step by their tags, for TensorBoard. */
export interface Scalars {
  step: number;
  /** Seconds since 1970. */
  time: number;
  values: Record<string, number>;
}

/** First record of every event file. */
export function versionRecord(time: number): Buffer {
  return record(Buffer.concat([double(1, time), text(3, 'brain.Event:2')]));
}

/** `event.proto` and `summary.proto` of TensorBoard: Event {wall_time 1, step 2, summary 5 {value 1 {tag 1, simple_value 2}}}. */
export function scalarsRecord({ step, time, values }: Scalars): Buffer {
  const summary = Object.entries(values).map(([tag, value]) =>
    message(1, Buffer.concat([text(1, tag), float(2, value)])),
  );
  return record(Buffer.concat([double(1, time), varintField(2, step), message(5, Buffer.concat(summary))]));
}

/** TFRecord framing: length (8 bytes), its checksum (4), data, its checksum (4); little-endian. */
function record(data: Buffer): Buffer {
  const framed = Buffer.alloc(data.length + 16);
  framed.writeBigUInt64LE(BigInt(data.length));
  framed.writeUInt32LE(maskedCrc32c(framed.subarray(0, 8)), 8);
  data.copy(framed, 12);
  framed.writeUInt32LE(maskedCrc32c(data), 12 + data.length);
  return framed;
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

const WIRE = { varint: 0, bits64: 1, bytes: 2, bits32: 5 };
const key = (field: number, wire: number) => varint(field * 8 + wire);

const varintField = (field: number, value: number) => Buffer.concat([key(field, WIRE.varint), varint(value)]);

const message = (field: number, body: Buffer) =>
  Buffer.concat([key(field, WIRE.bytes), varint(body.length), body]);

const text = (field: number, value: string) => message(field, Buffer.from(value));

function double(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([key(field, WIRE.bits64), bytes]);
}

function float(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([key(field, WIRE.bits32), bytes]);
}
