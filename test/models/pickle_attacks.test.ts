import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { readTorchCheckpoint } from '#xlembed/models/torch_checkpoint.js';
import * as p from './pickle_bytes.js';
import { putFile, refusal, temporaryFolder } from './support.js';
import { checkpointBytes } from './zip_bytes.js';

const path = join(temporaryFolder(), 'model.pt');

function read(pickle: Buffer): unknown {
  return readTorchCheckpoint(putFile(path, checkpointBytes(pickle)));
}

function refused(pickle: Buffer, message: RegExp): void {
  const { message: text } = refusal(() => read(pickle), 'CHECKPOINT_REFUSED', message);
  assert.match(text, /nothing was executed/);
}

function damaged(pickle: Buffer, message: RegExp): void {
  refusal(() => read(pickle), 'CHECKPOINT_INVALID', message);
}

const command = p.text('touch owned');

test('a pickle that names a function of the system is refused by that name, by every way to name it', () => {
  refused(p.pickle(p.call('os', 'system', command)), /asks for "os\.system"/);
  refused(p.pickle(p.call('posix', 'system', command)), /asks for "posix\.system"/);
  refused(p.pickle(p.call('builtins', 'eval', command)), /asks for "builtins\.eval"/);
  refused(p.pickle(p.call('torch', 'load', command)), /asks for "torch\.load"/);
  refused(p.pickle(p.call('torch.hub', 'load', command)), /asks for "torch\.hub\.load"/);
  const stackGlobal = p.ops(p.text('os'), p.text('system'), Buffer.from([0x93]));
  refused(p.pickle(stackGlobal, p.tuple(command), p.REDUCE), /asks for "os\.system"/);
  const viaMemo = p.ops(p.text('os'), 'q\0', p.text('system'), Buffer.from([0x93]), p.tuple(command), 'R');
  refused(p.pickle(viaMemo), /asks for "os\.system"/);
  refused(
    p.pickle(p.global('torch', 'FloatStorage.__init__.__globals__')),
    /asks for "torch\.FloatStorage\.__init__/,
  );
  refused(p.pickle(p.global('collections', 'OrderedDict.__reduce__')), /asks for/);
  refused(p.pickle(p.global('__proto__', 'constructor')), /asks for "__proto__\.constructor"/);
  refused(p.pickle(p.global('_codecs', 'encode')), /asks for "_codecs\.encode"/);
});

test('opcodes that make objects of classes are refused by name', () => {
  refused(p.pickle('(', command, 'ios\nsystem\n'), /the opcode INST/);
  refused(p.pickle('(', p.global('collections', 'OrderedDict'), command, 'o'), /the opcode OBJ/);
  const newObject = p.ops(p.global('collections', 'OrderedDict'), p.EMPTY_TUPLE);
  refused(p.pickle(newObject, Buffer.from([0x81])), /the opcode NEWOBJ/);
  refused(p.pickle(newObject, p.EMPTY_DICT, Buffer.from([0x92])), /the opcode NEWOBJ_EX/);
  for (const extension of [0x82, 0x83, 0x84])
    refused(p.pickle(Buffer.from([extension, 1, 0, 0, 0])), /the opcode EXT\d/);
  refused(p.pickle('Pid\n'), /the opcode PERSID/);
  refused(p.pickle('I1\n'), /the opcode INT/);
  refused(p.pickle(Buffer.from([0x8b, 0xff, 0xff, 0xff, 0x7f])), /the opcode LONG4/);
});

test('every byte that is not a known opcode is refused or damaged, none crashes', () => {
  for (let opcode = 0; opcode < 256; opcode++) {
    const pickle = p.ops(p.PROTO, Buffer.from([opcode]), Buffer.alloc(9, 0xff), p.STOP);
    assert.throws(
      () => read(pickle),
      (error: { code?: string }) => /^CHECKPOINT_(INVALID|REFUSED)$/.test(error.code ?? ''),
    );
  }
});

