/** HTTP/2 of our own: what a peer may not do, and what it may not make us do. Bytes over real sockets. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { flagEnd, frame, frameHeaders, frameSettings } from '../bench/suite/http2-frames.js';
import { fieldBlock } from '../src/grpc/http2/field-block.js';
import { oneInput, Rig, rawOf, simpleRequest } from './grpc-fixture.js';
import {
  call,
  codeOf,
  data,
  flagHeadersEnd,
  flagPadded,
  frameContinuation,
  framed,
  frameGoAway,
  framePing,
  framePush,
  frameReset,
  frameWindow,
  headers,
  hello,
  inferPath,
  number,
  RawClient,
  settingsFrame,
  streamPath,
  usualFields,
} from './raw-http2.js';

let rig: Rig;
let simple: Buffer;
let held: Buffer;
before(async () => {
  rig = await Rig.open({ streamsMax: 100, streamInFlightMax: 1, writeTimeoutMs: 100 });
  const encode = rig.client.ModelInfer.requestSerialize as (message: object) => Buffer;
  simple = encode(simpleRequest());
  held = encode(oneInput('held', 'FP32', [1], rawOf(new Float32Array([1]))));
});
after(() => rig.close());

function open(one = rig): RawClient {
  return new RawClient(one.door.port);
}

/** The connection answers a call. */
async function checkLives(client: RawClient, stream = 901): Promise<void> {
  client.send(call(stream, simple));
  assert.match(await client.untilStatus(stream), /grpc-status.0/s);
}

const none = Buffer.alloc(0);
const path = fieldBlock([[':path', inferPath]]);
const noHeaders = frame(frameHeaders, 0, 1, fieldBlock(usualFields));

