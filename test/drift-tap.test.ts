import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ClosedSketch } from '../src/core/closed-sketch.js';
import { keptOf } from '../src/core/closed-sketch.js';
import { halfOf } from '../src/core/half.js';
import type { DataType, TensorData } from '../src/core/tensor.js';
import { profileFileOf, type Watched, type WatchedFeature, watchFileOf, watchNameOf } from '../src/core/watched.js';
import type { SeenTensor } from '../src/gateway/seen.js';
import { SketchTap } from '../src/gateway/tap.js';
import { buildProfile, type ProfileOptions } from '../src/monitor/profile-build.js';
import { parseProfile, type ReferenceProfile } from '../src/monitor/profile-document.js';
import { sketchFrom } from '../src/monitor/sketch.js';
import { SketchLayout } from '../src/monitor/sketch-layout.js';
import type { Tap } from '../src/predictions/intake.js';

const id = { model: 'fraud', version: '7' };
const sha256 = 'abcdef0123456789';
const name = watchNameOf(id, sha256);
const minuteMs = 1000;
const startMs = 1_000_000_000;

function feature(name: string, input: string, column: number, datatype: DataType = 'FP32'): WatchedFeature {
  return { name, input, column, datatype, kind: 'numeric', weight: 1, isCritical: false };
}

function watchedOf(features: readonly WatchedFeature[], more: Partial<Watched> = {}): Watched {
  return { features, isOutputShown: true, labels: {}, warmUpRows: 0, ...more };
}

function tensor(name: string, datatype: DataType, shape: readonly number[], data: TensorData): SeenTensor {
  return { name, datatype, shape, data, length: shape.reduce((product, size) => product * size, 1) };
}

const numbers = (...values: number[]) => Float32Array.from(values);
const reference = Array.from({ length: 1000 }, (_, i) => i);

/** A tap over files in a folder of its own. */
function opened(context: TestContext, watched: Watched | undefined, profile?: ReferenceProfile) {
  const profiles = mkdtempSync(join(tmpdir(), 'sluice-tap-'));
  context.after(() => rmSync(profiles, { recursive: true, force: true }));
  if (profile !== undefined) writeFileSync(join(profiles, profileFileOf(name)), JSON.stringify(profile));
  if (watched !== undefined) writeFileSync(join(profiles, watchFileOf(name)), JSON.stringify(watched));
  const clock = { ms: startMs };
  const reports: (readonly ClosedSketch[])[] = [];
  const tap = new SketchTap({
    profiles,
    minuteMs,
    thread: 'test',
    report: (closed) => reports.push(closed),
    nowMs: () => clock.ms,
  });
  const subject = { ...id, id: 3, artifactSha256: sha256, gatewayId: 'g', configHash: '', backend: '', features: [] };
  const send = (
    inputs: readonly SeenTensor[],
    {
      outputs = [] as readonly SeenTensor[],
      ...event
    }: Record<string, unknown> & { outputs?: readonly SeenTensor[] } = {},
  ) => {
    const whole = { role: 'primary', status: 200, items: inputs[0]!.shape[0], tsUs: clock.ms * 1000, ...event };
    const tensors = { inputs, outputs } as unknown as Parameters<Tap['event']>[2];
    tap.event(whole as unknown as Parameters<Tap['event']>[0], subject, tensors);
  };
  /** Lets so many minutes pass. */
  const pass = (minutes: number) => {
    for (let i = 0; i < minutes; i++) {
      clock.ms += minuteMs;
      tap.tick();
    }
  };
  return { tap, profiles, clock, reports, send, pass };
}

function profileOf(options: Partial<ProfileOptions>): ReferenceProfile {
  return buildProfile({ ...id, baseline: 'training', columns: [], ...options });
}

/** One feature of what was reported last. */
function countsIn(profile: ReferenceProfile, closed: readonly ClosedSketch[], name: string) {
  const layout = new SketchLayout(profile);
  const sketch = sketchFrom(layout, closed.at(-1)!.buffer);
  return { ...sketch.countsOf(layout.features.findIndex((one) => one.name === name)), rows: sketch.rows };
}

