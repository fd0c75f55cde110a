import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { numberOf } from '../src/core/half.js';
import { uniform } from '../src/core/murmur3.js';
import { allocate, datatypes, type Tensor } from '../src/core/tensor.js';
import { type Chunk, chunkBytes, chunkOver } from '../src/predictions/chunk.js';
import type { PredictionEvent } from '../src/predictions/event.js';
import { frameBytesMax, putEvent } from '../src/predictions/frame.js';
import { Frames } from '../src/predictions/frames.js';
import type { PredictionLogOptions } from '../src/predictions/prediction-log.js';
import { eventOf, payloadOf } from '../src/predictions/record.js';
import { Sampling } from '../src/predictions/sampling.js';
import { openSegment, segmentFiles, segmentRows } from '../src/predictions/segment-reader.js';
import type { RedactionRule, SubjectTerms } from '../src/predictions/subject.js';
import { verifyLog } from '../src/predictions/verify.js';
import {
  event,
  floats,
  folder,
  hashed,
  openLog,
  roomy,
  startUs,
  subject,
  sumOf,
  terms,
  texts,
} from './predictions-events.js';

/** What a fresh log made of these events. */
async function logged(
  context: TestContext,
  events: readonly Partial<PredictionEvent>[],
  more: Partial<SubjectTerms> = {},
  options: Partial<PredictionLogOptions> = {},
) {
  const directory = folder(context);
  const log = await openLog(directory, options);
  const of = log.subject({ ...terms, ...more });
  for (const one of events) log.append(event(of, one));
  const stats = await log.close();
  const segments = segmentFiles(directory).map((file) => openSegment(file)!);
  const records = segments.flatMap((segment) => segment.events.map((found) => Buffer.from(segment.recordOf(found))));
  const rows = segments.flatMap((segment) => segment.events.flatMap((found) => segmentRows(segment, found)));
  return {
    directory,
    stats,
    records,
    rows,
    bytes: () => readdirSync(directory).map((n) => readFileSync(join(directory, n))),
  };
}

test('a row says everything that its event said', async (context) => {
  const assignment = {
    experiment: 'spring',
    phase: 3,
    variant: 'new',
    assigned: 'old',
    reason: 'fallback',
    isSticky: true,
    keyHash: 0xdeadbeef,
    key: 'Kundin-é-4711',
  } as const;
  const said: Partial<PredictionEvent> = {
    role: 'shadow',
    requestId: 'Anfrage-é-1',
    clientRequestId: 'client',
    traceId: '0af7651916cd43dd8448eb211c80319c',
    parentRequestId: 'parent',
    assignment,
    status: 504,
    errorCode: 'DEADLINE_EXCEEDED',
    attempt: 2,
    isCacheHit: true,
    prediction: 'x'.repeat(100),
    score: -0.5,
    batchSize: 100_000,
  };
  const { rows, stats } = await logged(context, [said, {}]);
  assert.deepEqual(rows[0], {
    request_id: 'Anfrage-é-1',
    client_request_id: 'client',
    trace_id: '0af7651916cd43dd8448eb211c80319c',
    parent_request_id: 'parent',
    gateway_id: 'g1',
    incarnation: 1,
    seq: 1,
    log_schema: 1,
    ts: startUs,
    latency_us: 1500,
    queue_us: 200,
    upstream_us: 900,
    batch_size: 32_767,
    model: 'digits',
    version: '3',
    artifact_sha256: 'a'.repeat(64),
    config_hash: 'c'.repeat(64),
    backend: 'onnxruntime',
    role: 'shadow',
    experiment: 'spring',
    phase: 3,
    variant_assigned: 'old',
    variant_served: 'new',
    route_reason: 'fallback',
    unit_key_hash: hashed('Kundin-é-4711'),
    sticky: true,
    status: 504,
    error_code: 'DEADLINE_EXCEEDED',
    attempt: 2,
    cache_hit: true,
    prediction: 'x'.repeat(100),
    score: -0.5,
    input_bytes: 64,
    output_bytes: 40,
    content_type: 'application/json',
    sample_rate: 1,
    payload_rate: 0,
    truncated: false,
    redacted: false,
    item_index: 0,
  });
  assert.equal(rows[1]?.experiment, undefined);
  assert.deepEqual([stats.offered, stats.logged, sumOf(stats.dropped), stats.inFlight], [2, 2, 0, 0]);
});