const violations: Readonly<Record<string, readonly [code: number, bytes: Buffer]>> = {
  'a frame of 16,385 bytes': [6, frame(frameSettings, 0, 0, Buffer.alloc(16_385))],
  'DATA of the connection': [1, data(0, none)],
  'DATA of an idle stream': [1, data(7, Buffer.from('x'))],
  'DATA of an even stream': [1, data(2, Buffer.from('x'))],
  'DATA with padding longer than it': [1, Buffer.concat([headers(1), data(1, Buffer.of(4, 0, 0, 0), flagPadded)])],
  'padded DATA without a length': [6, Buffer.concat([headers(1), data(1, none, flagPadded)])],
  'HEADERS of the connection': [1, headers(0)],
  'HEADERS of an even stream': [1, headers(2)],
  'HEADERS with padding longer than it': [1, frame(frameHeaders, flagHeadersEnd | flagPadded, 1, Buffer.of(9, 0x83))],
  'padded HEADERS without a length': [6, frame(frameHeaders, flagHeadersEnd | flagPadded, 1, none)],
  'HEADERS with half a priority': [1, frame(frameHeaders, flagHeadersEnd | 0x20, 1, Buffer.of(0, 0))],
  'WINDOW_UPDATE of 0': [1, frame(frameWindow, 0, 0, number(0))],
  'WINDOW_UPDATE beyond the largest window': [3, frame(frameWindow, 0, 0, number(2 ** 31 - 1))],
  'WINDOW_UPDATE of 3 bytes': [6, frame(frameWindow, 0, 0, Buffer.alloc(3))],
  'WINDOW_UPDATE of an idle stream': [1, frame(frameWindow, 0, 9, number(1))],
  'RST_STREAM of an idle stream': [1, frame(frameReset, 0, 9, number(8))],
  'RST_STREAM of the connection': [1, frame(frameReset, 0, 0, number(8))],
  'RST_STREAM of 5 bytes': [6, frame(frameReset, 0, 1, Buffer.alloc(5))],
  'PING of 7 bytes': [6, frame(framePing, 0, 0, Buffer.alloc(7))],
  'PING of a stream': [1, frame(framePing, 0, 1, Buffer.alloc(8))],
  'SETTINGS of a stream': [1, frame(frameSettings, 0, 1, none)],
  'SETTINGS of 5 bytes': [6, frame(frameSettings, 0, 0, Buffer.alloc(5))],
  'SETTINGS with ACK and a payload': [6, frame(frameSettings, 1, 0, Buffer.alloc(6))],
  'a window of 2^31': [3, settingsFrame([4, 2 ** 31])],
  'ENABLE_PUSH of 2': [1, settingsFrame([2, 2])],
  'frames of 16,383 bytes at most': [1, settingsFrame([5, 16_383])],
  'GOAWAY of a stream': [1, frame(frameGoAway, 0, 1, Buffer.alloc(8))],
  'GOAWAY of 4 bytes': [6, frame(frameGoAway, 0, 0, Buffer.alloc(4))],
  'PRIORITY of the connection': [1, frame(2, 0, 0, Buffer.alloc(5))],
  'PRIORITY of 4 bytes': [6, frame(2, 0, 1, Buffer.alloc(4))],
  PUSH_PROMISE: [1, frame(framePush, flagHeadersEnd, 1, number(2))],
  'CONTINUATION of nothing': [1, frame(frameContinuation, flagHeadersEnd, 1, path)],
  'DATA within a header block': [1, Buffer.concat([noHeaders, data(1, none)])],
  'PING within a header block': [1, Buffer.concat([noHeaders, frame(framePing, 0, 0, Buffer.alloc(8))])],
  'CONTINUATION of another stream': [1, Buffer.concat([noHeaders, frame(frameContinuation, 4, 3, none)])],
  'CONTINUATION without an end': [
    11,
    Buffer.concat([noHeaders, ...Array(40).fill(frame(frameContinuation, 0, 1, none))]),
  ],
  'a header block of 80 KiB': [
    11,
    Buffer.concat([noHeaders, ...Array(5).fill(frame(frameContinuation, 0, 1, Buffer.alloc(16_384)))]),
  ],
  'an index beyond the tables': [9, frame(frameHeaders, flagHeadersEnd, 1, Buffer.of(0xfe))],
  'index 0': [9, frame(frameHeaders, flagHeadersEnd, 1, Buffer.of(0x80))],
  'a string that is cut off': [9, frame(frameHeaders, flagHeadersEnd, 1, Buffer.of(0x04, 10, 0x2f))],
  'a string that is missing': [9, frame(frameHeaders, flagHeadersEnd, 1, Buffer.of(0x04))],
  'an integer without an end': [9, frame(frameHeaders, flagHeadersEnd, 1, Buffer.alloc(9, 0xff))],
  'an integer that is cut off': [9, frame(frameHeaders, flagHeadersEnd, 1, Buffer.of(0xff, 0x80))],
  'Huffman padding with zeros': [9, frame(frameHeaders, flagHeadersEnd, 1, Buffer.of(0x04, 0x81, 0x60))],
  'Huffman padding of a byte': [9, frame(frameHeaders, flagHeadersEnd, 1, Buffer.of(0x04, 0x82, 0x63, 0xff))],
  'the end of a string in Huffman code': [
    9,
    frame(frameHeaders, flagHeadersEnd, 1, Buffer.of(0x04, 0x84, 0xff, 0xff, 0xff, 0xff)),
  ],
  'a table larger than offered': [9, frame(frameHeaders, flagHeadersEnd, 1, Buffer.of(0x3f, 0xe2, 0x1f))],
  'a table size within a block': [9, frame(frameHeaders, flagHeadersEnd, 1, Buffer.of(0x83, 0x20))],
};

for (const [what, [code, bytes]] of Object.entries(violations)) {
  test(`${what} ends the connection with code ${code}`, async () => {
    const client = open();
    client.send(hello(), bytes);
    assert.equal(codeOf(await client.until(({ type }) => type === frameGoAway)), code);
    await client.closed;
  });
}

