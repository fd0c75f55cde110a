/** The protobuf wire format and the decoder on it: exact numbers, limits, and never anything but a GatewayError. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../src/core/errors.js';
import { tensorsOf } from '../src/grpc/codec.js';
import { decodeMessage } from '../src/grpc/message.js';
import { decodeRepositoryMessage } from '../src/grpc/repository.js';
import { checkFields, countVarints, varintSize, WireReader, writeText, writeVarint } from '../src/grpc/wire.js';
import { FakePlane } from './grpc-fixture.js';

const limits = { typedElementsMax: 8_388_608, stringsMax: 1_048_576 };

function varint(value: number | bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

function field(number: number, bytes: Buffer | string): Buffer {
  const content = Buffer.from(bytes as string);
  return Buffer.concat([varint((number << 3) | 2), varint(content.length), content]);
}

function refusedAs(pattern: RegExp, run: () => unknown): void {
  assert.throws(run, (error) => {
    assert.ok(error instanceof GatewayError, String(error));
    assert.equal(error.code, 'INVALID_ARGUMENT');
    assert.match(error.message, pattern);
    return true;
  });
}

test('numbers of 64 bits are exact, as numbers where that is possible', () => {
  for (const value of [0n, 1n, 127n, 128n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, -1n, -(2n ** 63n)]) {
    const read = new WireReader(varint(value)).int64();
    assert.equal(BigInt(read), value);
    assert.equal(typeof read, value < 2n ** 53n && value > -(2n ** 53n) ? 'number' : 'bigint');
  }
  assert.equal(new WireReader(varint(2n ** 64n - 1n)).uint64(), 2n ** 64n - 1n);
});

test('written numbers have the size that was computed and read back', () => {
  const out = Buffer.alloc(16);
  for (const value of [0, 1, 127, 128, 16383, 16384, 2 ** 21 - 1, 2 ** 21, 2 ** 28, 2 ** 31, 2 ** 35, 2 ** 53 - 1]) {
    const end = writeVarint(out, 0, value);
    assert.equal(end, varintSize(value), `${value}`);
    assert.equal(new WireReader(out.subarray(0, end)).int64(), value);
  }
});

test('packed numbers are counted as they are read, at every alignment', () => {
  for (const count of [0, 1, 5, 63, 64, 65, 1000]) {
    const packed = Buffer.concat(Array.from({ length: count }, (_, i) => varint(7n ** BigInt(i % 23))));
    for (let shift = 0; shift < 8; shift++) {
      const bytes = Buffer.concat([Buffer.alloc(shift, 0xff), packed, Buffer.alloc(8)]);
      assert.equal(countVarints(bytes, shift, shift + packed.length), count);
    }
  }
  refusedAs(/message ends/, () => countVarints(Buffer.from([1, 0x80]), 0, 2));
});

test('text of any length is read back; invalid UTF-8 is refused', () => {
  for (const text of ['', 'a', 'ü', 'x'.repeat(33), `${'x'.repeat(33)}😀`, '\ufeffa']) {
    const out = Buffer.alloc(200);
    const end = writeText(out, 0, 0x0a, text);
    const reader = new WireReader(out.subarray(0, end));
    if (text === '') assert.equal(end, 0);
    else {
      assert.equal(reader.field(), 10);
      assert.equal(reader.text(100, 'it'), text);
    }
  }
  for (const bytes of [Buffer.from([0xff]), Buffer.alloc(40, 0xc0)]) {
    refusedAs(/^failed to parse request: name is not valid UTF-8$/, () => {
      const reader = new WireReader(field(1, bytes));
      reader.field();
      reader.text(100, 'name');
    });
  }
});

const malformations: readonly [string, Buffer, RegExp][] = [
  ['a group', Buffer.from([0x6b, 0x6c]), /group in field 13/],
  ['the end of a group', Buffer.from([0x6c]), /group in field 13/],
  ['wire type 6', Buffer.from([0x6e]), /wire type 6 in field 13/],
  ['field number 0', Buffer.from([0x02, 0x00]), /field number 0/],
  ['a field number beyond 2^29', Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0]), /invalid field number/],
  ['a length beyond the message', Buffer.from([0x0a, 0x05, 0x61]), /message ends/],
  ['a length of 2^63', Buffer.concat([Buffer.from([0x0a]), varint(2n ** 63n)]), /message ends/],
  ['a tag without a value', Buffer.from([0x0a]), /message ends/],
  [
    'a number of eleven bytes',
    Buffer.concat([Buffer.from([0x68]), Buffer.alloc(10, 0x80), Buffer.from([1])]),
    /10 bytes/,
  ],
  ['the model name as a number', Buffer.from([0x08, 0x01]), /field 1 of ModelInferRequest has wire type 0/],
  ['invalid UTF-8 in the model name', field(1, Buffer.from([0xff])), /model_name is not valid UTF-8/],
  ['text in place of a message', Buffer.from('nope'), /./],
  ['fp32 contents of 5 bytes', field(5, field(5, field(6, Buffer.alloc(5)))), /5 bytes of packed elements of 4 bytes/],
  ['contents twice', field(5, Buffer.concat([field(5, ''), field(5, '')])), /occur twice/],
  ['packed numbers cut short', field(5, field(5, field(2, Buffer.from([0x80])))), /message ends/],
  ['a shape of the wrong type', field(5, Buffer.from([0x1d, 0, 0, 0, 0])), /field 3 of InferInputTensor/],
  ['a map key as a number', field(4, Buffer.from([0x08, 0x01])), /field 1 of a parameter/],
];

for (const [what, bytes, pattern] of malformations) {
  test(`${what} is refused`, () => {
    refusedAs(pattern, () => decodeMessage(bytes, limits));
    refusedAs(/^failed to parse request: /, () => decodeMessage(bytes, limits));
  });
}

test('unknown fields of every type are passed over', () => {
  const unknown = Buffer.concat([
    Buffer.from([0xf8, 0x01, 0x05]),
    Buffer.from([0xf9, 0x01]),
    Buffer.alloc(8),
    Buffer.from([0xfd, 0x01]),
    Buffer.alloc(4),
    field(31, 'anything'),
  ]);
  assert.equal(decodeMessage(Buffer.concat([unknown, field(1, 'm'), unknown]), limits).modelName, 'm');
});

test('the last of a field that occurs twice wins', () => {
  assert.equal(decodeMessage(Buffer.concat([field(1, 'a'), field(1, 'b')]), limits).modelName, 'b');
});

test('numbers are accepted packed, one by one, and mixed', () => {
  const plane = new FakePlane();
  const one = (value: number): Buffer => Buffer.concat([varint((3 << 3) | 0), varint(value)]);
  const packed = field(3, Buffer.concat([varint(3), varint(-4)]));
  const contents = Buffer.concat([one(1), one(-2), packed, field(3, ''), one(5)]);
  const shape = Buffer.from([0x18, 0x05]);
  const input = Buffer.concat([field(1, 'IN'), field(2, 'INT64'), shape, field(5, contents)]);
  const message = decodeMessage(Buffer.concat([field(1, 'echo_INT64'), field(5, input)]), limits);
  const { inputs } = tensorsOf(message, plane.versions.get('echo_INT64')![0]!, limits);
  assert.deepEqual([...(inputs[0]!.data as BigInt64Array)], [1n, -2n, 3n, -4n, 5n]);
});

test('typed elements are counted over the whole message and refused beyond the limit', () => {
  const input = (count: number): Buffer => field(5, field(5, field(2, Buffer.alloc(count))));
  const few = { typedElementsMax: 10, stringsMax: 10 };
  decodeMessage(Buffer.concat([input(4), input(6)]), few);
  refusedAs(/raw_input_contents/, () => decodeMessage(Buffer.concat([input(4), input(7)]), few));
  refusedAs(/raw_input_contents/, () => decodeMessage(input(11), few));
});

test('raw contents at any offset become the same elements', () => {
  const plane = new FakePlane();
  const numbers = new Float32Array([1.5, -2.25, 1e-45]);
  for (let shift = 0; shift < 8; shift++) {
    const input = Buffer.concat([field(1, 'IN'), field(2, 'FP32'), field(3, varint(3))]);
    const bytes = Buffer.concat([
      field(1, 'echo_FP32'),
      field(9, 'x'.repeat(shift)),
      field(5, input),
      field(7, Buffer.from(numbers.buffer)),
    ]);
    const { inputs } = tensorsOf(decodeMessage(bytes, limits), plane.versions.get('echo_FP32')![0]!, limits);
    assert.deepEqual(inputs[0]!.data, numbers);
  }
});

test('maps keep `__proto__` as a key and change no object', () => {
  const entry = (key: string): Buffer => Buffer.concat([field(1, key), field(2, Buffer.from([0x08, 0x01]))]);
  const message = decodeMessage(Buffer.concat([field(4, entry('__proto__')), field(4, entry('constructor'))]), limits);
  assert.deepEqual([...message.parameters.keys()], ['__proto__', 'constructor']);
  const load = decodeRepositoryMessage(Buffer.concat([field(2, 'm'), field(3, entry('__proto__'))]));
  assert.deepEqual(Object.keys(load.parameters), ['__proto__']);
  assert.equal(({} as { polluted?: boolean }).polluted, undefined);
});

/** A generator of its own, so that a failure can be repeated. */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

