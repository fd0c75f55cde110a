/**
 * What a stock client cannot send, and what it does not show: every case is put to both engines, so that a caller cannot tell
 * which one a listener has.
 */
import assert from 'node:assert/strict';
import { type ClientHttp2Session, connect, constants } from 'node:http2';
import { after, before, test } from 'node:test';
import { timeoutMsOf } from '../src/grpc/timeout.js';
import { oneInput, Rig, rawOf, simpleRequest } from './grpc-fixture.js';

interface Answered {
  readonly headers: Record<string, string>;
  readonly trailers: Record<string, string>;
  readonly body: Buffer;
  readonly resetCode: number;
}

interface Sent {
  readonly headers?: Record<string, string>;
  /** The call is left open after its last chunk. */
  readonly isOpen?: boolean;
}

const path = '/inference.GRPCInferenceService/ModelInfer';
const messageBytesMax = 1_000_000;
const own = { rig: undefined as unknown as Rig, session: undefined as unknown as ClientHttp2Session };
const stock = { rig: undefined as unknown as Rig, session: undefined as unknown as ClientHttp2Session };

before(async () => {
  own.rig = await Rig.open({ messageBytesMax });
  stock.rig = await Rig.open({ messageBytesMax, engine: 'grpc-js' });
  for (const door of [own, stock]) door.session = connect(`http://127.0.0.1:${door.rig.door.port}`);
});
after(async () => {
  for (const { rig, session } of [own, stock]) {
    session.destroy();
    await rig.close();
  }
});

function encoded(request: object): Buffer {
  return (own.rig.client.ModelInfer.requestSerialize as (message: object) => Buffer)(request);
}

function framed(message: Buffer, flag = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function texts(headers: object): Record<string, string> {
  const kept = Object.entries(headers).filter(([name]) => name !== 'date');
  return Object.fromEntries(kept.map(([name, value]) => [name, String(value)]));
}

/** One call without a client library. */
function ask(session: ClientHttp2Session, chunks: readonly Buffer[], { headers = {}, isOpen }: Sent = {}) {
  return new Promise<Answered>((resolve) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    let [got, trailers]: Record<string, string>[] = [{}, {}];
    const body: Buffer[] = [];
    stream.on('response', (received) => {
      got = texts(received);
    });
    stream.on('trailers', (received) => {
      trailers = texts(received);
    });
    stream.on('data', (chunk: Buffer) => body.push(chunk));
    stream.on('error', () => {});
    stream.on('close', () =>
      resolve({ headers: got!, trailers: trailers!, body: Buffer.concat(body), resetCode: stream.rstCode ?? 0 }),
    );
    stream.on('end', () => stream.close());
    for (const chunk of chunks) stream.write(chunk);
    if (isOpen !== true) stream.end();
  });
}

/** The status of a call, wherever it came. */
function statusOf({ headers, trailers }: Answered): { code: string | undefined; text: string } {
  const from = headers['grpc-status'] === undefined ? trailers : headers;
  const text = from['grpc-message'] ?? '';
  return { code: from['grpc-status'], text: text === 'OK' ? '' : decodeURIComponent(text) };
}

/** Headers that are the same whoever answers; the text of a status has been compared, and may be encoded in two ways. */
function comparable({ headers }: Answered): Record<string, string> {
  return { ...headers, 'x-request-id': '', 'grpc-message': '' };
}

/** Puts one case to both listeners. */
async function both(chunks: readonly Buffer[], sent: Sent = {}): Promise<Answered> {
  const [ours, theirs] = await Promise.all([own, stock].map(({ session }) => ask(session, chunks, sent)));
  assert.deepEqual(statusOf(ours!), statusOf(theirs!));
  assert.deepEqual(ours!.body, theirs!.body);
  assert.deepEqual(comparable(ours!), comparable(theirs!));
  return ours!;
}