test('another protocol is hung up on', async () => {
  for (const text of ['GET / HTTP/1.1\r\nHost: a\r\n\r\n', 'PRI * HTTP/2.0\r\n\r\nXX', '\0', '\x16\x03\x01\x02\x00']) {
    const client = open();
    client.send(Buffer.from(text, 'latin1'));
    await client.closed;
    assert.ok(!client.frames.some(({ type }) => type === frameGoAway), text);
  }
});

test('what comes before SETTINGS ends the connection', async () => {
  const preface = hello().subarray(0, 24);
  for (const bytes of [
    headers(1),
    data(1, none),
    frame(framePing, 0, 0, Buffer.alloc(8)),
    frame(frameSettings, 1, 0, none),
  ]) {
    const client = open();
    client.send(preface, bytes);
    assert.equal(codeOf(await client.until(({ type }) => type === frameGoAway)), 1);
    await client.closed;
  }
});

const without = (name: string) => usualFields.filter(([field]) => field !== name);
const pseudo = fieldBlock([[':path', '/']]);
const faults: Readonly<Record<string, readonly [code: number, bytes: Buffer]>> = {
  'no :path': [1, headers(1, without(':path'))],
  'no :method': [1, headers(1, without(':method'))],
  'no :scheme': [1, headers(1, without(':scheme'))],
  'an empty block': [1, headers(1, [])],
  ':path twice': [1, headers(1, [[':path', inferPath], ...usualFields])],
  'an unknown pseudo-header': [1, headers(1, [[':secret', 'a'], ...usualFields])],
  ':status in a request': [1, headers(1, [[':status', '200'], ...usualFields])],
  'a pseudo-header after other fields': [1, headers(1, [...usualFields, [':authority', 'a']])],
  'field connection': [1, headers(1, [...usualFields, ['connection', 'close']])],
  'field transfer-encoding': [1, headers(1, [...usualFields, ['transfer-encoding', 'chunked']])],
  'field te with more than trailers': [1, headers(1, [...without('te'), ['te', 'gzip']])],
  'a name in capitals': [1, headers(1, [...usualFields, ['X-Case', 'a']])],
  'an empty name': [1, headers(1, [...usualFields, ['', 'a']])],
  'a line break in a value': [1, headers(1, [...usualFields, ['x-a', 'b\r\nc: d']])],
  'a blank before a value': [1, headers(1, [...usualFields, ['x-a', ' b']])],
  'a second head': [1, Buffer.concat([headers(1), headers(1)])],
  'a pseudo-header among trailers': [1, Buffer.concat([headers(1), frame(frameHeaders, 5, 1, pseudo)])],
  'WINDOW_UPDATE of 0 on a stream': [1, Buffer.concat([headers(1), frame(frameWindow, 0, 1, number(0))])],
  'WINDOW_UPDATE beyond the largest window': [
    3,
    Buffer.concat([headers(1), frame(frameWindow, 0, 1, number(2 ** 31 - 1))]),
  ],
};

for (const [what, [code, bytes]] of Object.entries(faults)) {
  test(`${what} resets its stream with code ${code}, and the connection goes on`, async () => {
    const client = open();
    client.send(hello(), bytes);
    assert.equal(codeOf(await client.untilReset(1)), code);
    await checkLives(client);
    client.socket.destroy();
  });
}

test('DATA after the end resets its stream', async () => {
  const client = open();
  rig.plane.held.length = 0;
  client.send(hello(), call(1, held));
  await rig.plane.untilHeld(1);
  client.send(data(1, Buffer.from('more')));
  assert.equal(codeOf(await client.untilReset(1)), 5);
  await checkLives(client);
  client.socket.destroy();
});

test('frames of a stream that has been answered are passed over', async () => {
  const client = open();
  client.send(hello(), call(1, simple));
  await client.untilStatus(1);
  client.send(data(1, Buffer.from('late')), frame(frameReset, 0, 1, number(8)), frame(frameWindow, 0, 1, number(9)));
  client.send(frame(frameHeaders, flagEnd | flagHeadersEnd, 1, fieldBlock([['x-late', 'a']])));
  await checkLives(client);
  client.socket.destroy();
});