test('inputs and outputs are kept only when the model samples them', async (context) => {
  const tensors = { inputs: [floats('x', [2, 2], [1, 2, 3, 4])], outputs: [texts('y', [2], ['a', 'ü'])], items: 2 };
  const without = await logged(context, [tensors]);
  assert.equal(payloadOf(without.records[0]!), undefined);
  const { rows } = await logged(context, [tensors], { sample: 1 });
  assert.deepEqual(
    rows.map(({ input_json, outputs_json, payload_rate }) => [input_json, outputs_json, payload_rate]),
    [
      ['{"x":[1,2]}', '{"y":["a"]}', 1],
      ['{"x":[3,4]}', '{"y":["ü"]}', 1],
    ],
  );
});

test('what is too long is cut at whole elements and marked, and still fits a chunk', async (context) => {
  const wide = floats(
    'x',
    [1, 40_000],
    Array.from({ length: 40_000 }, (_, i) => i),
  );
  const many = Array.from({ length: 100 }, (_, i) =>
    texts(`t${i}`.padEnd(300, 'é'), [1, 50], Array(50).fill('ö'.repeat(200))),
  );
  const long = 'ß'.repeat(5000);
  const events: Partial<PredictionEvent>[] = [
    { inputs: [wide], requestId: 'wide' },
    {
      inputs: many,
      outputs: many,
      requestId: long,
      clientRequestId: long,
      traceId: long,
      parentRequestId: long,
      prediction: long,
    },
    { requestId: 'fits', inputs: [floats('x', [1, 1], [1])] },
  ];
  for (const one of events) assert.ok(frameBytesMax(event(subject(), one), true, 65_536) < chunkBytes - 64 * 48);
  const { rows, stats } = await logged(context, events, { sample: 1 });
  assert.deepEqual(
    rows.map(({ truncated }) => truncated),
    [true, true, false],
  );
  assert.equal(JSON.parse(String(rows[0]!.input_json)).x.length, 65_536 / 4);
  assert.equal(String(rows[1]!.request_id).length, 1024);
  assert.equal(stats.logged, 3);
});

const routed = {
  experiment: 'spring',
  phase: 3,
  variant: 'new',
  assigned: 'new',
  reason: 'weight',
  isSticky: true,
  keyHash: 0xdeadbeef,
} as const;

const secret = 'S3CR3T-4711';
const secretNumber = 123_456.5;

test('a secret in any place that a rule names reaches no file', async (context) => {
  const features = [{ name: 'card', input: 'words', index: 1, type: 'VARCHAR' as const }];
  for (const how of ['drop', 'mask', 'hash'] as const) {
    const rules: RedactionRule[] = [
      { target: 'card', how },
      { target: '/inputs/all', how },
      { target: '/inputs/x/1', how },
      { target: '/outputs/echo', how },
    ];
    const inputs = [
      texts('words', [2, 2], ['fine', secret, 'good', secret]),
      texts('all', [2, 1], [secret, secret]),
      floats('x', [2, 2], [1, secretNumber, 2, secretNumber]),
    ];
    const outputs = [texts('echo', [2], [secret, secret])];
    const one = { inputs, outputs, items: 2, prediction: secret, score: secretNumber };
    const { bytes, rows, stats } = await logged(context, [one], { redact: rules, features, sample: 1 });
    const raw = Buffer.from(new Float32Array([secretNumber]).buffer);
    for (const file of bytes()) {
      assert.equal(file.includes(secret), false, how);
      assert.equal(file.includes('123456'), false, how);
      assert.equal(file.includes(raw), false, how);
    }
    assert.equal(stats.logged, 1);
    const [row] = rows;
    assert.equal(row?.redacted, true);
    assert.equal(row?.prediction, undefined);
    if (how === 'hash') assert.match(String(row?.f_card), /^k1:[0-9a-f]{32}$/);
    else assert.equal(row?.f_card, how === 'mask' ? '***' : null);
  }
});

