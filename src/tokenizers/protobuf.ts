const varint = 0;
const fixed64 = 1;
const lengthDelimited = 2;
const fixed32 = 5;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** One field of a message. Reading it as something else than its wire type throws. */
export class ProtobufField {
  constructor(
    readonly number: number,
    readonly wireType: number,
    readonly value: number | Uint8Array,
  ) {}

  bytes(): Uint8Array {
    if (this.value instanceof Uint8Array && this.wireType === lengthDelimited) return this.value;
    throw this.#mismatch('bytes');
  }

  text(): string {
    return utf8.decode(this.bytes());
  }

  integer(): number {
    if (typeof this.value === 'number') return this.value;
    throw this.#mismatch('an integer');
  }

  float(): number {
    if (!(this.value instanceof Uint8Array) || this.wireType !== fixed32) throw this.#mismatch('a float');
    return new DataView(this.value.buffer, this.value.byteOffset, 4).getFloat32(0, true);
  }

  #mismatch(expected: string): Error {
    return new Error(`field ${this.number} is not ${expected}`);
  }
}

/** Walks a protobuf message field by field. Throws where a length does not fit the bytes that are there. */
export class ProtobufReader {
  readonly #bytes: Uint8Array;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  *fields(): Generator<ProtobufField> {
    while (this.#position < this.#bytes.length) {
      const tag = this.#varint();
      const [number, wireType] = [Math.floor(tag / 8), tag % 8];
      if (number === 0) throw new Error(`field number 0 at byte ${this.#position}`);
      yield new ProtobufField(number, wireType, this.#value(wireType));
    }
  }

  #value(wireType: number): number | Uint8Array {
    switch (wireType) {
      case varint:
        return this.#varint();
      case fixed64:
        return this.#take(8);
      case lengthDelimited:
        return this.#take(this.#varint());
      case fixed32:
        return this.#take(4);
      default:
        throw new Error(`wire type ${wireType} at byte ${this.#position}`);
    }
  }

  /** Exact up to 2^53; larger values (negative int64) only need to be passed over. */
  #varint(): number {
    let value = 0;
    for (let shift = 0; shift < 10; ++shift) {
      const byte = this.#take(1)[0]!;
      value += (byte & 0x7f) * 2 ** (7 * shift);
      if (byte < 0x80) return value;
    }
    throw new Error(`a number without end at byte ${this.#position}`);
  }

  #take(length: number): Uint8Array {
    const end = this.#position + length;
    if (end > this.#bytes.length)
      throw new Error(`${length} bytes announced at byte ${this.#position}, fewer there`);
    const taken = this.#bytes.subarray(this.#position, end);
    this.#position = end;
    return taken;
  }
}