test('every datatype is counted as the profile has it', (context) => {
  const profile = profileOf({
    columns: [
      { name: 'single', values: reference, datatype: 'FP32' },
      { name: 'half', values: reference, datatype: 'FP16' },
      { name: 'brain', values: reference, datatype: 'BF16' },
      { name: 'long', values: reference, datatype: 'INT64' },
      { name: 'code', values: ['1', '2', '9007199254740993'], kind: 'categorical' },
      { name: 'flag', values: [true, false, true], kind: 'categorical' },
      { name: 'country', values: ['DK', 'NO', 'SE'], kind: 'categorical' },
      { name: 'small', values: [1, 2, 3], kind: 'categorical' },
    ],
  });
  const watched = watchedOf([
    feature('single', 'single', 0),
    feature('half', 'half', 0, 'FP16'),
    feature('brain', 'brain', 0, 'BF16'),
    feature('long', 'long', 0, 'INT64'),
    feature('code', 'long', 1, 'INT64'),
    feature('flag', 'flag', 0, 'BOOL'),
    feature('country', 'country', 0, 'BYTES'),
    feature('small', 'small', 0, 'INT32'),
  ]);
  const { reports, send, pass } = opened(context, watched, profile);
  send([
    tensor('single', 'FP32', [2, 1], numbers(500, NaN)),
    tensor('half', 'FP16', [2, 1], Uint16Array.of(halfOf(250), halfOf(Infinity))),
    tensor('brain', 'BF16', [2, 1], Uint16Array.of(0x437a, 0x437a)),
    tensor('long', 'INT64', [2, 2], BigInt64Array.of(7n, 9007199254740993n, 8n, 5n)),
    tensor('flag', 'BOOL', [2, 1], Uint8Array.of(1, 0)),
    tensor('country', 'BYTES', [2, 1], ['NO', 'XX']),
    tensor('small', 'INT32', [2, 1], Int32Array.of(3, 3)),
  ]);
  pass(2);
  const of = (name: string) => countsIn(profile, reports[0]!, name);
  assert.deepEqual([of('single').rows, of('single').n, of('single').missing, of('single').mean], [2, 1, 1, 500]);
  assert.deepEqual([of('half').n, of('half').invalid, of('half').mean], [1, 1, 250]);
  assert.deepEqual([of('brain').n, of('brain').mean], [2, 250]);
  assert.deepEqual([of('long').n, of('long').mean], [2, 7.5]);
  assert.deepEqual(of('code').counts, [0, 0, 1, 1]);
  assert.deepEqual(of('flag').counts, [1, 1, 0]);
  assert.deepEqual(of('country').counts, [0, 1, 0, 1]);
  assert.deepEqual(of('small').counts, [0, 0, 2, 0]);
});

test('predictions and scores are counted one by one, also of a request with many rows', (context) => {
  const profile = profileOf({
    columns: [{ name: 'x', values: reference }],
    prediction: { values: ['0', '1', '0'] },
    score: { values: reference.map((i) => i / 1000), datatype: 'FP32' },
  });
  const { reports, send, pass } = opened(context, watchedOf([feature('x', 'in', 0)]), profile);
  send([tensor('in', 'FP32', [1, 1], numbers(1))], { prediction: '1', score: 0.25 });
  send([tensor('in', 'FP32', [3, 1], numbers(1, 2, 3))], {
    outputs: [
      tensor('label', 'INT64', [3], BigInt64Array.of(0n, 0n, 1n)),
      tensor('probabilities', 'FP32', [3, 2], numbers(0.5, 0.5, 0.75, 0.25, 0, 1)),
    ],
  });
  pass(2);
  assert.deepEqual(countsIn(profile, reports[0]!, 'prediction').counts, [2, 2, 0]);
  const score = countsIn(profile, reports[0]!, 'score');
  assert.deepEqual([score.n, score.mean], [4, 0.5]);
});

test('the distance of a row from the patterns of the reference is counted', (context) => {
  const columns = ['a', 'b'].map((name) => ({ name, values: reference }));
  const pca = { features: ['a', 'b'], mean: [0, 0], scale: [1, 1], components: [[Math.SQRT1_2, Math.SQRT1_2]] };
  const profile = profileOf({ columns, pca });
  const { reports, send, pass } = opened(context, watchedOf([feature('a', 'in', 0), feature('b', 'in', 1)]), profile);
  send([tensor('in', 'FP32', [2, 2], numbers(3, 3, 1, -1))]);
  pass(2);
  const errors = countsIn(profile, reports[0]!, 'reconstruction_error');
  assert.equal(errors.n, 2);
  assert.ok(Math.abs(errors.mean! - Math.SQRT2 / 2) < 1e-6);
});

const xProfile = profileOf({ columns: [{ name: 'x', values: reference }] });
const xWatched = watchedOf([feature('x', 'in', 0)]);
const row = (value: number) => [tensor('in', 'FP32', [1, 1], numbers(value))];

test('scores become expected outcomes by the calibration of the profile, of two classes and of several', (context) => {
  const calibration = { x: [0, 1], y: [0, 0.8] };
  const profile = profileOf({ columns: [{ name: 'a', values: reference }], calibration });
  const sums = (task: 'binary' | 'multiclass' | 'regression') => {
    const semantics = { task, score: { output: 'p', column: 1 }, threshold: 0.5 };
    const { reports, send, pass } = opened(context, watchedOf([feature('a', 'a', 0)], { semantics }), profile);
    send([tensor('a', 'FP32', [1, 1], numbers(5))], { score: 0.75 });
    send([tensor('a', 'FP32', [2, 1], numbers(5, 6))], {
      outputs: [tensor('p', 'FP32', [2, 2], numbers(0.75, 0.25, NaN, NaN))],
    });
    pass(2);
    return Object.values(sketchFrom(new SketchLayout(profile), reports[0]!.at(-1)!.buffer).expected()!);
  };
  const near = (got: readonly number[], expected: readonly number[]) =>
    assert.ok(
      got.every((sum, i) => Math.abs(sum - expected[i]!) < 1e-9),
      String(got),
    );
  near(sums('binary'), [0.6, 0.4, 0.2, 0.8]);
  near(sums('multiclass'), [0.8, 1.2, 0, 0]);
  near(sums('regression'), [0, 0, 0, 0]);
});