test('the key of a unit reaches no file but as a keyed digest, and nothing of a record before it', async (context) => {
  const inputs = [texts('words', [1, 1], ['plain'])];
  const assignment = { ...routed, key: secret };
  const keyed = { inputs, assignment };
  const { bytes, rows, stats } = await logged(context, [keyed, keyed, { inputs }], { sample: 1 });
  for (const file of bytes()) {
    assert.equal(file.includes(secret), false);
    assert.equal(file.includes(Buffer.from(Uint32Array.of(routed.keyHash).buffer)), false);
  }
  assert.deepEqual(
    rows.map((row) => row.unit_key_hash),
    [hashed(secret), hashed(secret), undefined],
  );
  assert.deepEqual(
    rows.map((row) => row.input_json),
    Array.from({ length: 3 }, () => '{"words":["plain"]}'),
  );
  assert.equal(stats.logged, 3);
  // A chunk is written over: what lay there before must not show through.
  const chunk = chunkOver(0, new SharedArrayBuffer(chunkBytes));
  chunk.bytes.fill(0xee);
  const rate = { sampleRate: 1, payloadRate: 0, withPayload: false, isTapOnly: false };
  const end = putEvent(chunk, 0, 1, event(subject(), { assignment: { ...routed, key: undefined } }), rate, 1024);
  assert.equal(chunk.bytes.subarray(0, end).includes(0xee), false);
});

test('routes, names and texts that were told before are told alike, whatever else was told between', async (context) => {
  const odd = ['', 'é', 'abc', 'ab\u00ff', 'x'.repeat(63), 'y'.repeat(65), 'ÿ'.repeat(64), '日本語'];
  const told = Array.from({ length: 60 }, (_, i) => ({
    requestId: `${odd[i % odd.length]}-${i}`,
    assignment: { ...routed, experiment: `e${i % 20}`, variant: odd[(i * 3) % odd.length]!, assigned: `a${i % 3}` },
    inputs: [floats(`in-${i % 40}-${odd[i % odd.length]}`, [1, 2], [i, i + 0.5])],
  }));
  const { rows } = await logged(context, [...told, ...told], { sample: 1 });
  for (const [i, row] of rows.entries()) {
    const { requestId, assignment, inputs } = told[i % told.length]!;
    assert.deepEqual(
      [row.request_id, row.experiment, row.variant_served, row.variant_assigned, row.route_reason],
      [requestId, assignment.experiment, assignment.variant, assignment.assigned, 'weight'],
    );
    assert.deepEqual(JSON.parse(String(row.input_json)), { [inputs[0]!.name]: [...inputs[0]!.data] });
  }
  assert.equal(rows.length, 120);
});

test('a prediction that is a number is told as its text', async (context) => {
  const { rows } = await logged(context, [
    { prediction: 152.5, score: 152.5 },
    { prediction: 0.1, score: 7 },
    { prediction: NaN, score: NaN },
    { prediction: 5, score: undefined },
  ]);
  assert.deepEqual(
    rows.map((row) => row.prediction),
    ['152.5', '0.1', 'NaN', '5'],
  );
});

test('elements of every type are kept as they were, few or many', async (context) => {
  const kept = async (tensor: Tensor) => {
    const { rows } = await logged(context, [{ inputs: [tensor], items: 1 }], { sample: 1 });
    return (JSON.parse(String(rows[0]?.input_json)) as Record<string, unknown>)[tensor.name];
  };
  for (const count of [3, 65]) {
    for (const datatype of datatypes) {
      if (datatype === 'BYTES' || datatype === 'BF16' || datatype === 'BOOL') continue;
      const data = allocate(datatype, count);
      const isWide = datatype === 'INT64' || datatype === 'UINT64';
      for (let i = 0; i < count; i++) (data as unknown as (number | bigint)[])[i] = isWide ? BigInt(i) : i;
      const expected = Array.from(data as Int32Array, (value) =>
        datatype === 'FP16' ? numberOf(value) : Number(value),
      );
      assert.deepEqual(await kept({ name: 'x', datatype, shape: [1, count], data }), expected, `${datatype} ${count}`);
    }
  }
});

test('segments that are changed under load lose nothing: offered is logged and dropped, exactly', async (context) => {
  const directory = folder(context);
  const log = await openLog(directory, { segmentBytesMax: 20_000, flushMs: 1, chunksMax: 2 });
  const of = log.subject(terms);
  let offered = 0;
  // However slow the thread that writes is: until it has changed its file often.
  for (let burst = 0; burst < 5000 && readdirSync(directory).length <= 10; burst++) {
    for (let i = 0; i < 300; i++) log.append(event(of, { requestId: `request-${offered++}` }));
    await wait(1);
  }
  const stats = await log.close();
  assert.equal(stats.offered, offered);
  assert.equal(stats.offered, stats.logged + sumOf(stats.dropped));
  assert.ok(readdirSync(directory).length > 10);
  const { problems, incarnations } = verifyLog(join(directory, 'none'), directory);
  assert.deepEqual(problems, []);
  assert.equal(incarnations[0]?.kept, stats.logged);
});