test('frames without a meaning, and priorities, are passed over', async () => {
  const client = open();
  client.send(
    hello(),
    frame(0x42, 0xff, 0, Buffer.from('what')),
    frame(2, 0, 5, Buffer.alloc(5)),
    frame(0xa, 0, 1, none),
  );
  await checkLives(client);
  client.socket.destroy();
});

test('padding, priority, CONTINUATION and trailers are read as they are meant', async () => {
  const client = open();
  const block = fieldBlock(usualFields);
  const padded = Buffer.concat([Buffer.of(3), number(0), Buffer.of(16), block.subarray(0, 20), Buffer.alloc(3)]);
  const message = framed(simple);
  client.send(
    hello(),
    frame(frameHeaders, flagPadded | 0x20, 1, padded),
    ...Array.from(block.subarray(20, 40), (byte) => frame(frameContinuation, 0, 1, Buffer.of(byte))),
    frame(frameContinuation, flagHeadersEnd, 1, block.subarray(40)),
    data(1, Buffer.concat([Buffer.of(2), message.subarray(0, 50), Buffer.alloc(2)]), flagPadded),
    data(1, none, 0),
    data(1, message.subarray(50), 0),
    frame(frameHeaders, flagEnd | flagHeadersEnd, 1, fieldBlock([['x-trailer', 'a']])),
  );
  assert.match(await client.untilStatus(1), /grpc-status.0/s);
  client.socket.destroy();
});

test('a stream beyond the limit is refused, and is served when another has ended', async () => {
  const client = open();
  client.send(hello(), ...Array.from({ length: 101 }, (_, i) => headers(i * 2 + 1)));
  assert.equal(codeOf(await client.untilReset(201)), 7);
  client.send(data(1, framed(simple)));
  await client.untilStatus(1);
  await checkLives(client, 203);
  client.socket.destroy();
});

test('header fields over 16 KiB are answered with a status, and the tables stay in step', async () => {
  const client = open();
  const large = Array.from({ length: 12 }, (_, i) => [`x-large-${i}`, 'a'.repeat(1400)] as const);
  const block = fieldBlock([...usualFields, ...large]);
  // With incremental indexing: both ends must agree on the table afterwards.
  const indexed = Buffer.concat([Buffer.of(0x40, 3), Buffer.from('x-a'), Buffer.of(1), Buffer.from('b')]);
  client.send(
    hello(),
    frame(frameHeaders, flagEnd, 1, block.subarray(0, 16_000)),
    frame(frameContinuation, flagHeadersEnd, 1, Buffer.concat([block.subarray(16_000), indexed])),
  );
  const refused = await client.untilStatus(1);
  assert.match(refused, /431/);
  assert.match(refused, /grpc-status.8/s);
  const again = Buffer.concat([fieldBlock(usualFields), Buffer.of(0xbe)]);
  client.send(frame(frameHeaders, flagHeadersEnd, 3, again), data(3, framed(simple)));
  assert.match(await client.untilStatus(3), /grpc-status.0/s);
  client.socket.destroy();
});

test('what is no call of gRPC is refused as HTTP; te is not insisted on', async () => {
  const client = open();
  const replaced = (name: string, value: string) => [...without(name), [name, value] as const];
  client.send(
    hello(),
    headers(1, replaced('content-type', 'application/json')),
    headers(3, without('content-type')),
    headers(5, [[':method', 'GET'], ...without(':method')]),
    headers(7, without('te')),
    data(7, framed(simple)),
  );
  assert.match(await client.untilStatus(1), /415/);
  assert.match(await client.untilStatus(3), /415/);
  assert.match(await client.untilStatus(5), /405/);
  assert.match(await client.untilStatus(7), /grpc-status.0/s);
  client.socket.destroy();
});

