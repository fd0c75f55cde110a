/**
 * Sketches: merge = concatenation, bounded memory, minutes, the ring and windows of drift, on clocks that are set.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MinuteSketches, minuteMs } from '../src/monitor/minutes.js';
import { categoricalProfile, featureProfile, numericProfile } from '../src/monitor/profile.js';
import { type FeatureCounts, Sketch, sketchFrom } from '../src/monitor/sketch.js';
import { SketchLayout } from '../src/monitor/sketch-layout.js';
import { SketchRing } from '../src/monitor/sketch-ring.js';
import { AdaptiveWindow } from '../src/monitor/windows.js';
import { normals, profileOf, sketchOf } from './drift-fixture.js';
import { dice } from './monitor-fixture.js';

type Value = number | string | null;

const chance = dice(5);
const normal = normals(chance);

const mixed = new SketchLayout(
  profileOf({
    amount: numericProfile(Array.from({ length: 400 }, normal)),
    level: categoricalProfile([1, 2, 3, 2.5]),
    country: categoricalProfile(['DK', 'NO', 'DK', '']),
    user: featureProfile(['a', 'b'], { kind: 'id' }),
    constant: numericProfile([7, 7]),
  }),
);

function randomRow(): Value[] {
  const pick = <T>(...values: T[]): T => values[Math.floor(chance() * values.length)]!;
  return [
    pick<Value>(normal(), normal() * 4, 0, -0, null, NaN, Infinity, 'text'),
    pick<Value>(1, 2, 3, 4, 2.5, '1', null, NaN),
    pick<Value>('DK', 'NO', '', 'SE', null, 12),
    pick<Value>(`u${Math.floor(chance() * 50)}`, 17, null),
    pick<Value>(7, 6, 8, 7),
  ];
}

const countsOf = (sketch: Sketch): FeatureCounts[] => sketch.layout.features.map((_, i) => sketch.countsOf(i));

function assertEqualSketches(a: Sketch, b: Sketch): void {
  assert.equal(a.rows, b.rows);
  for (const [i, left] of countsOf(a).entries()) {
    const right = b.countsOf(i);
    for (const name of ['mean', 'm2'] as const) {
      const [x, y] = [left[name], right[name]];
      assert.ok(x === y || Math.abs(x! - y!) <= 1e-9 * Math.max(1, Math.abs(y!)), `${name} of feature ${i}`);
    }
    assert.deepEqual({ ...left, mean: 0, m2: 0 }, { ...right, mean: 0, m2: 0 });
  }
}

test('the merge of parts, in any order and grouping, is the sketch of all their rows', () => {
  for (let round = 0; round < 40; round++) {
    const parts = Array.from({ length: 1 + Math.floor(chance() * 6) }, () =>
      Array.from({ length: Math.floor(chance() * 40) }, randomRow),
    );
    const whole = sketchOf(mixed, parts.flat());
    const shuffled = parts.toSorted(() => chance() - 0.5);
    const left = new Sketch(mixed);
    for (const part of shuffled) left.merge(sketchOf(mixed, part));
    assertEqualSketches(left, whole);
    const right = shuffled.reduceRight<Sketch>((sum, part) => {
      const sketch = sketchOf(mixed, part);
      sketch.merge(sum);
      return sketch;
    }, new Sketch(mixed));
    assertEqualSketches(right, whole);
  }
});

test('every value is counted once: missing, invalid or in one bin', () => {
  const sketch = sketchOf(mixed, [
    [0.1, 1, 'DK', 'u', 7],
    [null, null, null, null, 7],
    [NaN, NaN, null, null, 6],
    [Infinity, 9, 'SE', 17, 8],
    [-Infinity, '1', '', 'u', 7],
    ['text', 2.5, 'NO', '17', 7],
    [-0, 3, 'DK', 'u', 7],
  ]);
  const [amount, level, country, user, constant] = countsOf(sketch) as [
    FeatureCounts,
    FeatureCounts,
    FeatureCounts,
    FeatureCounts,
    FeatureCounts,
  ];
  assert.deepEqual([amount.n, amount.missing, amount.invalid, amount.zeros], [2, 2, 3, 1]);
  assert.equal(Object.is(amount.min, 0), true);
  assert.deepEqual([level.n, level.missing, level.counts], [5, 2, [2, 0, 1, 1, 1]]);
  assert.deepEqual([country.n, country.counts], [5, [1, 2, 1, 1]]);
  assert.deepEqual([user.n, user.missing, Math.round(user.distinct!)], [5, 2, 2]);
  assert.deepEqual(constant.counts, [1, 5, 1]);
  for (const { n, missing, invalid } of countsOf(sketch)) assert.equal(n + missing + invalid, sketch.rows);
});

test('an empty sketch says null where nothing is defined', () => {
  for (const { n, mean, m2, min, max } of countsOf(new Sketch(mixed)))
    assert.deepEqual([n, mean, m2, min, max], [0, null, null, null, null]);
});

test('the largest doubles make no NaN', () => {
  const sketch = sketchOf(mixed, [
    [Number.MAX_VALUE, 1, 'DK', 'u', 7],
    [-Number.MAX_VALUE, 1, 'DK', 'u', 7],
    [1, 1, 'DK', 'u', 7],
  ]);
  const { n, mean, m2, min, max } = sketch.countsOf(0);
  assert.deepEqual([n, min, max], [3, -Number.MAX_VALUE, Number.MAX_VALUE]);
  assert.deepEqual([mean, m2], [null, null]);
});

test('a million new categories and a million ids take no more memory than none', () => {
  const sketch = new Sketch(mixed);
  const { byteLength } = sketch.buffer;
  for (let i = 0; i < 1_000_000; i++) {
    sketch.addKey(2, `new-${i}`);
    sketch.addKey(3, `user-${i}`);
    sketch.addRows(1);
  }
  assert.equal(sketch.buffer.byteLength, byteLength);
  assert.deepEqual(sketch.countsOf(2).counts, [0, 0, 0, 1_000_000]);
  const { distinct } = sketch.countsOf(3);
  assert.ok(Math.abs(distinct! / 1_000_000 - 1) < 5 * 0.016, `estimated ${distinct}`);
});

test('a sketch survives the way through a buffer, and a foreign or damaged one is refused', () => {
  const sketch = sketchOf(mixed, Array.from({ length: 30 }, randomRow));
  const received = structuredClone(sketch.buffer, { transfer: [sketch.buffer.slice(0)] });
  assertEqualSketches(sketchFrom(mixed, received), sketch);
  const other = new SketchLayout(profileOf({ x: numericProfile([1, 2, 3]) }));
  assert.throws(() => sketchFrom(other, received), /expected \d+ bytes, got \d+/);
  assert.throws(() => new Sketch(other).merge(sketch), /two profiles/);
  const samePlan = new SketchLayout(profileOf({ x: numericProfile([1, 2, 4]) }));
  assert.throws(() => sketchFrom(samePlan, new Sketch(other).buffer), /another profile/);
  const numbers = new Float64Array(received);
  for (const wrong of [-1, NaN, 0.5, Infinity]) {
    numbers[2] = wrong;
    assert.throws(() => sketchFrom(mixed, received), /feature 'amount' holds no counts/);
  }
});

/** 20 numbers in 10 bins and three categorical features of five keys. */
const usual = new SketchLayout(
  profileOf({
    ...Object.fromEntries(
      Array.from({ length: 20 }, (_, i) => [`x${i}`, numericProfile(Array.from({ length: 500 }, normal))]),
    ),
    ...Object.fromEntries(['a', 'b', 'c'].map((name) => [name, categoricalProfile(['k1', 'k2', 'k3', 'k4', 'k5'])])),
  }),
);

