/**
 * The guard after a swap.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InferenceEvent } from '../src/core/events.js';
import type { OutcomeCode } from '../src/core/inference.js';
import { mergeFamilies, secondsBuckets } from '../src/core/series.js';
import { Tally } from '../src/core/tally.js';
import { firstWindow, type GuardLook, guardMs, guardVerdict } from '../src/monitor/guard.js';
import { type Served, servedBy, servedSince, servedTogether } from '../src/monitor/served.js';
import { createMetrics } from '../src/observe/metrics.js';
import { dice } from './monitor-fixture.js';

const blamed = null;

/** Requests of which some failed, each with a run of its own, all of them as slow. */
function traffic(requests: number, faults: number, ms = 1): Served {
  const durations = new Array<number>(requests).fill(ms);
  return { ...timed(durations, durations), faults };
}

/** Requests that took these times, of which the model itself needed those. */
function timed(durationsMs: readonly number[], runsMs: readonly number[]): Served {
  return { requests: durationsMs.length, faults: 0, latency: timesOf(durationsMs), runs: timesOf(runsMs) };
}

/** In the buckets in which processes count. */
function timesOf(durationsMs: readonly number[]): Served['runs'] {
  const tally = new Tally(secondsBuckets);
  for (const ms of durationsMs) tally.add(ms / 1000);
  const { counts, sum } = tally.series({});
  return { boundsMs: secondsBuckets.map((seconds) => seconds * 1000), counts: counts!, sumMs: sum! * 1000 };
}

/** A look half a minute after the swap. */
function verdictOf(look: Omit<GuardLook, 'sinceSwapMs' | 'windows'>) {
  return guardVerdict({ sinceSwapMs: 30_000, windows: firstWindow(0), ...look });
}

/** What the guard says of each second of a minute in which so much was served; the last word is for the minute. */
function minuteOf(before: Served, second: (number: number) => Served) {
  let windows = firstWindow(0);
  let after = traffic(0, 0);
  for (let number = 1; number <= 60; number++) {
    after = servedTogether(after, second(number));
    const verdict = guardVerdict({ sinceSwapMs: number * 1000, before, after, windows, blamed });
    if (verdict.isRollback) return { atSeconds: number, verdict };
    windows = verdict.windows;
  }
  return undefined;
}

test('a version that fails one request in ten goes back', () => {
  const verdict = verdictOf({ before: traffic(1000, 1), after: traffic(100, 10), blamed });
  assert.equal(verdict.isRollback, true);
  assert.deepEqual(verdict.reasons, ['errors']);
  assert.equal(verdict.numbers.fault_share, 0.1);
  assert.equal(verdict.numbers.reference_fault_share, 0.001);
});

test('the share of errors counts from one in a hundred, from three times the old, and from 50 requests', () => {
  const failing = (after: [number, number], before: [number, number]) =>
    verdictOf({ before: traffic(...before), after: traffic(...after), blamed }).isRollback;
  assert.equal(failing([1000, 10], [1000, 0]), true);
  assert.equal(failing([1000, 9], [1000, 0]), false);
  assert.equal(failing([100, 30], [100, 10]), true);
  assert.equal(failing([100, 29], [100, 10]), false);
  assert.equal(failing([50, 50], [100, 0]), true);
  assert.equal(failing([49, 49], [100, 0]), false);
  assert.equal(failing([50, 50], [0, 0]), true);
});

test('a version that is ten times slower goes back after 20 seconds, however short its runs are', () => {
  for (const ms of [0.3, 0.99, 1.01, 2.4, 7, 30]) {
    const back = minuteOf(traffic(3000, 0, ms), () => traffic(10, 0, 9.9 * ms));
    assert.equal(back?.atSeconds, 20, `${ms} ms`);
    assert.deepEqual(back.verdict.reasons, ['p99']);
    const { reference_p99_ms: reference, p99_limit_ms: limit, p99_ms: p99, run_mean_ms: mean } = back.verdict.numbers;
    assert.ok(p99! > reference! && limit! >= 2 * ms && Math.abs(mean! - 9.9 * ms) < 1e-6);
  }
});