test('a bucket keeps the range and not the value', async (context) => {
  const redact: RedactionRule[] = [{ target: '/inputs/x/0', how: 'bucket', edges: [10, 20] }];
  const inputs = [floats('x', [4, 1], [9.5, 10, 19.5, 20])];
  const { rows } = await logged(context, [{ inputs, items: 4 }], { redact, sample: 1 });
  assert.deepEqual(
    rows.map(({ input_json }) => input_json),
    ['{"x":[0]}', '{"x":[1]}', '{"x":[1]}', '{"x":[2]}'],
  );
});

test('a tensor with a limit of its own keeps so much, whether a tap looks at it or not', async (context) => {
  const count = (to: number) => Array.from({ length: to }, (_, i) => i);
  const inputs = [
    floats('image', [2, 50], count(100)),
    floats('a/b', [10, 50], count(500)),
    floats('long', [1, 300], count(300)),
    floats('others', [1, 300], count(300)),
    texts('words', [4], ['eins', 'zwei', 'drei', 'vier']),
  ];
  const outputs = [floats('image', [1, 2], [8, 9])];
  const truncate = [
    { target: '/inputs/image', bytes: 0 },
    { target: '/inputs/a~1b', bytes: 260 },
    { target: '/inputs/long', bytes: 1100 },
    { target: '/inputs/words', bytes: 34 },
  ];
  const assignment = { ...routed, key: 'somebody' };
  const events = [{ inputs, outputs, assignment }, { inputs: [floats('long', [1, 270], count(270))] }, { inputs }];
  const of = (more: Partial<SubjectTerms>) =>
    logged(context, events, { truncate, sample: 1, ...more }, { tensorBytesMax: 1000 });
  for (const isTapped of [false, true]) {
    const { records, rows, stats } = await of({ isTapped });
    assert.equal(stats.logged, 3);
    assert.deepEqual(
      rows.map(({ truncated, redacted, unit_key_hash }) => [truncated, redacted, unit_key_hash]),
      [
        [true, false, hashed('somebody')],
        [false, false, undefined],
        [true, false, undefined],
      ],
    );
    const kept = payloadOf(records[0]!)!;
    assert.deepEqual(
      kept.inputs.map(({ data }) => data),
      [[], count(65), count(275), count(250), ['eins', 'zwei', 'drei']],
    );
    assert.deepEqual(kept.inputs[0], { name: 'image', datatype: 'FP32', shape: [2, 50], data: [], length: 100 });
    assert.deepEqual(kept.outputs[0]?.data, [8, 9]);
    assert.deepEqual(payloadOf(records[2]!), { inputs: kept.inputs, outputs: [] });
    // What is cut is redacted as if it were whole.
    const redact: RedactionRule[] = [
      { target: '/inputs/a~1b/1', how: 'drop' },
      { target: '/inputs/a~1b/2', how: 'mask' },
      { target: '/inputs/long', how: 'drop' },
    ];
    const ruled = payloadOf((await of({ isTapped, redact })).records[0]!)!;
    const dropped = new Map<number, string | null>([1, 51].map((at) => [at, null]));
    for (const at of [2, 52]) dropped.set(at, '***');
    assert.deepEqual(
      ruled.inputs[1]?.data,
      count(65).map((value) => (dropped.has(value) ? dropped.get(value) : value)),
    );
    assert.deepEqual(ruled.inputs[2]?.data, []);
  }
});

test('rules and shares that make no sense are refused when the subject is made', () => {
  const bad: Partial<SubjectTerms>[] = [
    { rows: 0.5, sample: 0.6 },
    { rows: 1.5 },
    { sample: Number.NaN },
    { redact: [{ target: 'nobody', how: 'drop' }] },
    { redact: [{ target: '/inputs/x', how: 'bucket', edges: [2, 1] }] },
    { redact: [{ target: '/inputs/x', how: 'bucket' }] },
    { truncate: [{ target: 'nobody', bytes: 1 }] },
    { truncate: [{ target: '/inputs/x/0', bytes: 1 }] },
  ];
  for (const more of bad) assert.throws(() => subject(more), { code: 'INVALID_ARGUMENT' }, JSON.stringify(more));
});