test('calls of what is no function, and attributes of what is no dict, are refused', () => {
  refused(p.pickle(p.text('os.system'), p.tuple(command), p.REDUCE), /calls something that is no function/);
  refused(p.pickle(p.call('torch', 'FloatStorage', p.integer(9))), /calls something that is no function/);
  refused(p.pickle('N', p.tuple(command), p.REDUCE), /calls something that is no function/);
  refused(p.pickle(']', p.EMPTY_DICT, 'b'), /sets attributes of an object/);
  refused(p.pickle(p.global('torch', 'FloatStorage'), p.EMPTY_DICT, 'b'), /sets attributes of an object/);
  damaged(p.pickle(p.global('collections', 'OrderedDict'), ']', p.REDUCE), /a call has no arguments/);
  damaged(p.pickle(p.call('collections', 'OrderedDict', p.ops(']'))), /OrderedDict is made from arguments/);
  damaged(p.pickle(p.call('torch._utils', '_rebuild_parameter', p.text('x'))), /a parameter holds no tensor/);
  damaged(p.pickle(p.call('torch._utils', '_rebuild_tensor_v2')), /described in an unknown way/);
  damaged(p.pickle(p.text('0'), p.BINPERSID), /names its storage in an unknown way/);
  damaged(p.pickle(p.storage({ type: 'Size' }), p.BINPERSID), /names its storage in an unknown way/);
});

test('a damaged stack, memo or length is refused', () => {
  damaged(p.pickle(), /its stack is empty/);
  damaged(p.pickle('NN'), /does not end after one value/);
  damaged(p.ops(p.PROTO, 'N.N'), /does not end after one value/);
  damaged(p.ops(p.PROTO, 'N'), /it is cut off/);
  damaged(p.pickle('t'), /a mark is missing/);
  damaged(p.pickle('N(', Buffer.from([0x85]), 't'), /its stack is empty/);
  damaged(p.pickle('h\0'), /nothing is remembered under 0/);
  damaged(p.pickle('Na'), /its stack is empty/);
  damaged(p.pickle('}Na'), /appends to something that is no list/);
  damaged(p.pickle(']NNs'), /sets items of something that is no dict/);
  damaged(p.pickle('}(Nu'), /sets items of something that is no dict/);
  damaged(p.ops(Buffer.from([0x80, 6]), 'N.'), /its protocol is 6/);
  damaged(p.ops(p.PROTO, 'X', Buffer.from([0xff, 0xff, 0xff, 0xff]), '.'), /it is cut off/);
  damaged(
    p.ops(p.PROTO, Buffer.from([0x8d, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
    /it is cut off/,
  );
  damaged(p.pickle('X', Buffer.from([1, 0, 0, 0, 0xff])), /a text is not UTF-8/);
  damaged(p.ops(p.PROTO, 'cos'), /it is cut off/);
  damaged(p.pickle(Buffer.from([0x93])), /its stack is empty/);
  damaged(p.pickle('NN', Buffer.from([0x93])), /a global has no name/);
});

test('many small objects are refused before they fill the memory', () => {
  damaged(p.ops(p.PROTO, Buffer.alloc((1 << 20) + 1, '}'), p.STOP), /makes more than 1048576 objects/);
  const repeat = Buffer.alloc(5 * ((1 << 20) + 1), 'h\0h\x01R');
  const calls = p.ops(p.global('collections', 'OrderedDict'), 'q\0', ')q\x01', repeat);
  damaged(p.ops(p.PROTO, calls, p.STOP), /makes more than 1048576 objects/);
  const tensors = Buffer.alloc(5 * ((1 << 20) + 1), 'h\0h\x01R');
  const parameter = p.ops(p.global('torch', 'Size'), 'q\0', ')\x85q\x01', tensors);
  damaged(p.ops(p.PROTO, parameter, p.STOP), /makes more than 1048576 objects/);
  damaged(
    p.ops(p.PROTO, Buffer.alloc(2 * ((1 << 20) + 1), 'C\0'), p.STOP),
    /makes more than 1048576 objects/,
  );
});

test('a list that holds itself is read without end', () => {
  const list = read(p.pickle(']q\0h\0a')) as unknown[];
  assert.equal(list[0], list);
});

test('integers of every size keep their value', () => {
  const values = [0, 255, -1, 2 ** 40, -(2 ** 40)];
  assert.deepEqual(read(p.pickle(']', ...values.map((value) => p.ops(p.integer(value), 'a')))), values);
  const big = p.ops(Buffer.from([0x8a, 9, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
  assert.equal(read(p.pickle(big)), 2n ** 64n);
  assert.equal(read(p.pickle(Buffer.from([0x8a, 0]))), 0);
  assert.equal(read(p.pickle('J', Buffer.from([0xfe, 0xff, 0xff, 0xff]))), -2);
  assert.equal(read(p.pickle('M', Buffer.from([0xfe, 0xff]))), 65534);
});
