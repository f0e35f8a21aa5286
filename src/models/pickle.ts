import { refusedCheckpoint } from './checkpoint_error.js';
import { type PickleHost, PickleMachine, PickleTuple } from './pickle_machine.js';
import { OPCODE_NAMES } from './pickle_opcodes.js';

/**
 * Reads a pickle of plain data. It is interpreted, never executed: the only calls are those to `host`'s own functions.
 * Knows the opcodes that Python 3 writes for data in protocols 2 to 5; any other, and any name that the host does not
 * know, gives CHECKPOINT_REFUSED, damage CHECKPOINT_INVALID. Memory and time grow with the number of bytes.
 * Opcodes: https://github.com/python/cpython/blob/main/Lib/pickletools.py
 */
export function readPickle(bytes: Buffer, path: string, host: PickleHost): unknown {
  const machine = new PickleMachine(bytes, path, host);
  for (;;) {
    const byte = machine.take(1)[0]!;
    const opcode = OPCODE_NAMES.get(byte);
    if (opcode === undefined) throw machine.damaged(`${byte} is no opcode`);
    if (opcode === 'STOP') return machine.result();
    const step = STEPS[opcode];
    if (!step) throw refusedCheckpoint(path, `the pickle uses the opcode ${opcode}`);
    step(machine);
  }
}

const STEPS: Record<string, (machine: PickleMachine) => void> = {
  PROTO: (m) => m.protocol(),
  FRAME: (m) => m.length64(),
  MARK: (m) => m.mark(),
  NONE: (m) => m.push(null),
  NEWTRUE: (m) => m.push(true),
  NEWFALSE: (m) => m.push(false),
  BININT: (m) => m.push(m.take(4).readInt32LE()),
  BININT1: (m) => m.push(m.take(1)[0]),
  BININT2: (m) => m.push(m.take(2).readUInt16LE()),
  LONG1: (m) => m.push(decodeLong(m.take(m.take(1)[0]!))),
  BINFLOAT: (m) => m.push(m.take(8).readDoubleBE()),
  BINUNICODE: (m) => m.push(m.text(m.take(4).readUInt32LE())),
  SHORT_BINUNICODE: (m) => m.push(m.text(m.take(1)[0]!)),
  BINUNICODE8: (m) => m.push(m.text(m.length64())),
  SHORT_BINBYTES: (m) => m.pushObject(m.take(m.take(1)[0]!)),
  BINBYTES: (m) => m.pushObject(m.take(m.take(4).readUInt32LE())),
  EMPTY_TUPLE: (m) => m.pushObject(new PickleTuple([])),
  TUPLE1: (m) => m.popTuple(1),
  TUPLE2: (m) => m.popTuple(2),
  TUPLE3: (m) => m.popTuple(3),
  TUPLE: (m) => m.pushObject(new PickleTuple(m.popMark())),
  EMPTY_LIST: (m) => m.pushObject([]),
  APPEND: (m) => m.append([m.pop()]),
  APPENDS: (m) => m.append(m.popMark()),
  EMPTY_DICT: (m) => m.pushObject(new Map()),
  SETITEM: (m) => m.setItems([m.pop(), m.pop()].reverse()),
  SETITEMS: (m) => m.setItems(m.popMark()),
  BINPUT: (m) => m.memoize(m.take(1)[0]!),
  LONG_BINPUT: (m) => m.memoize(m.take(4).readUInt32LE()),
  MEMOIZE: (m) => m.memoizeNext(),
  BINGET: (m) => m.recall(m.take(1)[0]!),
  LONG_BINGET: (m) => m.recall(m.take(4).readUInt32LE()),
  GLOBAL: (m) => m.global(m.line(), m.line()),
  STACK_GLOBAL: (m) => m.global(...([m.pop(), m.pop()].reverse() as [unknown, unknown])),
  REDUCE: (m) => m.reduce(),
  BUILD: (m) => m.build(),
  BINPERSID: (m) => m.persistent(),
};

/** Two's complement, little-endian. */
function decodeLong(bytes: Buffer): number | bigint {
  let value = 0n;
  for (let at = bytes.length - 1; at >= 0; at--) value = (value << 8n) | BigInt(bytes[at]!);
  value = BigInt.asIntN(bytes.length * 8, value);
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}