/** In the middle of a day, so that a ring of the past fills up whole units. */
const startMs = Date.UTC(2026, 0, 40, 12, 30);
const startMinute = startMs / minuteMs;

test('the ring of 23 features holds 114 sketches in 365 KB, and no more after two months', () => {
  const ring = new SketchRing(usual);
  const sketch = sketchOf(usual, [new Array(23).fill(0.5)]);
  for (let minute = 0; minute < 40 * 24 * 60; minute += 7) {
    ring.add(startMinute + minute, sketch, startMs + minute * minuteMs);
  }
  for (let minute = 40 * 24 * 60; minute < 40 * 24 * 60 + 60; minute++) {
    ring.add(startMinute + minute, sketch, startMs + minute * minuteMs);
  }
  assert.equal(ring.save().length, 114);
  assert.ok(ring.bytes <= 365_000, `${ring.bytes} bytes`);
  const score = numericProfile(Array.from({ length: 500 }, normal));
  const pca = { features: ['x0'], mean: [0], scale: [1], components: [[1]], error: score };
  const calibration = { x: [0, 1], y: [0, 1] };
  const features = Object.fromEntries(usual.features.map((one) => [one.name, one.profile]));
  const whole = profileOf(features, { prediction: categoricalProfile(['0', '1']), score, calibration, pca });
  const all = 114 * new SketchLayout(whole).bytes;
  assert.ok(all <= 400_000, `with answers, reconstruction error and expected outcomes ${all} bytes`);
  assert.equal(ring.late, 0);
});