test('one number decides row and payload, alike in every process, and samples are nested', () => {
  const [sampling, of] = [new Sampling(), subject({ rows: 0.3, sample: 0.1 })];
  let [rows, payloads] = [0, 0];
  const count = 20_000;
  for (let i = 0; i < count; i++) {
    const requestId = `request-${i}`;
    const share = uniform(`log:${requestId}`);
    const decided = sampling.termsOf(event(of, { requestId }));
    assert.equal(decided !== undefined, share < 0.3);
    if (decided === undefined) continue;
    assert.equal(decided.withPayload, share < 0.1);
    assert.deepEqual([decided.sampleRate, decided.payloadRate], [0.3, 0.1]);
    rows++;
    if (decided.withPayload) payloads++;
  }
  assert.ok(Math.abs(rows / count - 0.3) < 0.02 && Math.abs(payloads / count - 0.1) < 0.02);
});

test('errors, overrides and the slowest are always kept, with a rate of 1', () => {
  const [sampling, of] = [new Sampling(), subject({ rows: 0, sample: 0 })];
  const termsOf = (more: Partial<PredictionEvent>) => sampling.termsOf(event(of, more));
  assert.equal(termsOf({}), undefined);
  assert.equal(termsOf({ errorCode: 'INTERNAL' })?.sampleRate, 1);
  assert.equal(termsOf({ status: 429 })?.sampleRate, 1);
  const forced = {
    experiment: 'e',
    phase: 1,
    variant: 'a',
    assigned: 'a',
    reason: 'override',
    isSticky: true,
    keyHash: 1,
  } as const;
  assert.equal(termsOf({ assignment: forced })?.sampleRate, 1);
  for (let i = 0; i < 1000; i++) assert.equal(termsOf({ latencyUs: 1000 + i }), undefined);
  const next = startUs + 60_000_000;
  assert.equal(termsOf({ latencyUs: 1500, tsUs: next }), undefined);
  assert.equal(termsOf({ latencyUs: 50_000, tsUs: next })?.sampleRate, 1);
  assert.equal(
    termsOf({ latencyUs: 50_000, tsUs: next + 180_000_000 }),
    undefined,
    'a minute without requests has no p99',
  );
});

test('a sampled-out event is counted and takes no number', async (context) => {
  const events = Array.from({ length: 1000 }, (_, i) => ({ requestId: `request-${i}` }));
  const { directory, stats } = await logged(context, events, { rows: 0.5 });
  assert.equal(stats.offered, 1000);
  assert.equal(stats.logged + stats.sampledOut, 1000);
  const { problems, incarnations } = verifyLog(join(directory, 'none'), directory);
  assert.deepEqual(problems, []);
  assert.deepEqual(incarnations[0]?.end, { seq: stats.logged, offered: 1000, sampledOut: stats.sampledOut });
});

/** Frames whose chunks nobody takes until the test does. */
function heldFrames(chunksMax: number, shadowChunksMax: number) {
  const sent: { chunk: Chunk; bytes: number }[] = [];
  const frames = new Frames({
    chunksMax,
    shadowChunksMax,
    tensorBytesMax: 1024,
    send: (chunk, bytes) => sent.push({ chunk, bytes }),
  });
  return { frames, sent };
}

test('without a free chunk the newest event is dropped, and shadows are refused before that', () => {
  const { frames, sent } = heldFrames(4, 2);
  const written = { sampleRate: 1, payloadRate: 0, withPayload: false, isTapOnly: false };
  const of = subject();
  const push = (role: 'primary' | 'shadow') => frames.append(event(of, { role }), written);
  while (frames.inUse < 2) assert.ok(push('primary'));
  assert.equal(push('shadow'), false);
  assert.equal(frames.dropped.shadow_shed, 1);
  while (push('primary')) assert.ok(frames.inUse <= 4);
  assert.equal(frames.dropped.buffer_full, 1);
  assert.equal(sent.length, 4);
  for (let i = 0; i < 9; i++) push('primary');
  const { chunk } = sent.shift()!;
  frames.recycle(chunk);
  assert.ok(push('primary'));
  frames.flush();
  const { bytes } = sent.at(-1)!;
  assert.ok(bytes < 500, 'a marker and one event');
  assert.equal(frames.dropped.buffer_full, 10);
  frames.close();
  assert.equal(push('primary'), false);
  assert.equal(frames.dropped.shutdown, 1);
});

const stalling = new URL('./predictions-stall.js', import.meta.url).href;