test('one that is ten times slower goes back at two requests a second, in large batches, and beside a busy machine', () => {
  const seldom = minuteOf(traffic(120, 0, 20), () => traffic(2, 0, 200));
  assert.equal(seldom?.atSeconds, 50);
  const before = timed(new Array<number>(3000).fill(6), new Array<number>(400).fill(5));
  const batched = minuteOf(before, () => timed(new Array<number>(100).fill(70), new Array<number>(3).fill(50)));
  assert.equal(batched?.atSeconds, 20);
  const random = dice(3);
  const late = (ms: number) => ms + (random() < 0.3 ? 40 * random() : 0);
  const crowded = minuteOf(traffic(3000, 0, 0.4), () =>
    timed(
      times(50, () => late(4)),
      times(50, () => late(3)),
    ),
  );
  assert.equal(crowded?.atSeconds, 20);
});

test('one that is slower for a while only, or twice as fast, stays', () => {
  const before = traffic(3000, 0, 1);
  assert.equal(
    minuteOf(before, (second) => traffic(50, 0, second <= 16 || second > 44 ? 20 : 1)),
    undefined,
  );
  assert.equal(
    minuteOf(before, () => traffic(50, 0, 0.5)),
    undefined,
  );
});

test('an equal version stays where its requests wait for a stalled machine', () => {
  // As measured beside busy loops: p99 of 40.9 ms instead of 3.2, while a run takes what it took.
  const random = dice(4);
  const before = timed(
    times(3000, () => 0.3 + 3 * random()),
    times(3000, () => 0.26 + 0.05 * random()),
  );
  const stalled = () =>
    timed(
      times(100, () => 0.3 + 45 * random()),
      times(100, () => 0.26 + (random() < 0.1 ? 40 * random() : 0)),
    );
  assert.equal(minuteOf(before, stalled), undefined);
});

test('an equal version with long runs stays where others take half of the cores', () => {
  // 27 ms alone; beside two busy loops on two cores a tenth was as short, the rest around 50.
  const random = dice(5);
  const before = times(1000, () => 26.7 + 5 * random());
  const crowded = () => times(20, () => (random() < 0.1 ? 26.9 : 44 + 12 * random()));
  const slower = () => times(20, () => 100 + 60 * random());
  const minute = (run: () => number[]) =>
    minuteOf(timed(before, before), () => {
      const runs = run();
      return timed(
        runs.map((ms) => ms + 60),
        runs,
      );
    });
  assert.equal(minute(crowded), undefined);
  assert.equal(minute(slower)?.atSeconds, 20);
});

function times(count: number, ms: () => number): number[] {
  return Array.from({ length: count }, ms);
}

test('an old version with too few requests has no p99 to be compared with', () => {
  assert.equal(
    minuteOf(traffic(49, 0, 1), () => traffic(50, 0, 90)),
    undefined,
  );
  assert.notEqual(
    minuteOf(traffic(50, 0, 1), () => traffic(50, 0, 90)),
    undefined,
  );
});

test('a blamed crash needs no requests', () => {
  const none = traffic(0, 0);
  assert.deepEqual(verdictOf({ before: none, after: none, blamed: 'crashed' }).reasons, ['crashed']);
});

test('an equal version with a long tail does not go back in 200 swaps', () => {
  const random = dice(5);
  const served = (n: number) => {
    const durations = times(n, () => Math.exp(1.2 * normal(random)));
    return timed(durations, durations);
  };
  for (let swap = 0; swap < 200; swap++) {
    const n = 5 + Math.floor(random() * 20);
    const back = minuteOf(served(60 * n), () => served(n));
    assert.equal(back, undefined, `swap ${swap}, ${n} requests a second`);
  }
});