test('random bytes, and mutated and cut messages, are decoded or refused, never anything else', () => {
  const random = chance(42);
  const plane = new FakePlane();
  const version = plane.versions.get('simple')![0]!;
  const tensor = (name: string): Buffer =>
    Buffer.concat([
      field(1, name),
      field(2, 'INT32'),
      field(3, Buffer.from([1, 16])),
      field(5, field(2, Buffer.alloc(16))),
    ]);
  const parameter = field(4, Buffer.concat([field(1, 'k'), field(2, field(3, 'text'))]));
  const good = Buffer.concat([
    field(1, 'simple'),
    field(3, 'id'),
    parameter,
    field(5, tensor('INPUT0')),
    field(5, tensor('INPUT1')),
  ]);
  const attempt = (bytes: Buffer): boolean => {
    try {
      const message = decodeMessage(bytes, limits);
      tensorsOf(message, version, limits);
      return true;
    } catch (error) {
      if (!(error instanceof GatewayError)) throw new Error(`${error} for ${bytes.toString('hex')}`, { cause: error });
      assert.notEqual(error.code, 'INTERNAL');
      return false;
    }
  };
  assert.ok(attempt(good));
  for (let i = 0; i < 20_000; i++) {
    const bytes = Buffer.from(good);
    for (let n = 1 + random() * 4; n > 0; n--) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    attempt(bytes);
    attempt(bytes.subarray(0, Math.floor(random() * bytes.length)));
    attempt(Buffer.from(Array.from({ length: Math.floor(random() * 40) }, () => Math.floor(random() * 256))));
  }
});

