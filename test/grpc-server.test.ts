/** The listener itself: sizes, compression, hostile bytes over the wire, overload, start and stop. */
import assert from 'node:assert/strict';
import { connect } from 'node:http2';
import { after, before, test } from 'node:test';
import { compressionAlgorithms, status } from '@grpc/grpc-js';
import { GatewayError } from '../src/core/errors.js';
import { listenGrpc } from '../src/grpc/server.js';
import { defaults, FakePlane, type Message, oneInput, Rig, rawOf, simpleRequest } from './grpc-fixture.js';

let rig: Rig;
before(async () => {
  rig = await Rig.open();
});
after(() => rig.close());

const held = oneInput('held', 'FP32', [1], rawOf(new Float32Array([1])));

function floats(count: number) {
  return oneInput('echo_FP32', 'FP32', [count], rawOf(new Float32Array(count)));
}

test('bytes that are no request are INVALID_ARGUMENT on every method, and the listener lives', async () => {
  const nested = Buffer.alloc(60_000, 0x0b);
  for (const method of [
    'ModelInfer',
    'ModelReady',
    'ModelStatistics',
    'RepositoryModelLoad',
    'TraceSetting',
    'LogSettings',
  ]) {
    for (const bytes of [Buffer.from('nope'), Buffer.from([0xff, 0xff]), nested, Buffer.from([0x0a, 0x7f])]) {
      await assert.rejects(rig.raw(method, bytes), (error: { code: number; details: string }) => {
        assert.equal(error.code, status.INVALID_ARGUMENT, `${method} ${error.details}`);
        assert.match(error.details, /^failed to parse request: /);
        return true;
      });
    }
  }
  await rig.call('ModelInfer', simpleRequest());
});

test('3.9 MB of packed 64-bit integers cost little more than their bytes', async () => {
  const count = 3_900_000;
  const contents = Buffer.concat([Buffer.from([0x1a]), lengthOf(count), Buffer.alloc(count)]);
  const input = Buffer.concat([
    Buffer.from([0x0a, 2]),
    Buffer.from('IN'),
    Buffer.from([0x12, 5]),
    Buffer.from('INT64'),
    Buffer.from([0x18]),
    lengthOf(count + 1),
    Buffer.from([0x2a]),
    lengthOf(contents.length),
    contents,
  ]);
  const name = 'echo_INT64';
  const bytes = Buffer.concat([
    Buffer.from([0x0a, name.length]),
    Buffer.from(name),
    Buffer.from([0x2a]),
    lengthOf(input.length),
    input,
  ]);
  const before = process.memoryUsage().rss;
  await assert.rejects(rig.raw('ModelInfer', bytes), { code: status.INVALID_ARGUMENT });
  assert.ok(process.memoryUsage().rss - before < 200e6);
});

function lengthOf(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  return Buffer.from([...bytes, rest]);
}

test('random bytes on every method never get an INTERNAL error or stop the listener', async () => {
  let state = 1;
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const methods = ['ModelInfer', 'ModelMetadata', 'RepositoryIndex', 'RepositoryModelUnload', 'LogSettings'];
  rig.plane.relayAnswer = [];
  for (let i = 0; i < 300; i++) {
    const bytes = Buffer.from(Array.from({ length: Math.floor(random() * 60) }, () => Math.floor(random() * 256)));
    await rig.raw(methods[i % methods.length]!, bytes).catch((error: { code: number; details: string }) => {
      assert.notEqual(error.code, status.INTERNAL, error.details);
      assert.notEqual(error.code, status.UNKNOWN, error.details);
    });
  }
  await rig.call('ModelInfer', simpleRequest());
});