test('a flood of resets ends its connection, and what it asked for is cancelled', async () => {
  const client = open();
  rig.plane.held.length = 0;
  rig.plane.cancelled = 0;
  client.send(hello());
  for (let stream = 1; stream < 3000; stream += 2) {
    client.send(call(stream, held), frame(frameReset, 0, stream, number(8)));
  }
  assert.equal(codeOf(await client.until(({ type }) => type === frameGoAway)), 11);
  await client.closed;
  assert.equal(rig.plane.held.length, rig.plane.cancelled);
  assert.ok(rig.plane.held.length < 1200);
});

test('a flood of streams that must be refused ends its connection', async () => {
  const client = open();
  client.send(hello(), ...Array.from({ length: 1500 }, (_, i) => headers(i * 2 + 1, [])));
  assert.equal(codeOf(await client.until(({ type }) => type === frameGoAway)), 11);
  await client.closed;
});

for (const [what, bytes] of Object.entries({
  'empty DATA': data(1, none, 0),
  'DATA of padding alone': frame(0, flagPadded, 1, Buffer.of(0)),
  PRIORITY: frame(2, 0, 1, Buffer.alloc(5)),
  'frames without a meaning': frame(0xfe, 0, 1, none),
  'SETTINGS with ACK': frame(frameSettings, 1, 0, none),
})) {
  test(`a flood of ${what} ends its connection`, async () => {
    const client = open();
    client.send(hello(), headers(1), ...Array(14_000).fill(bytes));
    assert.equal(codeOf(await client.until(({ type }) => type === frameGoAway)), 11);
    await client.closed;
  });
}

test('pings are answered however often they come, in order', async () => {
  const client = open();
  const count = 20_000;
  client.send(
    hello(),
    ...Array.from({ length: count }, (_, i) => frame(framePing, 0, 0, Buffer.concat([number(i), number(7)]))),
  );
  await client.until(({ type, payload }) => type === framePing && payload.readUInt32BE(0) === count - 1);
  const answers = client.frames.filter(({ type, flags }) => type === framePing && flags === 1);
  assert.deepEqual(
    answers.map(({ payload }) => payload.readUInt32BE(0)),
    Array.from({ length: count }, (_, i) => i),
  );
  client.socket.destroy();
});