test('expected outcomes add up, and where a profile calibrates nothing there are none', () => {
  const layout = new SketchLayout(profileOf({}, { calibration: { x: [0, 1], y: [0, 1] } }));
  const [left, right] = [new Sketch(layout), new Sketch(layout)];
  left.addExpected(0.75, true);
  left.addExpected(NaN, true);
  right.addExpected(0.25, false);
  left.merge(sketchFrom(layout, right.buffer.slice(0)));
  assert.deepEqual(left.expected(), { tp: 0.75, fp: 0.25, fn: 0.25, tn: 0.75 });
  assert.throws(() => left.merge(new Sketch(new SketchLayout(profileOf({})))), /two profiles/);
  const broken = right.buffer.slice(0);
  new Float64Array(broken)[layout.expectedStart] = -1;
  assert.throws(() => sketchFrom(layout, broken), /no sums of chances/);
  assert.equal(new Sketch(usual).expected(), undefined);
});

test('minutes, hours and days of the ring are sums of the same rows', () => {
  const ring = new SketchRing(mixed);
  const all = new Sketch(mixed);
  for (let minute = 0; minute < 30; minute++) {
    const sketch = sketchOf(mixed, Array.from({ length: 5 }, randomRow));
    all.merge(sketch);
    ring.add(startMinute - 30 + minute, sketch, startMs - 1);
  }
  const now = startMs - 1;
  assertEqualSketches(ring.last('minute', 30, now), all);
  assertEqualSketches(ring.last('hour', 1, now), all);
  assertEqualSketches(ring.last('day', 30, now), all);
  assert.equal(ring.last('minute', 10, now).rows, 50);
  const restored = new SketchRing(mixed);
  restored.restore(structuredClone(ring.save()));
  assertEqualSketches(restored.last('day', 1, now), all);
});

test('a ring forgets what is too old, and gets over a clock that was a year ahead', () => {
  const ring = new SketchRing(mixed);
  const one = sketchOf(mixed, [randomRow()]);
  const yearMs = 365 * 86_400_000;
  ring.add(startMinute + yearMs / minuteMs, one, startMs + yearMs);
  ring.add(startMinute, one, startMs);
  assert.equal(ring.last('minute', 1, startMs).rows, 1);
  assert.equal(ring.last('hour', 24, startMs).rows, 1);
  assert.equal(ring.last('day', 30, startMs).rows, 1);
  assert.equal(ring.late, 0);
  ring.add(startMinute - 120, one, startMs);
  assert.equal(ring.late, 1, 'its minute has passed, its hour and day have not');
  assert.equal(ring.last('hour', 24, startMs).rows, 2);
  ring.add(startMinute + 600, one, startMs);
  assert.equal(ring.late, 3, 'an event of the future is not of this minute or hour');
});

test('events of two open minutes are counted where they belong, older ones in the older of them', () => {
  const minutes = new MinuteSketches(mixed, startMs);
  const add = (eventMs: number) => minutes.sketchAt(eventMs).addRows(1);
  add(startMs);
  minutes.turn(startMs + minuteMs);
  add(startMs + minuteMs);
  add(startMs + 1);
  add(startMs - 10 * minuteMs);
  assert.deepEqual(minutes.take(), []);
  minutes.turn(startMs + 2 * minuteMs);
  assert.deepEqual(
    minutes.take().map(({ minute, sketch }) => [minute - startMinute, sketch.rows]),
    [[0, 3]],
  );
  minutes.closeAll();
  assert.deepEqual(
    minutes.take().map(({ minute, sketch }) => [minute - startMinute, sketch.rows]),
    [
      [0, 3],
      [1, 1],
    ],
  );
});