test('a long name is cut in the status, so that it fits into a header', async () => {
  const failure = await rig.fails('ModelInfer', simpleRequest({ outputs: [{ name: 'ü'.repeat(2000) }] }));
  assert.equal(failure.code, status.INVALID_ARGUMENT);
  assert.match(failure.details, /^unexpected inference output 'üüü/);
  assert.ok(failure.details.length < 1600);
});

test('a message over the limit is RESOURCE_EXHAUSTED, plain or by its size after decompression', async () => {
  const limit = 100_000;
  const small = await Rig.open({ messageBytesMax: limit });
  await small.call('ModelInfer', floats(limit / 4 - 100));
  assert.equal((await small.fails('ModelInfer', floats(limit / 4 + 100))).code, status.RESOURCE_EXHAUSTED);
  await small.close();
  const gzip = { 'grpc.default_compression_algorithm': compressionAlgorithms.gzip };
  const bomb = await Rig.open({ messageBytesMax: limit }, gzip);
  assert.equal((await bomb.fails('ModelInfer', floats(4e6))).code, status.RESOURCE_EXHAUSTED);
  await bomb.call('ModelInfer', floats(1000));
  await bomb.close();
});

const algorithms = ['identity', 'deflate', 'gzip'] as const;

for (const algorithm of algorithms) {
  for (const responseCompression of ['none', 'low', 'medium', 'high'] as const) {
    test(`a request in ${algorithm} is answered under compression ${responseCompression}`, async () => {
      const channel = { 'grpc.default_compression_algorithm': compressionAlgorithms[algorithm] };
      const one = await Rig.open({ responseCompression }, channel);
      for (const count of [4, 10_000]) {
        const { message } = await one.call('ModelInfer', floats(count));
        assert.equal(message.raw_output_contents[0].length, count * 4);
      }
      const stream = one.client.ModelStreamInfer();
      const sizes: number[] = [];
      stream.on('data', (message: { infer_response: { raw_output_contents: Buffer[] } }) =>
        sizes.push(message.infer_response.raw_output_contents[0]!.length),
      );
      for (const count of [4, 10_000, 5]) stream.write(floats(count));
      stream.end();
      await new Promise((resolve) => stream.on('end', resolve));
      assert.deepEqual(sizes, [16, 40_000, 20]);
      await one.close();
    });
  }
}

/** One ModelInfer without a client library: headers and first bytes of the answer. */
function bare(
  port: number,
  headers: Record<string, string>,
  message: Buffer,
): Promise<{ encoding: string; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const session = connect(`http://127.0.0.1:${port}`);
    session.on('error', reject);
    const stream = session.request({
      ':method': 'POST',
      ':path': '/inference.GRPCInferenceService/ModelInfer',
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    const head = Buffer.alloc(5);
    head.writeUInt32BE(message.length, 1);
    let encoding = '';
    const chunks: Buffer[] = [];
    stream.on('response', (got) => {
      encoding = String(got['grpc-encoding']);
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      session.close();
      resolve({ encoding, body: Buffer.concat(chunks) });
    });
    stream.end(Buffer.concat([head, message]));
  });
}

test('replies are compressed only for a caller that accepts it, and only when they are large', async () => {
  const one = await Rig.open({ responseCompression: 'medium' });
  const path = one.client.ModelInfer.requestSerialize as (message: object) => Buffer;
  const [large, small] = [path(floats(10_000)), path(floats(4))];
  const { port } = one.door;
  const accepted = await bare(port, { 'grpc-accept-encoding': 'identity, gzip' }, large);
  assert.equal(accepted.encoding, 'gzip');
  assert.equal(accepted.body[0], 1);
  assert.ok(accepted.body.length < 1000);
  const deflated = await bare(port, { 'grpc-accept-encoding': 'deflate' }, large);
  assert.equal(deflated.encoding, 'deflate');
  const refusals: Record<string, string>[] = [{}, { 'grpc-accept-encoding': 'identity' }];
  for (const headers of refusals) {
    const plain = await bare(port, headers, large);
    assert.equal(plain.encoding, 'identity');
    assert.equal(plain.body[0], 0);
    assert.ok(plain.body.length > 40_000);
  }
  const tiny = await bare(port, { 'grpc-accept-encoding': 'gzip' }, small);
  assert.equal(tiny.encoding, 'identity');
  assert.equal(tiny.body[0], 0);
  await one.close();
});

test('a full queue is RESOURCE_EXHAUSTED, or UNAVAILABLE where balancers want it', async () => {
  const other = await Rig.open({ overloadStatus: 503 });
  const busy = oneInput('busy', 'FP32', [1], rawOf(new Float32Array([1])));
  assert.equal((await rig.fails('ModelInfer', busy)).code, status.RESOURCE_EXHAUSTED);
  assert.equal((await other.fails('ModelInfer', busy)).code, status.UNAVAILABLE);
  const byCaller = { metadata: { 'x-sluice-timeout-ms': '20' } };
  assert.equal((await other.fails('ModelInfer', held, byCaller)).code, status.DEADLINE_EXCEEDED);
  await other.close();
});

test('a port in use is a one-line error that names it', async () => {
  const taken = listenGrpc(new FakePlane(), { ...defaults, port: rig.door.port });
  await assert.rejects(taken, (error) => {
    assert.ok(error instanceof GatewayError);
    assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${rig.door.port}`));
    return true;
  });
});

test('a stop lets requests in flight finish and refuses new ones', async () => {
  const one = await Rig.open();
  const answered = one.call('ModelInfer', held);
  await one.plane.untilHeld(1);
  const stopped = one.door.stop(5000);
  assert.equal((await one.fails('ModelInfer', simpleRequest())).code, status.UNAVAILABLE);
  one.plane.held[0]!.release();
  assert.equal((await answered).message.model_name, 'held');
  await stopped;
});

test('a stop ends after the grace, whatever is still running', async () => {
  const one = await Rig.open();
  const answered = one.fails('ModelInfer', held);
  await one.plane.untilHeld(1);
  await one.door.stop(50);
  const { code } = await answered;
  assert.ok(code === status.CANCELLED || code === status.UNAVAILABLE, `${code}`);
  one.plane.held[0]!.release();
});

test('idle connections do not hold up a stop', async () => {
  const one = await Rig.open();
  await one.call('ServerLive', {});
  await one.door.stop(2 ** 31 - 1);
  await assert.rejects(one.call('ServerLive', {}), { code: status.UNAVAILABLE });
});

test('a flood of reset streams does not stop the listener', async () => {
  const session = connect(`http://127.0.0.1:${rig.door.port}`);
  session.on('error', () => {});
  await new Promise((resolve) => session.once('connect', resolve));
  for (let i = 0; i < 3000 && !session.destroyed; i++) {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/inference.GRPCInferenceService/ModelInfer',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => {});
    stream.close(8);
  }
  session.destroy();
  await rig.call('ModelInfer', simpleRequest());
});

function reflect(one: Rig, question: object, version = 'v1'): Promise<Message> {
  return new Promise((resolve, reject) => {
    const method = one.reflection.ServerReflectionInfo;
    const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
    const call = one.reflection.makeBidiStreamRequest(path, method.requestSerialize, method.responseDeserialize);
    call.on('error', reject);
    call.on('data', (message: Message) => {
      resolve(message);
      call.end();
    });
    call.write(question);
  });
}

test('reflection lists the services and describes them, when it is on', async () => {
  const one = await Rig.open({ hasReflection: true });
  for (const version of ['v1', 'v1alpha']) {
    const list = (await reflect(one, { list_services: '*' }, version)).list_services_response;
    assert.ok(list.service.some(({ name }: { name: string }) => name === 'inference.GRPCInferenceService'));
  }
  const symbol = 'inference.GRPCInferenceService.ModelInfer';
  const found = (await reflect(one, { file_containing_symbol: symbol })).file_descriptor_response;
  assert.equal(found.file_descriptor_proto.length, 1);
  const text = found.file_descriptor_proto[0].toString('latin1');
  for (const name of ['GRPCInferenceService', 'ModelStreamInfer', 'raw_input_contents']) assert.ok(text.includes(name));
  assert.ok(!text.includes('HealthCheckRequest'));
  const unknown = await reflect(one, { file_containing_symbol: 'other.Thing' });
  assert.equal(unknown.error_response.error_code, status.NOT_FOUND);
  await one.close();
  await assert.rejects(reflect(rig, { list_services: '*' }), { code: status.UNIMPLEMENTED });
});
