/** Real processes: spans reach a collector over HTTP and gRPC, access lines reach stdout, and a collector that is gone changes nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { writeRepository } from '../fixtures.js';
import { FakeCollector, type ReceivedSpan } from '../servers/collector.js';
import { post } from './load.js';
import { freshDirectory, type LogLine, type Server, type ServerOptions, startServer } from './server.js';
import { eventually, metric, modelOf, rowBody } from './versions-fixture.js';

// biome-ignore lint/suspicious/noExplicitAny: messages are typed by the proto file, not by TypeScript.
type Message = any;

const loaded: Message = grpc.loadPackageDefinition(
  loadSync('inference.proto', {
    includeDirs: [fileURLToPath(new URL('../../../proto/', import.meta.url))],
    keepCase: true,
  }),
);

const callerSpan = 'b7ad6b7169203331';
const traceOf = (digit: string) => digit.repeat(32);
const parentOf = (digit: string, flags = '01') => `00-${traceOf(digit)}-${callerSpan}-${flags}`;

interface Context {
  after(work: () => void): void;
}

async function serve(context: Context, options: Omit<ServerOptions, 'models'>): Promise<Server> {
  const models = writeRepository(freshDirectory(context), { m: modelOf(1) });
  const server = await startServer({ models, processes: 1, ...options });
  context.after(() => server.kill('SIGKILL'));
  return server;
}

async function overHttp(server: Server, headers: Readonly<Record<string, string>>, model = 'm'): Promise<number> {
  const answer = await fetch(`${server.http}/v2/models/${model}/infer`, { method: 'POST', body: rowBody, headers });
  await answer.text();
  return answer.status;
}

/** The same row by a unary call and by a stream. */
async function overGrpc(server: Server, metadata: Readonly<Record<string, string>>, way: 'unary' | 'stream') {
  const { inputs } = JSON.parse(rowBody);
  const request = {
    model_name: 'm',
    inputs: inputs.map(({ name, datatype, shape, data }: Message) => ({
      name,
      datatype,
      shape,
      contents: { fp32_contents: data },
    })),
  };
  const address = server.grpc.replace(/^\w+:\/\//, '');
  const client = new loaded.inference.GRPCInferenceService(address, grpc.credentials.createInsecure());
  const sent = new grpc.Metadata();
  for (const [key, value] of Object.entries(metadata)) sent.set(key, value);
  try {
    await new Promise<void>((resolve, reject) => {
      if (way === 'unary') {
        client.ModelInfer(request, sent, (error: Error | null) => (error === null ? resolve() : reject(error)));
        return;
      }
      const stream = client.ModelStreamInfer(sent);
      stream.on('data', ({ error_message }: Message) => {
        if (error_message) reject(new Error(error_message));
      });
      stream.on('error', reject).on('end', resolve);
      stream.end(request);
    });
  } finally {
    client.close();
  }
}

const whole = ['infer m', 'parse', 'route', 'queue', 'batch', 'infer', 'encode'];

function checkSpans(spans: ReadonlyMap<string, ReceivedSpan>, protocol: 'http' | 'grpc'): void {
  assert.deepEqual([...spans.keys()], whole);
  const request = spans.get('infer m')!;
  assert.equal(request.parentSpanId, callerSpan);
  assert.equal(request.traceState, 'vendor=1');
  assert.equal(
    request.attributes[protocol === 'http' ? 'http.request.method' : 'rpc.system'],
    protocol === 'http' ? 'POST' : 'grpc',
  );
  assert.equal(request.attributes['sluice.code'], 'OK');
  assert.equal(request.resource['service.name'], 'checkout');
  assert.equal(spans.get('batch')!.attributes['batch.size'], 1);
  const byId = new Map(Array.from(spans.values(), (span) => [span.spanId, span]));
  const now = Date.now() * 1e6;
  for (const { name, parentSpanId, startTimeUnixNano: start, endTimeUnixNano: end } of spans.values()) {
    assert.ok(BigInt(start) <= BigInt(end), name);
    assert.ok(Number(start) > now - 60e9 && Number(end) < now + 1e9, `${name} is told in the wrong time: ${start}`);
    const parent = byId.get(parentSpanId!);
    if (name !== 'infer m') assert.ok(parent !== undefined && BigInt(parent.startTimeUnixNano) <= BigInt(start), name);
  }
}

test("a caller's trace goes on through the server, over HTTP and gRPC, and line and metrics name it", async (context) => {
  const collector = await FakeCollector.open(context);
  const server = await serve(context, {
    flags: [
      ...['--tracing-endpoint', collector.endpoint, '--tracing-sample', '0'],
      ...['--tracing-service-name', 'checkout', '--tracing-headers-env', 'COLLECTOR_HEADERS'],
      ...['--log-access', '1'],
    ],
    env: { COLLECTOR_HEADERS: 'authorization=Bearer%20of-the-collector' },
  });
  const tracestate = 'vendor=1';
  assert.equal(await overHttp(server, { traceparent: parentOf('1'), tracestate }), 200);
  await overGrpc(server, { traceparent: parentOf('2'), tracestate }, 'unary');
  await overGrpc(server, { traceparent: parentOf('3'), tracestate }, 'stream');
  assert.equal(await overHttp(server, { traceparent: parentOf('4', '00'), 'x-request-id': 'not-sampled' }), 200);
  assert.equal(await overHttp(server, { traceparent: 'malformed', 'x-request-id': 'without' }), 200);
  assert.equal(await overHttp(server, { traceparent: parentOf('5'), 'x-request-id': 'unknown-model' }, 'nobody'), 404);

  await eventually(() => {
    for (const digit of '123') assert.equal(collector.byName(traceOf(digit)).size, whole.length);
    assert.ok(collector.byName(traceOf('5')).size > 0);
  });
  checkSpans(collector.byName(traceOf('1')), 'http');
  checkSpans(collector.byName(traceOf('2')), 'grpc');
  checkSpans(collector.byName(traceOf('3')), 'grpc');
  const refused = collector.byName(traceOf('5')).get('infer _other')!;
  assert.deepEqual([refused.attributes['sluice.code'], refused.attributes['error.type']], ['NOT_FOUND', 'NOT_FOUND']);
  assert.equal(collector.byName(traceOf('4')).size, 0, "a caller's decision against it is honoured");
  assert.equal(new Set(collector.spans.map(({ traceId }) => traceId)).size, 4);
  assert.equal(collector.posts[0]!.headers.authorization, 'Bearer of-the-collector');

  const lines = await eventually(() => {
    const found = server.log.filter(({ msg }) => msg === 'access');
    assert.equal(found.length, 6);
    return found;
  });
  const lineOf = (requestId: string) => lines.find((line) => line.requestId === requestId)!;
  assert.equal(lineOf('not-sampled').traceId, traceOf('4'));
  assert.equal(lineOf('without').traceId, undefined);
  assert.deepEqual([lineOf('unknown-model').code, lineOf('unknown-model').traceId], ['NOT_FOUND', traceOf('5')]);
  const { model, version, protocol, code, rows, batchRows } = lineOf('without');
  assert.deepEqual([model, version, protocol, code, rows, batchRows], ['m', '1', 'http', 'OK', 1, 1]);
  const answered = lines.filter((line) => line.code === 'OK');
  for (const { durationMs, queueMs, inputMs, inferMs, outputMs } of answered as (LogLine & Record<string, number>)[])
    assert.ok(durationMs! >= queueMs! + inputMs! + inferMs! + outputMs! - 1, 'the parts are parts of the whole');
  assert.equal(lines.filter(({ protocol: by }) => by === 'grpc').length, 2);

  await eventually(async () => assert.equal(await metric(server, 'sluice_trace_requests_total'), 4));
  assert.equal(await metric(server, 'sluice_trace_dropped_total{reason="refused"}'), 0);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test('a share of the requests is traced, the last spans are sent at the stop, and the lines of a share are more than ten a second', async (context) => {
  const collector = await FakeCollector.open(context);
  const server = await serve(context, {
    flags: ['--tracing-endpoint', collector.endpoint, '--tracing-sample', '0.3', '--log-access', '0.5'],
  });
  const ids = Array.from({ length: 200 }, (_, index) => `request-${index}`);
  const answers = await Promise.all(ids.map((id) => overHttp(server, { 'x-request-id': id })));
  assert.deepEqual([...new Set(answers)], [200]);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  const tracedIds = collector.spans.flatMap(({ name, attributes }) =>
    name === 'infer m' ? [String(attributes['sluice.request_id'])] : [],
  );
  const lines = server.log.filter(({ msg }) => msg === 'access');
  const loggedIds = new Set(lines.map(({ requestId }) => String(requestId)));
  assert.ok(tracedIds.length > 30 && tracedIds.length < 90, `${tracedIds.length}`);
  assert.ok(loggedIds.size > 70 && loggedIds.size < 130, `${loggedIds.size}`);
  for (const id of tracedIds) assert.ok(loggedIds.has(id), 'who has spans has a line');
  const traceIds = new Set(collector.spans.map(({ traceId }) => traceId));
  for (const { requestId, traceId } of lines)
    assert.equal(traceId !== undefined && traceIds.has(String(traceId)), tracedIds.includes(String(requestId)));
});

test('a collector that takes nothing costs its bound and nothing else: every request is answered, and the stop is not held up', async (context) => {
  const collector = await FakeCollector.open(context);
  collector.status = 0;
  const server = await serve(context, {
    flags: [
      ...['--tracing-endpoint', collector.endpoint, '--tracing-sample', '1'],
      ...['--tracing-queue-max', '64', '--tracing-timeout-ms', '60000'],
    ],
  });
  const body = rowBody;
  for (let round = 0; round < 20; round++) {
    const url = `${server.http}/v2/models/m/infer`;
    const answers = await Promise.all(Array.from({ length: 25 }, () => post(url, body)));
    for (const answer of answers) assert.equal(answer !== 'refused' && answer.status, 200);
  }
  assert.equal(await metric(server, 'sluice_trace_dropped_total{reason="queue_full"}'), 500 - 64);
  assert.equal(collector.posts.length, 1);
  const stoppedAt = performance.now();
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  assert.ok(performance.now() - stoppedAt < 30_000, 'the time limit of a batch is a minute');
});

test('without a collector and without access lines nothing is written and nobody is asked', async (context) => {
  const server = await serve(context, {});
  assert.equal(await overHttp(server, { traceparent: parentOf('1') }), 200);
  assert.equal(server.log.filter(({ msg }) => msg === 'access').length, 0);
  const text = await (await fetch(`${server.admin}/metrics`)).text();
  assert.doesNotMatch(text, /sluice_trace_/);
});

test('trace settings change while serving, for all models and for one, over HTTP', async (context) => {
  const collector = await FakeCollector.open(context);
  const models = writeRepository(freshDirectory(context), { m: modelOf(1), quiet: modelOf(2) });
  const flags = ['--tracing-endpoint', collector.endpoint, '--tracing-sample', '0'];
  const server = await startServer({ models, flags });
  context.after(() => server.kill('SIGKILL'));
  const set = async (path: string, settings: object) => {
    const answer = await fetch(`${server.http}${path}`, { method: 'POST', body: JSON.stringify(settings) });
    return (await answer.json()) as Record<string, unknown>;
  };
  const namesSeen = () => new Set(collector.spans.flatMap(({ name, kind }) => (kind === 2 ? [name] : [])));
  const untilSeen = (wanted: string[], model: string) =>
    eventually(async () => {
      assert.equal(await overHttp(server, {}, model), 200);
      assert.deepEqual([...namesSeen()], wanted);
    });
  assert.equal(await overHttp(server, {}), 200);
  assert.equal((await set('/v2/models/quiet/trace/setting', { trace_level: ['OFF'] })).trace_level?.toString(), 'OFF');
  const changed = await set('/v2/trace/setting', { trace_rate: '1' });
  assert.deepEqual([changed.trace_level, changed.trace_rate], [['TIMESTAMPS'], '1']);
  assert.equal(await overHttp(server, {}, 'quiet'), 200);
  await untilSeen(['infer m'], 'm');
  await set('/v2/models/quiet/trace/setting', { trace_level: null, trace_rate: null });
  await untilSeen(['infer m', 'infer quiet'], 'quiet');
});

test('trace_count ends the tracing over all processes, and TENSORS tells names and shapes', async (context) => {
  const collector = await FakeCollector.open(context);
  const server = await serve(context, {
    flags: ['--tracing-endpoint', collector.endpoint, '--tracing-sample', '0', '--gateway-beat-ms', '200'],
  });
  const setting = async (settings?: object) => {
    const asked = settings === undefined ? {} : { method: 'POST', body: JSON.stringify(settings) };
    return (await (await fetch(`${server.http}/v2/trace/setting`, asked)).json()) as Record<string, string>;
  };
  const changed = await setting({ trace_rate: '1', trace_count: '5', trace_level: ['TIMESTAMPS', 'TENSORS'] });
  assert.equal(changed.trace_count, '5');
  await eventually(async () => {
    assert.equal(await overHttp(server, {}), 200);
    assert.equal((await setting()).trace_count, '0');
  });
  for (let more = 0; more < 10; more++) assert.equal(await overHttp(server, {}), 200);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  const requests = collector.spans.filter(({ kind }) => kind === 2);
  assert.equal(requests.length, 5);
  const { 'sluice.inputs': inputs, 'sluice.outputs': outputs } = requests[0]!.attributes;
  assert.deepEqual([inputs, outputs], ['INPUT0 FP32[1,4]', 'OUTPUT0 FP32[1,2]']);
});
