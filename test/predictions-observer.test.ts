/** What the observer reads where it lies: the same, to the last bit, as what is read into objects, one record after the other. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ClosedSketch } from '../src/core/closed-sketch.js';
import type { Tensor } from '../src/core/tensor.js';
import { profileFileOf, type Watched, watchFileOf, watchNameOf } from '../src/core/watched.js';
import { SketchTap } from '../src/gateway/tap.js';
import { buildProfile } from '../src/monitor/profile-build.js';
import { parseProfile } from '../src/monitor/profile-document.js';
import { Reconstruction } from '../src/monitor/reconstruction.js';
import { Sketch } from '../src/monitor/sketch.js';
import { SketchLayout } from '../src/monitor/sketch-layout.js';
import type { PredictionEvent } from '../src/predictions/event.js';
import { EventReader } from '../src/predictions/event-reader.js';
import { Frames } from '../src/predictions/frames.js';
import { KnownBytes } from '../src/predictions/known-bytes.js';
import { headBytes, viewOf } from '../src/predictions/layout.js';
import { eventOf, payloadOf, payloadStart, tensorsOf } from '../src/predictions/record.js';
import { CellRows, columnsWith, rowsOf } from '../src/predictions/rows.js';
import type { Subject } from '../src/predictions/subject.js';
import { TensorReader } from '../src/predictions/tensor-reader.js';
import { event, floats, folder, subject, texts } from './predictions-events.js';

/** The same numbers in every run. */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state / 2 ** 32;
  };
}

/** Records as they lie in a chunk. */
function recordsOf(events: readonly PredictionEvent[]): { readonly bytes: Buffer; readonly starts: number[] } {
  let bytes = Buffer.alloc(0);
  const frames = new Frames({
    chunksMax: 64,
    shadowChunksMax: 64,
    tensorBytesMax: 65_536,
    send: (chunk, length) => {
      bytes = Buffer.concat([bytes, chunk.bytes.subarray(0, length)]);
    },
  });
  for (const one of events)
    frames.append(one, { sampleRate: 1, payloadRate: 1, withPayload: one.inputs !== undefined, isTapOnly: false });
  frames.flush();
  const starts: number[] = [];
  for (let at = 0; at < bytes.length; at += headBytes + bytes.readUInt32LE(at)) starts.push(at);
  return { bytes, starts };
}

function assorted(count: number, of: Subject): PredictionEvent[] {
  const random = chance(42);
  const pick = <T>(...values: T[]) => values[Math.floor(random() * values.length)]!;
  return Array.from({ length: count }, (_, n) => {
    const rows = pick(1, 1, 1, 3);
    const numbers = Array.from({ length: rows * 5 }, () => pick(random(), -0, NaN, Infinity, 1e30));
    const x = floats(pick('x', 'y'), [rows, 5], numbers);
    const longs: Tensor = {
      name: 'n',
      datatype: 'INT64',
      shape: [rows],
      data: new BigInt64Array(rows).fill(BigInt(n)),
    };
    const bytes: Tensor = { name: 'x', datatype: 'UINT8', shape: [3], data: Uint8Array.of(n, 2, 3) };
    const assignment = pick(undefined, 'a', 'é-b') as string | undefined;
    return event(of, {
      requestId: `r-${n}-${pick('', 'ü')}`,
      traceId: pick(undefined, 'trace'),
      items: rows,
      status: pick(200, 400),
      errorCode: pick(undefined, 'NOT_FOUND'),
      prediction: pick<string | number | undefined>('7', 'größer', 'x'.repeat(100), undefined, 0.75),
      score: pick(undefined, 0.75, random()),
      inputs: pick(undefined, [x], [x, texts('t', [2], ['a', 'ö'])], [bytes, longs]),
      outputs: pick([longs, x], [floats('p', [rows, 2], numbers.slice(0, 2 * rows))]),
      assignment:
        assignment === undefined
          ? undefined
          : {
              ...{ experiment: 'e', phase: pick(1, 2), variant: assignment, assigned: pick('a', 'b') },
              ...{ reason: 'weight', isSticky: pick(true, false), keyHash: n, key: `customer-${n % 3}` },
            },
    });
  });
}

test('an event read where it lies says what one read alone says, whatever was read before', () => {
  const { bytes, starts } = recordsOf(assorted(600, subject()));
  const reader = new EventReader();
  const tensors = new TensorReader();
  const records = { bytes, view: viewOf(bytes) };
  let withTensors = 0;
  for (const start of starts) {
    const record = Buffer.from(bytes.subarray(start, start + headBytes + bytes.readUInt32LE(start)));
    const alone = eventOf(record);
    const read = reader.over(records, start);
    const told = Object.fromEntries(Object.keys(alone).map((key) => [key, read[key as keyof typeof alone]]));
    assert.deepEqual(told, alone);
    const kept = tensorsOf(record);
    if (kept === undefined) continue;
    withTensors++;
    const seen = tensors.over(records, start + payloadStart(record) + 1);
    // Outputs first: whoever asks for them alone gets the same.
    assert.deepEqual(seen.outputs, kept.outputs);
    assert.deepEqual(seen.inputs, kept.inputs);
  }
  assert.ok(starts.length === 600 && withTensors > 300);
});

test('of bytes that share a place in the table each gets its own value, or none', () => {
  const known = new KnownBytes<string>(4);
  const random = chance(7);
  for (let i = 0; i < 2000; i++) {
    const text = String(Math.floor(random() * 40));
    const bytes = Buffer.from(`..${text}..`);
    const stretch = { from: 2, to: 2 + text.length, mark: i % 2 };
    const value = `${text}/${stretch.mark}`;
    const found = known.get({ bytes }, stretch);
    assert.ok(found === undefined || found === value, `${found} for ${value}`);
    known.put({ bytes }, stretch, value);
    assert.equal(known.get({ bytes }, stretch), value);
  }
});