test('clock steps close minutes early and lose no row', () => {
  const minutes = new MinuteSketches(mixed, startMs);
  const at = (nowMs: number) => {
    minutes.turn(nowMs);
    minutes.sketchAt(nowMs).addRows(1);
  };
  at(startMs);
  at(startMs + 26 * 60 * minuteMs);
  at(startMs + 26 * 60 * minuteMs - 1000);
  at(startMs);
  at(startMs + minuteMs);
  minutes.closeAll();
  const closed = minutes.take();
  assert.deepEqual(
    closed.map(({ minute, sketch }) => [minute - startMinute, sketch.rows]),
    [
      [0, 1],
      [1560, 2],
      [0, 1],
      [1, 1],
    ],
  );
  assert.deepEqual(
    closed.map(({ number }) => number),
    [1, 2, 3, 4],
  );
});

test('what control does not fetch is merged from its oldest end, and what it took is not changed any more', () => {
  const minutes = new MinuteSketches(mixed, startMs);
  const pass = (from: number, to: number) => {
    for (let minute = from; minute < to; minute++) {
      minutes.turn(startMs + minute * minuteMs);
      minutes.sketchAt(startMs + minute * minuteMs).addRows(1);
      minutes.count(1, 1);
    }
  };
  pass(0, 200);
  const taken = minutes.take();
  assert.equal(taken.length, 60);
  const rows = (closed: readonly { sketch: Sketch }[]) => closed.reduce((sum, { sketch }) => sum + sketch.rows, 0);
  assert.equal(rows(taken), 198);
  assert.equal(
    taken.reduce((sum, { dropped }) => sum + dropped, 0),
    198,
  );
  assert.equal(taken[0]!.sketch.rows, 139);
  pass(200, 400);
  assert.equal(taken[0]!.sketch.rows, 139);
  assert.equal(rows(taken), 198);
  minutes.acknowledge(taken.at(-1)!.number);
  assert.equal(rows(minutes.take()), 200);
  assert.ok(minutes.take().length <= 62);
});

const part = (rows: number, minute = 0, dropped = 0) => {
  const sketch = new Sketch(mixed);
  sketch.addRows(rows);
  return { minute: startMinute + minute, sketch, observed: rows, dropped };
};

test('a window closes when it has enough rows, and the next one starts empty', () => {
  const window = new AdaptiveWindow(mixed, { minN: 500 });
  assert.equal(window.provisional(), undefined);
  assert.equal(window.due(0), undefined);
  window.add(part(300, 0), 1000);
  assert.equal(window.due(1000), undefined);
  assert.equal(window.provisional()!.sketch.rows, 300);
  window.add(part(200, 1), 61_000);
  const due = window.due(61_000)!;
  assert.deepEqual([due.sketch.rows, due.fromMinute, due.toMinute], [500, startMinute, startMinute + 1]);
  assert.equal(window.provisional(), undefined);
});

test('a busy model is judged at most once a minute', () => {
  const window = new AdaptiveWindow(mixed, { minN: 500 });
  window.add(part(10_000), 0);
  assert.ok(window.due(0));
  window.add(part(10_000), 10_000);
  assert.equal(window.due(59_999), undefined);
  assert.equal(window.due(60_000)!.sketch.rows, 10_000);
});

test('a quiet model is judged after a day, with what it has', () => {
  const window = new AdaptiveWindow(mixed, { minN: 500 });
  window.add(part(3), 5000);
  assert.equal(window.due(5000 + 86_400_000 - 1), undefined);
  assert.equal(window.due(5000 + 86_400_000)!.sketch.rows, 3);
});

test('a window of which more than a tenth was dropped says so', () => {
  const window = new AdaptiveWindow(mixed, { minN: 500 });
  window.add(part(900, 0, 100), 0);
  assert.equal(window.provisional()!.degraded, false);
  window.add(part(0, 1, 1), 0);
  assert.equal(window.due(0)!.degraded, true);
});