test('a peer that asks and does not read is not listened to any more', async () => {
  const client = open();
  client.socket.pause();
  client.send(hello());
  const chunk = Buffer.concat(Array(4096).fill(frame(framePing, 0, 0, Buffer.alloc(8))));
  const chunks = 1200;
  for (let i = 0; i < chunks; i++) client.socket.write(chunk);
  const taken = () => client.socket.bytesWritten - client.socket.writableLength;
  for (let before = -1; before !== taken(); ) {
    before = taken();
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  // What the system holds on both ways, and a megabyte of ours.
  assert.ok(taken() < (chunk.length * chunks) / 2, `${taken()}`);
  client.socket.destroy();
});

test('a reply goes out as its caller makes room, byte by byte', async () => {
  const client = open();
  client.send(hello([4, 0]), call(1, simple));
  await client.until(({ type, stream }) => type === frameHeaders && stream === 1);
  const size = () => client.bodyOf(1).length;
  for (let room = 1; room <= 3; room++) {
    client.send(frame(frameWindow, 0, 1, number(1)));
    await client.until(() => size() === room);
  }
  client.send(settingsFrame([4, 20]));
  await client.until(() => size() === 23);
  client.send(settingsFrame([4, 0]), frame(frameWindow, 0, 1, number(5)), settingsFrame([4, 1000]));
  assert.match(await client.untilStatus(1), /grpc-status.0/s);
  assert.equal(client.bodyOf(1).readUInt32BE(1), size() - 5);
  client.socket.destroy();
});

test('the room of the connection is shared by its streams', async () => {
  const client = open();
  const large = rig.client.ModelInfer.requestSerialize(
    oneInput('echo_FP32', 'FP32', [10_000], rawOf(new Float32Array(10_000))),
  );
  client.send(hello([4, 2 ** 31 - 1]), call(1, large), call(3, large));
  const received = () => client.bodyOf(1).length + client.bodyOf(3).length;
  await client.until(() => received() === 65_535);
  client.send(frame(frameWindow, 0, 0, number(100_000)));
  for (const stream of [1, 3]) assert.match(await client.untilStatus(stream), /grpc-status.0/s);
  client.socket.destroy();
});

test('a reply that its caller does not take is dropped with its stream after a while', async () => {
  const client = open();
  client.send(hello([4, 0]), call(1, simple));
  assert.equal(codeOf(await client.untilReset(1)), 8);
  client.send(settingsFrame([4, 65_535]));
  await checkLives(client);
  client.socket.destroy();
});

test('a stream that is not read keeps its sender within its window', async () => {
  const client = open();
  rig.plane.held.length = 0;
  const path = usualFields.map(([name, value]) => [name, name === ':path' ? streamPath : value] as const);
  client.send(hello(), headers(1, path), data(1, framed(held), 0));
  await rig.plane.untilHeld(1);
  const part = data(1, Buffer.alloc(16_000), 0);
  client.send(...Array(16).fill(part));
  await checkLives(client);
  assert.ok(!client.frames.some(({ type, stream }) => type === frameWindow && stream === 1));
  client.send(part);
  assert.equal(codeOf(await client.untilReset(1)), 3);
  await checkLives(client, 903);
  client.socket.destroy();
});

test('what a peer sends is paid for in room, on the stream and on the connection', async () => {
  const client = open();
  client.send(hello(), headers(1), data(1, Buffer.of(0, ...number(8_000_000)), 0));
  const part = data(1, Buffer.alloc(16_000), 0);
  const granted = () =>
    client.frames
      .filter(({ type, stream }) => type === frameWindow && stream === 1)
      .reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 262_144);
  for (let sent = 80_000; sent < 7_900_000; sent += 80_000) {
    client.send(...Array(5).fill(part));
    const next = sent + 80_000;
    await client.until(() => granted() >= next);
  }
  assert.ok(client.frames.some(({ type, stream }) => type === frameWindow && stream === 0));
  await checkLives(client);
  client.socket.destroy();
});

test('an old connection is led to its end without losing a call', async () => {
  const one = await Rig.open({ connectionAgeMs: 1000 });
  const client = open(one);
  client.send(hello(), call(1, held));
  const first = await client.until(({ type }) => type === frameGoAway);
  assert.equal(first.payload.readUInt32BE(0), 2 ** 31 - 1);
  // It was on its way when the end was announced.
  client.send(call(3, simple));
  assert.match(await client.untilStatus(3), /grpc-status.0/s);
  client.send(frame(framePing, 1, 0, Buffer.alloc(8)));
  const last = await client.until((frame) => frame.type === frameGoAway && frame !== first);
  assert.equal(last.payload.readUInt32BE(0), 3);
  one.plane.held[0]!.release();
  assert.match(await client.untilStatus(1), /grpc-status.0/s);
  await client.closed;
  await one.close();
});

test('a stop does not wait for a ping that is never answered', async () => {
  const one = await Rig.open();
  const client = open(one);
  client.send(hello());
  await client.until(({ type }) => type === frameSettings);
  await one.door.stop(60_000);
  await client.closed;
});

test('half a call that is never finished ends at its time limit', async () => {
  const one = await Rig.open({ requestTimeoutMs: 50 });
  const client = open(one);
  client.send(hello(), headers(1), data(1, framed(simple).subarray(0, 20), 0));
  assert.match(await client.untilStatus(1), /grpc-status.4/s);
  assert.equal(codeOf(await client.untilReset(1)), 0);
  client.socket.destroy();
  await one.close();
});