function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

const [one, two] = [
  { model: 'digits', version: '1' },
  { model: 'digits', version: '2' },
];

function event(version: typeof one, code: OutcomeCode, durationMs: number, protocol: 'http' | 'grpc'): InferenceEvent {
  const common = { kind: 'inference', requestId: '', reason: undefined, rows: 1, timing: undefined } as const;
  return { ...common, version, model: version!.model, protocol, code, durationMs };
}

test('the counts of a version are read from the families of all processes, over protocols', () => {
  const processes = [createMetrics(() => 0), createMetrics(() => 0)];
  processes[0]!.observe(event(one, 'OK', 0.3, 'http'));
  processes[0]!.observe(event(two, 'INTERNAL', 30, 'http'));
  processes[1]!.observe(event(one, 'OK', 0.3, 'grpc'));
  processes[1]!.observe(event(one, 'INVALID_ARGUMENT', 0.3, 'grpc'));
  const snapshot = () =>
    processes
      .map((metrics) => metrics.snapshot({ versions: [], families: [] }).families)
      .reduce((all, families) => mergeFamilies(all, families));
  const earlier = servedBy(snapshot(), one!);
  assert.deepEqual([earlier.requests, earlier.faults], [3, 0]);
  assert.deepEqual(
    earlier.latency.counts.map((count, i) => [earlier.latency.boundsMs[i], count]).filter(([, count]) => count !== 0),
    [[0.5, 3]],
  );
  assert.equal(servedBy(snapshot(), two!).faults, 1);
  assert.equal(servedBy(snapshot(), { model: 'digits', version: '3' }).requests, 0);
  processes[1]!.observe(event(one, 'DEADLINE_EXCEEDED', 900, 'http'));
  const since = servedSince(servedBy(snapshot(), one!), earlier);
  assert.deepEqual([since.requests, since.faults, quantity(since.latency.counts)], [1, 1, 1]);
});

test('runs of the model by itself are read with their sum', () => {
  const metrics = createMetrics(() => 0);
  const batch = { kind: 'batch', version: one!, lane: 'thread', rows: 2, rowsMax: 8, requests: 2 } as const;
  for (const inferMs of [3, 4]) metrics.observe({ ...batch, inputMs: 0, inferMs, outputMs: 0, isFailed: false });
  const { runs } = servedBy(metrics.snapshot({ versions: [], families: [] }).families, one!);
  assert.deepEqual([quantity(runs.counts), Math.round(runs.sumMs)], [2, 7]);
});

function quantity(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

test('an equal version that fails one request in a hundred goes back by chance in at most 2 % of swaps of any size', () => {
  const random = dice(6);
  for (const requests of [60, 300, 3000]) {
    const one = () => {
      let faults = 0;
      for (let i = 0; i < requests; i++) if (random() < 0.01) faults++;
      return traffic(requests, faults);
    };
    const back = Array.from({ length: 500 }, () => verdictOf({ before: one(), after: one(), blamed }).isRollback);
    const share = back.filter(Boolean).length / back.length;
    assert.ok(share <= 0.02, `${requests} requests: ${share}`);
  }
});

test('one fault more than none is chance among few requests', () => {
  assert.equal(verdictOf({ before: traffic(60, 0), after: traffic(60, 1), blamed }).isRollback, false);
  assert.equal(verdictOf({ before: traffic(60, 0), after: traffic(60, 7), blamed }).isRollback, true);
});

test('after its minute the guard no longer takes a version back', () => {
  const failing = { before: traffic(100, 0), after: traffic(100, 100), blamed };
  const windows = firstWindow(0);
  assert.equal(guardVerdict({ sinceSwapMs: guardMs, windows, ...failing }).isRollback, true);
  assert.equal(guardVerdict({ sinceSwapMs: guardMs + 1, windows, ...failing }).isRollback, false);
});