/** Refused at its own limit, which is met before the rest is walked over, and without holding memory for it. */
function quickly(what: string, bytes: Buffer, pattern: RegExp, decode: (bytes: Buffer) => unknown): void {
  test(`${what} is refused at its limit, in little memory`, () => {
    const before = process.memoryUsage();
    refusedAs(pattern, () => decode(bytes));
    const after = process.memoryUsage();
    assert.ok(after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers < 30e6);
  });
}

const decode = (bytes: Buffer): unknown => decodeMessage(bytes, limits);
const many = (bytes: Buffer | string, count: number): Buffer => Buffer.alloc(bytes.length * count, bytes);
const entry = field(4, Buffer.concat([field(1, 'k'), field(2, Buffer.from([0x08, 0x01]))]));

quickly(
  '64 MiB of empty unknown fields',
  many(Buffer.from([0x7a, 0x00]), 32 * 2 ** 20),
  /more than 65536 fields/,
  decode,
);
quickly('64 MiB of model names', many(field(1, 'a'), 22 * 2 ** 20), /more than 65536 fields/, decode);
quickly('64 MiB of packed numbers', field(5, field(5, field(3, Buffer.alloc(64 * 2 ** 20)))), /typed contents/, decode);
quickly(
  '32 million empty packed runs',
  field(5, field(5, many(Buffer.from([0x1a, 0x00]), 2 ** 25))),
  /empty fields/,
  decode,
);
quickly('32 million empty raw entries', many(Buffer.from([0x3a, 0x00]), 2 ** 25), /more than 1024 entries/, decode);
quickly('200,000 map entries', many(entry, 200_000), /more than 256 request parameters/, decode);
quickly('200,000 map entries of an input', field(5, many(entry, 200_000)), /more than 1000 parameters/, decode);
quickly('a million inputs', many(Buffer.from([0x2a, 0x00]), 1e6), /more than 1024 inputs/, decode);
quickly('a shape of a million dimensions', field(5, field(3, Buffer.alloc(1e6))), /at most 32/, decode);
quickly('a million groups', many(Buffer.from([0x6b]), 1e6), /group/, decode);
quickly('a plain request of 1 MB', Buffer.alloc(1e6), /at most 65536/, (bytes) => checkFields(bytes, 65_536));
quickly(
  '200,000 entries of a load',
  many(field(3, field(2, Buffer.from([0x08, 0x01]))), 200_000),
  /more than 1000 parameters/,
  decodeRepositoryMessage,
);

test('a message nested a thousand levels deep is read without recursion', () => {
  let nested: Buffer = Buffer.alloc(0);
  for (let i = 0; i < 1000; i++) nested = field(5, nested);
  refusedAs(/./, () => {
    const message = decodeMessage(nested, limits);
    tensorsOf(message, new FakePlane().versions.get('simple')![0]!, limits);
  });
});