test('of a tensor that was cut only the whole rows count, and of failed requests nothing', (context) => {
  const { reports, send, pass } = opened(context, xWatched, xProfile);
  send([{ ...tensor('in', 'FP32', [4, 2], numbers(1, 0, 2, 0, 3)), length: 8 }]);
  send(row(9), { status: 500 });
  pass(2);
  assert.deepEqual([countsIn(xProfile, reports[0]!, 'x').rows, countsIn(xProfile, reports[0]!, 'x').mean], [2, 1.5]);
});

test('a report is sent again until control has it, one at a time', (context) => {
  const { tap, reports, send, pass } = opened(context, xWatched, xProfile);
  send(row(1));
  pass(2);
  assert.equal(reports.length, 1);
  send(row(2));
  pass(3);
  assert.equal(reports.length, 1, 'the first one is under way');
  tap.hear(keptOf(reports[0]!));
  assert.deepEqual(
    reports.map((closed) => closed.map(({ number }) => number)),
    [[1], [2]],
  );
  pass(11);
  assert.deepEqual(
    reports.at(-1)!.map(({ number }) => number),
    [2],
    'nobody answered',
  );
  tap.hear(keptOf(reports.at(-1)!));
  const { length } = reports;
  pass(30);
  assert.equal(reports.length, length);
});

test('roles are counted apart, and what is open is reported at the end', (context) => {
  const { tap, reports, send } = opened(context, xWatched, xProfile);
  send(row(1));
  send(row(2), { role: 'fallback' });
  send(row(3), { role: 'fallback' });
  tap.close();
  const rows = reports[0]!.map(({ role, buffer, fromMs }) => [
    role,
    sketchFrom(new SketchLayout(xProfile), buffer).rows,
    fromMs,
  ]);
  assert.deepEqual(rows, [
    ['primary', 1, startMs],
    ['fallback', 2, startMs],
  ]);
});

test('events that never came are counted where those that came are', (context) => {
  const { tap, reports, send, pass } = opened(context, xWatched, xProfile);
  for (let i = 0; i < 6; i++) send(row(i));
  tap.lost(3);
  pass(2);
  assert.deepEqual([reports[0]![0]!.observed, reports[0]![0]!.dropped], [6, 3]);
});

test('a version that nobody watches, and one whose profile is broken, are left alone', (context) => {
  const unwatched = opened(context, undefined);
  unwatched.send(row(1));
  unwatched.pass(3);
  assert.deepEqual(unwatched.reports, []);
  const broken = opened(context, xWatched, { features: 7 } as unknown as ReferenceProfile);
  for (let i = 0; i < 3; i++) broken.send(row(i));
  broken.pass(3);
  assert.deepEqual(broken.reports, []);
});

test('the first rows make a provisional profile, which the next process takes instead of its own', (context) => {
  const watched = watchedOf([feature('x', 'in', 0)], { warmUpRows: 1000 });
  const { profiles, reports, send, pass } = opened(context, watched);
  for (let i = 0; i < 999; i++) send(row(i), { prediction: String(i % 2), score: i / 1000 });
  assert.deepEqual(readdirSync(profiles), [watchFileOf(name)]);
  send(row(999), { prediction: '1', score: 0.999 });
  assert.deepEqual(readdirSync(profiles).sort(), [profileFileOf(name), watchFileOf(name)].sort());
  const profile = parseProfile(readFileSync(join(profiles, profileFileOf(name)), 'utf8'));
  assert.equal(profile.baseline, 'live');
  assert.deepEqual([profile.features.x!.n, profile.prediction?.kind, profile.score?.n], [1000, 'categorical', 1000]);
  send(row(5));
  pass(2);
  assert.equal(countsIn(profile, reports[0]!, 'x').n, 1);
});

test('of two processes that warm up, the second takes the profile of the first', (context) => {
  const watched = watchedOf([feature('x', 'in', 0)], { warmUpRows: 1000 });
  const { profiles, clock, send, pass, reports } = opened(context, watched);
  for (let i = 0; i < 500; i++) send(row(i));
  writeFileSync(join(profiles, profileFileOf(name)), JSON.stringify(xProfile));
  clock.ms += 600;
  for (let i = 0; i < 600; i++) send(row(i));
  pass(2);
  assert.equal(countsIn(xProfile, reports[0]!, 'x').n, 600);
});
