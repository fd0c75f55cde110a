/** Which requests are traced, what their spans say, and what a collector that is slow or gone costs. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { InferenceEvent } from '../src/core/events.js';
import { requestShare } from '../src/core/request-share.js';
import { Trace, type TraceTerms } from '../src/core/trace.js';
import { headersOf, openCollector } from '../src/trace/collector.js';
import { Exporter, type Post } from '../src/trace/exporter.js';
import { createSpanIds } from '../src/trace/span-ids.js';
import { type SpanRecord, spansOf } from '../src/trace/spans.js';
import { parentOf, stateOf } from '../src/trace/trace-parent.js';
import { Tracer } from '../src/trace/tracer.js';
import { openTracing } from '../src/trace/tracing.js';
import { assignment, eventWith } from './event-fixture.js';
import { FakeCollector } from './servers/collector.js';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const spanId = 'b7ad6b7169203331';
const parent = `00-${traceId}-${spanId}-01`;

let drawn = 0;
const newId = (bytes: number) => (++drawn).toString(16).padStart(bytes * 2, '0');

function callWith(requestId: string, headers: Readonly<Record<string, string>> = {}) {
  return { requestId, variant: '', header: (name: string) => headers[name], parameter: () => undefined };
}

/** A request that came at 1000 and was answered at 1010. */
function recordWith(event: Partial<InferenceEvent> = {}, times: Partial<Trace> = {}): SpanRecord {
  const trace = new Trace({ traceId, parentId: spanId, state: 'a=1', isSampled: true, receivedAt: 1000 });
  Object.assign(trace, { routeAt: 1001, routedAt: 1001.5, parsedAt: 1003, encodeAt: 1010, encodedAt: 1012, ...times });
  const whole = eventWith(event);
  return { trace, requestId: whole.requestId, event: whole, epochOffsetMs: 5_000_000 };
}

function tracerWith(terms: Partial<TraceTerms> = {}) {
  const records: SpanRecord[] = [];
  const finish = (record: SpanRecord) => void records.push(record);
  const tracer = new Tracer({
    terms: { isOn: true, share: 1, ...terms },
    place: 0,
    newId,
    now: () => 20,
    epochMs: () => 1020,
    finish,
  });
  return { tracer, records };
}

test('a traceparent of W3C is read, of a later version too, and its sampled flag with it', () => {
  assert.deepEqual(parentOf(parent), { traceId, spanId, isSampled: true });
  assert.equal(parentOf(`00-${traceId}-${spanId}-00`)!.isSampled, false);
  assert.equal(parentOf(`00-${traceId}-${spanId}-03`)!.isSampled, true);
  assert.equal(parentOf(`cc-${traceId}-${spanId}-01-what-comes`)!.isSampled, true);
});