test('a listener has the engine that it was told', async () => {
  assert.equal(own.rig.door.engine, 'own');
  assert.equal(stock.rig.door.engine, 'grpc-js');
});

test('a reply has headers, one message and trailers', async () => {
  const { headers, trailers, body } = await both([framed(encoded(simpleRequest({ id: 'mine' })))]);
  assert.equal(headers['content-type'], 'application/grpc+proto');
  assert.equal(headers['x-sluice-model'], 'simple');
  assert.equal(headers['x-sluice-version'], '2');
  assert.equal(body.readUInt32BE(1), body.length - 5);
  assert.equal(trailers['grpc-status'], '0');
});

test('an error is one header block that ends the stream, its text percent-encoded', async () => {
  const { headers, body, trailers } = await both([
    framed(encoded(simpleRequest({ model_name: 'simple', outputs: [{ name: 'ü 100% 💧' }] }))),
  ]);
  assert.equal(headers['grpc-status'], '3');
  assert.match(headers['grpc-message']!, /%C3%BC%20100%25%20%F0%9F%92%A7/);
  assert.deepEqual([body.length, trailers], [0, {}]);
});

test('a message may come in pieces that break anywhere', async () => {
  const bytes = framed(encoded(simpleRequest({ id: 'split' })));
  const whole = await both([bytes]);
  for (let at = 1; at < bytes.length; at++) {
    const { body } = await ask(own.session, [bytes.subarray(0, at), bytes.subarray(at)]);
    assert.deepEqual(body, whole.body, `split at ${at}`);
  }
  assert.deepEqual(
    (
      await ask(
        own.session,
        Array.from(bytes, (byte) => Buffer.of(byte)),
      )
    ).body,
    whole.body,
  );
});

test('a prefix over the limit is RESOURCE_EXHAUSTED before the message comes', async () => {
  const prefix = framed(Buffer.alloc(messageBytesMax + 1)).subarray(0, 5);
  const answered = await both([prefix], { isOpen: true });
  assert.deepEqual(statusOf(answered), {
    code: '8',
    text: `Received message larger than max (${messageBytesMax + 1} vs ${messageBytesMax})`,
  });
  const huge = Buffer.of(0, 0xff, 0xff, 0xff, 0xff);
  assert.equal(statusOf(await both([huge], { isOpen: true })).code, '8');
});

test('no message, half a message and two messages are UNIMPLEMENTED', async () => {
  const bytes = framed(encoded(simpleRequest()));
  for (const chunks of [
    [],
    [bytes.subarray(0, 3)],
    [bytes.subarray(0, -1)],
    [bytes, bytes],
    [Buffer.concat([bytes, bytes])],
  ]) {
    assert.equal(statusOf(await both(chunks)).code, '12');
  }
});

test('an empty message and a flag without an encoding are treated as grpc-js treats them', async () => {
  assert.equal(statusOf(await both([framed(Buffer.alloc(0))])).code, '3');
  assert.equal(statusOf(await both([framed(encoded(simpleRequest({ id: 'a' })), 1)])).code, '0');
});

test('other methods, types and encodings are answered alike', async () => {
  const bytes = framed(encoded(simpleRequest({ id: 'a' })));
  const cases: Record<string, string>[] = [
    { 'content-type': 'application/json' },
    { 'content-type': 'application/grpc+json' },
    { ':path': '/inference.GRPCInferenceService/Nothing' },
    { 'grpc-encoding': 'snappy' },
    { 'grpc-encoding': 'identity' },
  ];
  for (const headers of cases) await both([bytes], { headers });
  assert.equal((await both([bytes], { headers: cases[0]! })).headers[':status'], '415');
});