test('errors of two rows at a time are those of each row alone, to the last bit', () => {
  const random = chance(11);
  const width = 7;
  const components = [0, 1, 2, 3, 4].map((row) =>
    Array.from({ length: 6 }, (_, i) => (i === row ? 1 : 0.01 * random())),
  );
  const six = Array.from({ length: 6 }, random);
  const reconstruction = new Reconstruction({ features: six.map(String), mean: six, scale: six, components });
  for (const rows of [1, 2, 5]) {
    const values = Float64Array.from({ length: rows * width }, () => (random() < 0.1 ? NaN : random() * 10));
    const alone = Array.from({ length: rows }, (_, row) =>
      reconstruction.errorOf([5, 4, 3, 2, 1, 0].map((column) => values[row * width + column]!)),
    );
    reconstruction.putErrors({ values, width, rows }, Int32Array.of(5, 4, 3, 2, 1, 0), 6);
    assert.deepEqual(
      Array.from({ length: rows }, (_, row) => values[row * width + 6]),
      alone,
    );
  }
});

test('rows that wait for each other are counted as one by one, to the last bit, and none is missing when its minute closes', (context) => {
  const random = chance(5);
  const names = ['a', 'b', 'c'];
  const reference = Array.from({ length: 500 }, () => random() ** 3);
  const id = { model: 'fraud', version: '7' };
  const profile = buildProfile({
    ...{ ...id, baseline: 'training' },
    columns: names.map((name) => ({ name, values: reference, datatype: 'FP32' })),
    score: { values: reference, datatype: 'FP32' },
  });
  const parsed = parseProfile(JSON.stringify(profile));
  const profiles = folder(context);
  const watched: Watched = {
    features: names.map((name, column) => ({
      name,
      input: 'x',
      column,
      datatype: 'FP32',
      kind: 'numeric',
      weight: 1,
      isCritical: false,
    })),
    ...{ isOutputShown: true, labels: {}, warmUpRows: 0 },
  };
  const sha = 'abcdef0123456789';
  mkdirSync(profiles, { recursive: true });
  writeFileSync(join(profiles, profileFileOf(watchNameOf(id, sha))), JSON.stringify(profile));
  writeFileSync(join(profiles, watchFileOf(watchNameOf(id, sha))), JSON.stringify(watched));
  const reports: ClosedSketch[] = [];
  let nowMs = 1_000_000_000;
  const report = (closed: readonly ClosedSketch[]) => {
    for (const one of closed)
      if (!reports.some(({ key, number }) => key === one.key && number === one.number)) reports.push(one);
  };
  const tap = new SketchTap({ profiles, minuteMs: 1000, thread: 'test', report, nowMs: () => nowMs });
  const layout = new SketchLayout(parsed);
  const expected = new Map<string, Sketch>();
  const of = { ...id, id: 1, artifactSha256: sha, gatewayId: 'g', configHash: '', backend: '', features: [] };
  for (let n = 0; n < 3000; n++) {
    if (n % 700 === 699) nowMs += 1000;
    const role = random() < 0.2 ? 'shadow' : 'primary';
    const values = Float32Array.from(names, () => [random() * 1.2, NaN, Infinity, -0][random() < 0.9 ? 0 : n % 4]!);
    const score = random() < 0.1 ? undefined : random();
    const key = `1/${role} ${Math.floor(nowMs / 1000)}`;
    const sketch = expected.get(key) ?? new Sketch(layout);
    expected.set(key, sketch);
    for (const [i, name] of names.entries()) sketch.addNumber(layout.indexOf('features', name), values[i]!);
    if (score !== undefined) sketch.addNumber(layout.indexOf('outputs', 'score'), score);
    sketch.addRows(1);
    const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, 3], data: values, length: 3 }] as const;
    const seen = { role, status: 200, items: 1, tsUs: nowMs * 1000, score, prediction: undefined };
    tap.event(seen as unknown as Parameters<typeof tap.event>[0], of, { inputs, outputs: [] });
  }
  tap.close();
  const found = new Map(reports.map(({ key, fromMs, buffer }) => [`${key} ${fromMs / 1000}`, Buffer.from(buffer)]));
  assert.deepEqual([...found.keys()].sort(), [...expected.keys()].sort());
  assert.equal(found.size, 10);
  for (const [key, sketch] of expected) assert.deepEqual(found.get(key), Buffer.from(sketch.buffer), key);
});

test('rows as cells are the rows, column by column', () => {
  const declared = ['a', 'b', 'c', 'd', 'e'].map((name, index) => ({
    name,
    input: 'x',
    index,
    type: 'DOUBLE' as const,
  }));
  const origin = { gatewayId: 'g1', incarnation: 7 };
  for (const features of [declared, []]) {
    const of = subject({ features });
    const { bytes, starts } = recordsOf(assorted(200, of));
    const columns = columnsWith(of.record.features);
    const cells = new CellRows(columns);
    for (const start of starts) {
      const record = bytes.subarray(start, start + headBytes + bytes.readUInt32LE(start));
      const told = [eventOf(record), of.record, payloadOf(record), origin] as const;
      assert.deepEqual(
        cells.of(...told),
        rowsOf(...told).map((row) => columns.map(({ name }) => row[name])),
      );
    }
  }
});