test('a traceparent that is malformed is as if it had not been sent', () => {
  const bad = [
    undefined,
    '',
    'x',
    parent.toUpperCase(),
    `ff-${traceId}-${spanId}-01`,
    `00-${'0'.repeat(32)}-${spanId}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    `00-${traceId}-${spanId}-1`,
    `00-${traceId}-${spanId}-01-more`,
    `cc-${traceId}-${spanId}-01more`,
    `00-${traceId.slice(1)}-${spanId}-01`,
    `${parent}, ${parent}`,
    `cc-${traceId}-${spanId}-01-${'x'.repeat(10_000)}`,
  ];
  for (const text of bad) assert.equal(parentOf(text), undefined, String(text));
});

test('a tracestate is passed on when every member of it is valid', () => {
  assert.equal(stateOf('rojo=00f067aa0ba902b7,congo=t61rcWkgMzE'), 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE');
  assert.equal(stateOf(' a=1 , 2b@v=2,,'), 'a=1,2b@v=2');
  for (const bad of [undefined, 'A=1', 'a', 'a=b=c', 'a=\u00e9', Array(33).fill('a=1').join(), `a=${'x'.repeat(600)}`])
    assert.equal(stateOf(bad), '', String(bad));
});

test("a request of a caller's trace is sampled when its caller's is, whatever the share", () => {
  const { tracer } = tracerWith({ share: 0 });
  const sampled = tracer.begin('m', callWith('r', { traceparent: parent, tracestate: 'a=1' }), 10)!;
  assert.deepEqual(
    [sampled.traceId, sampled.parentId, sampled.state, sampled.isSampled],
    [traceId, spanId, 'a=1', true],
  );
  const all = tracerWith({ share: 1 }).tracer;
  const not = all.begin('m', callWith('r', { traceparent: `00-${traceId}-${spanId}-00` }), 10)!;
  assert.deepEqual([not.traceId, not.isSampled], [traceId, false]);
});

test("without spans a caller's trace is known by its id, and nobody else has one", () => {
  const { tracer, records } = tracerWith({ isOn: false });
  const trace = tracer.begin('m', callWith('r', { traceparent: parent }), 10)!;
  assert.deepEqual([trace.traceId, trace.isSampled], [traceId, false]);
  tracer.observe(eventWith({ trace }));
  assert.equal(tracer.begin('m', callWith('r'), 10), undefined);
  assert.deepEqual(records, []);
});

test("without a caller's trace the request id decides, the same in every process, and a larger share takes what a smaller takes", () => {
  const ids = Array.from({ length: 4000 }, (_, index) => `request-${index}`);
  const takenBy = (share: number) => {
    const { tracer } = tracerWith({ share });
    return new Set(ids.filter((id) => tracer.begin('m', callWith(id), 10) !== undefined));
  };
  const [few, many] = [takenBy(0.1), takenBy(0.5)];
  assert.deepEqual(takenBy(0.1), few);
  assert.ok(few.size > 300 && few.size < 500, `${few.size}`);
  assert.ok(many.size > 1850 && many.size < 2150, `${many.size}`);
  for (const id of few) assert.ok(many.has(id) && requestShare(id) < 0.1);
  assert.equal(takenBy(0).size, 0);
  assert.equal(takenBy(1).size, ids.length);
});

test('a cap ends the sampling by the share, of each model for itself, and never that of callers', () => {
  const { tracer } = tracerWith();
  const terms = { isOn: true, share: 1 };
  tracer.follow({ all: { ...terms, caps: [2] }, ofModels: new Map([['own', { ...terms, caps: [1] }]]) });
  const taken = (model: string) =>
    [1, 2, 3].filter((call) => tracer.begin(model, callWith(`r${call}`), 10) !== undefined).length;
  assert.deepEqual([taken('m'), taken('n'), taken('own')], [2, 0, 1]);
  assert.deepEqual(tracer.sampled(), { '': 2, own: 1 });
  assert.ok(tracer.begin('m', callWith('r', { traceparent: parent }), 10)!.isSampled);
  assert.deepEqual(tracer.sampled(), { '': 2, own: 1 });
  tracer.follow({ all: { ...terms, caps: [3] }, ofModels: new Map() });
  assert.equal(taken('m'), 1);
});

test('names and shapes of tensors are told when they are asked for, never their data, and not at any length', () => {
  const { tracer } = tracerWith();
  const tensor = { name: 'x', datatype: 'FP32' as const, shape: [1, 2], data: Float32Array.of(41, 42) };
  const attributesOf = (trace: Trace) => {
    trace.parsed([tensor], 1001);
    trace.encodes([tensor, { ...tensor, name: 'y'.repeat(2000) }], 1002);
    const [request] = spansOf(recordWith({}, trace), newId);
    return new Map(request!.attributes.map(({ key, value }) => [key, Object.values(value)[0] as string]));
  };
  const without = attributesOf(tracer.begin('m', callWith('r'), 10)!);
  assert.deepEqual([without.has('sluice.inputs'), without.has('sluice.outputs')], [false, false]);
  tracer.follow({ all: { isOn: true, share: 1, hasTensors: true }, ofModels: new Map() });
  const attributes = attributesOf(tracer.begin('m', callWith('r'), 10)!);
  assert.equal(attributes.get('sluice.inputs'), 'x FP32[1,2]');
  assert.equal(attributes.get('sluice.outputs')!.length, 1000);
  assert.doesNotMatch([...attributes.values()].join(' '), /4[12]/);
});

test('every trace of its own has an id of its own, and a malformed traceparent is not continued', () => {
  const { tracer } = tracerWith();
  const one = tracer.begin('m', callWith('a'), 10)!;
  const other = tracer.begin('m', callWith('a', { traceparent: 'nonsense' }), 10)!;
  assert.match(one.traceId, /^[0-9a-f]{32}$/);
  assert.notEqual(one.traceId, other.traceId);
  assert.equal(other.parentId, '');
});

test('another plan holds from the next request on, and a model may have terms of its own', () => {
  const { tracer } = tracerWith({ share: 0 });
  const off = { isOn: false, share: 1 };
  tracer.follow({ all: { isOn: true, share: 1 }, ofModels: new Map([['quiet', off]]) });
  assert.ok(tracer.begin('m', callWith('r'), 10)!.isSampled);
  assert.equal(tracer.begin('quiet', callWith('r'), 10), undefined);
  assert.equal(tracer.begin('quiet', callWith('r', { traceparent: parent }), 10)!.isSampled, false);
});

test('a request that is not sampled leaves nothing', () => {
  const { tracer, records } = tracerWith();
  tracer.observe(eventWith());
  tracer.observe(
    eventWith({ trace: new Trace({ traceId, parentId: '', state: '', isSampled: false, receivedAt: 0 }) }),
  );
  assert.deepEqual(records, []);
});

test('an id as long as a message is not kept', () => {
  const { tracer, records } = tracerWith();
  const trace = tracer.begin('m', callWith('a'), 10)!;
  tracer.observe(eventWith({ trace, requestId: 'x'.repeat(1_000_000) }));
  assert.equal(records[0]!.requestId.length, 128);
  assert.equal(records[0]!.event.requestId, '');
});

/** Name, parent's name, start and end in milliseconds after the request came. */
function outlineOf(record: SpanRecord): [string, string, number, number][] {
  const spans = spansOf(record, newId);
  const names = new Map(spans.map((span) => [span.spanId, span.name]));
  assert.equal(names.size, spans.length, 'every span has an id of its own');
  const ms = (nanos: string) => (Number(nanos.slice(0, -6)) * 1000 + Number(nanos.slice(-6, -3))) / 1000 - 5_001_000;
  return spans.map((span) => [
    span.name,
    names.get(span.parentSpanId ?? '') ?? '',
    ms(span.startTimeUnixNano),
    ms(span.endTimeUnixNano),
  ]);
}

test('spans tell parse, route, queue, batch, infer and encode, each within its parent', () => {
  assert.deepEqual(outlineOf(recordWith()), [
    ['infer m', '', 0, 12],
    ['parse', 'infer m', 0, 3],
    ['route', 'parse', 1, 1.5],
    ['queue', 'infer m', 3, 5],
    ['batch', 'infer m', 5, 9.5],
    ['infer', 'batch', 6, 9],
    ['encode', 'infer m', 10, 12],
  ]);
});

test('a refused request ends in what it had reached', () => {
  const refused = { code: 'INVALID_ARGUMENT', timing: undefined, rows: 0 } as const;
  const nowhere = { routeAt: 0, routedAt: 0, parsedAt: 0, encodeAt: 0, encodedAt: 0 };
  assert.deepEqual(outlineOf(recordWith(refused, nowhere)), [
    ['infer m', '', 0, 10],
    ['parse', 'infer m', 0, 10],
  ]);
  assert.deepEqual(outlineOf(recordWith(refused, { ...nowhere, routeAt: 1004 })).at(-1), ['route', 'parse', 4, 10]);
  const expired = { code: 'DEADLINE_EXCEEDED', reason: 'deadline', timing: undefined } as const;
  assert.deepEqual(outlineOf(recordWith(expired, { encodedAt: 0 })).at(-1), ['queue', 'infer m', 3, 10]);
});

test("the request's own span continues its caller's trace and says what was asked and what came of it", () => {
  const [request] = spansOf(recordWith({ code: 'UNAVAILABLE', protocol: 'grpc', assignment }), newId);
  assert.equal(request!.parentSpanId, spanId);
  assert.equal(request!.traceState, 'a=1');
  assert.equal(request!.flags, 0x301);
  assert.equal(request!.kind, 2);
  assert.deepEqual(request!.status, { code: 2 });
  const attributes = new Map(request!.attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
  assert.deepEqual(Object.fromEntries(attributes), {
    model: 'm',
    version: '3',
    'rpc.system': 'grpc',
    'rpc.service': 'inference.GRPCInferenceService',
    'sluice.request_id': 'r-1',
    'sluice.code': 'UNAVAILABLE',
    'sluice.rows': '2',
    'error.type': 'UNAVAILABLE',
    'sluice.experiment': 'spring',
    'sluice.reason': 'weight',
    'sluice.variant': 'b',
  });
  const refused = spansOf(recordWith({ code: 'NOT_FOUND' }), newId)[0]!;
  assert.equal(refused.status, undefined, "a caller's mistake is no fault of ours");
});

/** An exporter whose collector answers when the test says so. */
function exporterWith(queueMax: number, isCollectorThere = true) {
  const posts: { readonly body: string; readonly spans: number; readonly answer: (status: number) => Promise<void> }[] =
    [];
  const faults: string[] = [];
  const post: Post = (body) => {
    const spans = JSON.parse(body).resourceSpans[0].scopeSpans[0].spans.length as number;
    if (!isCollectorThere) return Promise.reject(new Error('connect ECONNREFUSED'));
    return new Promise((resolve) => {
      posts.push({
        body,
        spans,
        answer: async (status) => {
          resolve(status);
          await new Promise(setImmediate);
        },
      });
    });
  };
  const onFault = (problem: string) => void faults.push(problem);
  const exporter = new Exporter({ post, newId, queueMax, resource: { 'service.name': 's' }, onFault });
  const counts = () => {
    const [sent, dropped] = exporter.families();
    return {
      sent: sent!.series[0]!.value,
      ...Object.fromEntries(dropped!.series.map(({ labels, value }) => [labels.reason, value])),
    };
  };
  const settled = () => new Promise(setImmediate);
  return { exporter, posts, faults, counts, settled };
}

test('a batch goes when it is full, or after a second with what there is', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { exporter, posts, counts, settled } = exporterWith(1000);
  exporter.add(recordWith());
  context.mock.timers.tick(999);
  assert.equal(posts.length, 0);
  context.mock.timers.tick(1);
  await settled();
  assert.equal(posts[0]!.spans, 7);
  await posts[0]!.answer(200);
  for (let i = 0; i < 64; i++) exporter.add(recordWith());
  context.mock.timers.tick(1);
  await settled();
  assert.equal(posts[1]!.spans, 64 * 7);
  await posts[1]!.answer(200);
  assert.deepEqual(counts(), { sent: 65, queue_full: 0, refused: 0, closed: 0 });
});

test('a collector that does not answer costs what the bound holds: one POST, and the rest is dropped and counted', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { exporter, posts, counts, settled } = exporterWith(100);
  for (let i = 0; i < 10_000; i++) {
    exporter.add(recordWith());
    context.mock.timers.tick(1);
  }
  await settled();
  assert.equal(posts.length, 1);
  assert.deepEqual(counts(), { sent: 0, queue_full: 9900, refused: 0, closed: 0 });
});

test('a collector that is gone is tried again, later each time, with the same batch, and named once', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { exporter, faults, posts, counts, settled } = exporterWith(100);
  exporter.add(recordWith());
  const waits: number[] = [];
  const bodies = () => new Set(posts.map(({ body }) => body)).size;
  for (let tries = 0; tries < 8; tries++) {
    let waited = 0;
    while (posts.length === tries) {
      context.mock.timers.tick(500);
      waited += 500;
      await settled();
    }
    waits.push(waited);
    await posts[tries]!.answer(503);
  }
  assert.deepEqual(waits, [1000, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  assert.deepEqual(faults, ['status 503']);
  assert.equal(bodies(), 1, 'the ids of its spans stay');
  context.mock.timers.tick(30_000);
  await settled();
  await posts[8]!.answer(200);
  assert.deepEqual(counts(), { sent: 1, queue_full: 0, refused: 0, closed: 0 });
});

test('a batch that is refused is dropped, because it would be refused again', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { exporter, posts, faults, counts, settled } = exporterWith(100);
  for (let i = 0; i < 3; i++) {
    exporter.add(recordWith());
    context.mock.timers.tick(1000);
    await settled();
    await posts[i]!.answer(400);
  }
  assert.deepEqual(counts(), { sent: 0, queue_full: 0, refused: 3, closed: 0 });
  assert.deepEqual(faults, ['status 400']);
});

test('the end sends what waits, and is not held up by a collector that is gone or silent', async () => {
  const there = exporterWith(1000);
  for (let i = 0; i < 100; i++) there.exporter.add(recordWith());
  const closed = there.exporter.close(10_000);
  for (let i = 0; i < 2; i++) {
    while (there.posts.length === i) await there.settled();
    await there.posts[i]!.answer(200);
  }
  await closed;
  assert.deepEqual(there.counts(), { sent: 100, queue_full: 0, refused: 0, closed: 0 });
  there.exporter.add(recordWith());
  assert.equal(there.counts().closed, 1);

  const gone = exporterWith(1000, false);
  gone.exporter.add(recordWith());
  await gone.exporter.close(60_000);
  assert.deepEqual(gone.counts(), { sent: 0, queue_full: 0, refused: 0, closed: 1 });

  const silent = exporterWith(1000);
  silent.exporter.add(recordWith());
  await silent.exporter.close(20);
  assert.deepEqual(silent.counts(), { sent: 0, queue_full: 0, refused: 0, closed: 1 });
});

test('a collector over HTTP gets the document with the headers, and is given up on after its time', async (context) => {
  const collector = await FakeCollector.open(context);
  const faults: string[] = [];
  const tracing = openTracing({
    place: 0,
    endpoint: `${collector.endpoint}/`,
    headers: 'authorization=Bearer%20secret, x-tenant=a',
    timeoutMs: 5000,
    queueMax: 100,
    sample: 1,
    resource: { 'service.name': 'here', 'process.pid': 7 },
    random: randomBytes,
    now: () => 20,
    epochMs: () => 1020,
    onFault: (problem) => void faults.push(problem),
  });
  const trace = tracing.begin('m', callWith('r', { traceparent: parent }), 10)!;
  trace.parsedAt = 12;
  tracing.observe(eventWith({ trace }));
  await tracing.close(5000);
  assert.deepEqual(faults, []);
  const { path, headers } = collector.posts[0]!;
  assert.deepEqual(
    [path, headers['content-type'], headers.authorization, headers['x-tenant']],
    ['/v1/traces', 'application/json', 'Bearer secret', 'a'],
  );
  const spans = collector.byName(traceId);
  assert.deepEqual([...spans.keys()], ['infer m', 'parse', 'queue', 'batch', 'infer']);
  assert.equal(spans.get('infer m')!.parentSpanId, spanId);
  assert.deepEqual(spans.get('infer m')!.resource, { 'service.name': 'here', 'process.pid': 7 });

  collector.status = 0;
  const impatient = openCollector({ endpoint: collector.endpoint, headers: {}, timeoutMs: 50 });
  await assert.rejects(impatient.post('{}'), /no answer within 50 ms/);
  impatient.close();
  const nobody = openCollector({ endpoint: 'http://127.0.0.1:1', headers: {}, timeoutMs: 5000 });
  await assert.rejects(nobody.post('{}'), /ECONNREFUSED/);
  nobody.close();
});

test('ids are of the size that was asked for, and no two are made of the same chance', () => {
  let supplies = 0;
  const next = createSpanIds((bytes) => {
    supplies++;
    return randomBytes(bytes);
  });
  const ids = new Set(Array.from({ length: 5000 }, (_, index) => next(index % 3 === 0 ? 16 : 8)));
  assert.equal(ids.size, 5000);
  for (const id of ids) assert.match(id, /^(?:[0-9a-f]{16}|[0-9a-f]{32})$/);
  assert.ok(supplies > 1);
});

test('headers for the collector are read as OpenTelemetry writes them, and a bad one is named without its value', () => {
  assert.deepEqual(headersOf(''), {});
  assert.deepEqual(headersOf('Api-Key=a%2Cb==, x = 1 ,'), { 'api-key': 'a,b==', x: '1' });
  assert.throws(() => headersOf('a=1,secret'), { message: 'header 2 is not name=value' });
  assert.throws(() => headersOf('a=secret%0d%0ax:y'), { message: 'the value of header a cannot be sent' });
  assert.throws(() => headersOf('a=%secret'), { message: 'the value of header a cannot be sent' });
});