test('metadata that is not text, or not an id, is read as grpc-js reads it', async () => {
  const bytes = framed(encoded(simpleRequest()));
  const cases: Record<string, string>[] = [
    { 'x-request-id': 'from-header' },
    { 'x-request-id': 'a b' },
    { 'x-request-id': '\xfc' },
    { 'x-sluice-timeout-ms': '0' },
    { 'x-sluice-timeout-ms': '\xfc' },
    { 'x-sluice-variant': 'b' },
  ];
  for (const headers of cases) await both([bytes], { headers });
  assert.equal((await both([bytes], { headers: cases[0]! })).headers['x-request-id'], 'from-header');
});

test('a deadline is read from its header, passes while the message is awaited, and must be one', async () => {
  const [late, odd] = [{ 'grpc-timeout': '20m' }, { 'grpc-timeout': 'soon' }];
  assert.deepEqual(statusOf(await both([], { headers: late, isOpen: true })), { code: '4', text: 'Deadline exceeded' });
  const { code, text } = statusOf(await both([framed(encoded(simpleRequest()))], { headers: odd }));
  assert.deepEqual([code, text], ['13', 'Invalid grpc-timeout value "soon"']);
  assert.deepEqual(['1H', '2M', '3S', '4m', '1500u', '1n', '99999999S', '', 'S', '5'].map(timeoutMsOf), [
    3_600_000,
    120_000,
    3000,
    4,
    1,
    0,
    99_999_999_000,
    undefined,
    undefined,
    undefined,
  ]);
});

test('a reset of a call in flight cancels its request, and the connection goes on', async () => {
  const { rig, session } = own;
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => {});
  stream.end(framed(encoded(oneInput('held', 'FP32', [1], rawOf(new Float32Array([1]))))));
  await rig.plane.untilHeld(1);
  stream.close(constants.NGHTTP2_CANCEL);
  await rig.plane.untilCancelled(1);
  rig.plane.held.length = 0;
  assert.equal(statusOf(await ask(session, [framed(encoded(simpleRequest()))])).code, '0');
});

test('a connection that breaks cancels what it asked for', async () => {
  const one = await Rig.open();
  const session = connect(`http://127.0.0.1:${one.door.port}`);
  session.on('error', () => {});
  void ask(session, [framed(encoded(oneInput('held', 'FP32', [1], rawOf(new Float32Array([1])))))]);
  await one.plane.untilHeld(1);
  session.destroy();
  await one.plane.untilCancelled(1);
  await one.close();
});

test('a reply over the limit is RESOURCE_EXHAUSTED, whatever its request was', async () => {
  const limit = 400;
  const one = await Rig.open({ messageBytesMax: limit });
  const ask = (count: number) => ({
    model_name: 'echo_INT64',
    inputs: [{ name: 'IN', datatype: 'INT64', shape: [count], contents: { int64_contents: Array(count).fill(1) } }],
  });
  await one.call('ModelInfer', ask(40));
  const failure = await one.fails('ModelInfer', ask(50));
  assert.match(failure.details, /^Sent message larger than max \(\d+ vs\. 400\)$/);
  assert.equal(failure.code, 8);
  await one.close();
});

test('a reply larger than the window of its caller arrives whole, as the caller makes room', async () => {
  const values = Float32Array.from({ length: 200_000 }, (_, i) => i);
  const { body } = await both([framed(encoded(oneInput('echo_FP32', 'FP32', [values.length], rawOf(values))))]);
  assert.deepEqual(body.subarray(-values.byteLength), rawOf(values));
});

test('a stop waits for open calls, and ends when they have ended', async () => {
  const one = await Rig.open();
  const session = connect(`http://127.0.0.1:${one.door.port}`);
  const asked = ask(session, [framed(encoded(oneInput('held', 'FP32', [1], rawOf(new Float32Array([1])))))]);
  await one.plane.untilHeld(1);
  let isStopped = false;
  const stopped = one.door.stop(60_000).then(() => {
    isStopped = true;
  });
  const goaway = new Promise((resolve) => session.once('goaway', resolve));
  await goaway;
  assert.equal(isStopped, false);
  one.plane.held[0]!.release();
  assert.equal(statusOf(await asked).code, '0');
  await stopped;
});