test('an observer that stands still for two seconds costs no memory beyond its bound, and drops are counted exactly', async (context) => {
  const directory = folder(context);
  const reports: unknown[] = [];
  const log = await openLog(directory, { tapUrl: stalling, onTap: (report) => reports.push(report), chunksMax: 16 });
  const of = log.subject(terms);
  const say = (i: number) => log.append(event(of, { requestId: `request-${i}`, traceId: 't'.repeat(32) }));
  let offered = 0;
  say(offered++);
  const before = process.memoryUsage.rss();
  const untilMs = performance.now() + 2200;
  let gapMs = 0;
  for (let last = performance.now(); last < untilMs; ) {
    for (let i = 0; i < 200; i++) say(offered++);
    await wait(1);
    const now = performance.now();
    gapMs = Math.max(gapMs, now - last);
    last = now;
  }
  assert.ok(log.stats().chunksInUse <= 16);
  assert.ok(process.memoryUsage.rss() - before < 64 * 2 ** 20);
  assert.ok(log.stats().dropped.buffer_full > 0);
  const stats = await log.close();
  assert.equal(stats.offered, offered);
  assert.equal(stats.offered, stats.logged + sumOf(stats.dropped));
  const { problems, incarnations } = verifyLog(join(directory, 'none'), directory);
  assert.deepEqual(problems, []);
  assert.equal(incarnations[0]?.kept, stats.logged);
  assert.equal(incarnations[0]?.dropped, stats.dropped.buffer_full);
  assert.deepEqual(reports, ['stalled']);
});

test('the tap sees inputs of events whose inputs are not kept', async (context) => {
  const directory = folder(context);
  const reports: unknown[] = [];
  const log = await openLog(directory, {
    tapUrl: new URL('./predictions-tap.js', import.meta.url).href,
    onTap: (report) => reports.push(report),
  });
  const of = log.subject({ ...terms, isTapped: true });
  log.append(event(of, { inputs: [floats('x', [1, 2], [secretNumber, 2])] }));
  await log.close();
  assert.deepEqual(reports, [{ model: 'digits', requestId: 'r-1', x: [secretNumber, 2] }]);
  const segment = openSegment(segmentFiles(directory)[0]!)!;
  const record = segment.recordOf(segment.events[0]!);
  assert.equal(payloadOf(record), undefined);
  assert.equal(eventOf(record).requestId, 'r-1');
});

test('the tap sees whole what a limit cuts', async (context) => {
  const reports: unknown[] = [];
  const { rows } = await logged(
    context,
    [{ inputs: [floats('x', [1, 2], [secretNumber, 2])] }],
    { isTapped: true, sample: 1, truncate: [{ target: '/inputs/x', bytes: 4 }] },
    { tapUrl: new URL('./predictions-tap.js', import.meta.url).href, onTap: (report) => reports.push(report) },
  );
  assert.deepEqual(reports, [{ model: 'digits', requestId: 'r-1', x: [secretNumber, 2] }]);
  assert.deepEqual([rows[0]?.input_json, rows[0]?.truncated], [`{"x":[${secretNumber}]}`, true]);
});

test('without room on the disk nothing is written, with little only metadata', async (context) => {
  const inputs = [floats('x', [1, 1], [1])];
  const none = await logged(context, [{ inputs }], { sample: 1 }, { room: { ...roomy, freeShareMin: 2 } });
  assert.deepEqual([none.stats.logged, none.stats.dropped.disk_low], [0, 1]);
  const little = await logged(context, [{ inputs }], { sample: 1 }, { room: { ...roomy, metadataFreeShareMin: 2 } });
  assert.equal(little.stats.logged, 1);
  assert.deepEqual([little.rows[0]?.input_json, little.rows[0]?.payload_rate], [undefined, 0]);
});

test('an observer that ends by itself costs the rows it had not confirmed, and requests go on', async (context) => {
  const directory = folder(context);
  const lost: string[] = [];
  const log = await openLog(directory, {
    tapUrl: new URL('./predictions-crash.js', import.meta.url).href,
    onLost: ({ message }) => lost.push(message),
  });
  const of = log.subject(terms);
  log.append(event(of));
  while (lost.length === 0) await wait(5);
  log.append(event(of));
  const stats = await log.close();
  assert.deepEqual(lost, ['the tap is broken']);
  assert.deepEqual([stats.offered, stats.logged, stats.dropped.write_error, stats.isLost], [2, 0, 2, true]);
});

test('events after the close are counted as dropped', async (context) => {
  const directory = folder(context);
  mkdirSync(directory, { recursive: true });
  const log = await openLog(directory);
  const of = log.subject(terms);
  log.append(event(of));
  await log.close();
  log.append(event(of));
  const stats = log.stats();
  assert.deepEqual([stats.offered, stats.logged, stats.dropped.shutdown], [2, 1, 1]);
});
