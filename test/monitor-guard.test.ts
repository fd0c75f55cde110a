/**
 * The guard after a swap.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InferenceEvent } from '../src/core/events.js';
import type { OutcomeCode } from '../src/core/inference.js';
import { mergeFamilies } from '../src/core/series.js';
import { type GuardLook, guardMs, guardVerdict, trafficSince, versionTraffic } from '../src/monitor/guard.js';
import { createMetrics } from '../src/observe/metrics.js';
import { dice, timesOf, traffic } from './monitor-fixture.js';

const blamed = null;

/** A look half a minute after the swap. */
function verdictOf(look: Omit<GuardLook, 'sinceSwapMs'>) {
  return guardVerdict({ sinceSwapMs: 30_000, ...look });
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

test('a version whose p99 is clearly more than twice the old goes back, one that is twice as fast stays', () => {
  const of = (ms: number) => verdictOf({ before: traffic(500, 0, 1), after: traffic(500, 0, ms), blamed });
  assert.deepEqual(of(5).reasons, ['p99']);
  assert.equal(of(5).numbers.p99_limit_ms, 2);
  assert.equal(of(1.9).isRollback, false);
  assert.equal(of(0.5).isRollback, false);
});

test('an old version with too few requests has no p99 to be compared with', () => {
  const verdict = verdictOf({ before: traffic(49, 0, 1), after: traffic(500, 0, 90), blamed });
  assert.equal(verdict.isRollback, false);
  assert.equal(verdict.numbers.p99_limit_ms, null);
});

test('a blamed crash needs no requests', () => {
  const none = traffic(0, 0);
  assert.deepEqual(verdictOf({ before: none, after: none, blamed: 'crashed' }).reasons, ['crashed']);
});

test('an equal version with a long tail does not go back in 500 swaps', () => {
  const random = dice(5);
  const durations = (n: number) => timesOf(Array.from({ length: n }, () => Math.exp(1.2 * normal(random))));
  for (let swap = 0; swap < 500; swap++) {
    const n = 50 + Math.floor(random() * 1000);
    const before = { requests: n, faults: 0, latency: durations(n) };
    const after = { requests: n, faults: 0, latency: durations(n) };
    assert.equal(verdictOf({ before, after, blamed }).isRollback, false, `swap ${swap}, ${n} requests`);
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
  const earlier = versionTraffic(snapshot(), one!);
  assert.deepEqual([earlier.requests, earlier.faults], [3, 0]);
  assert.deepEqual(
    earlier.latency.counts.map((count, i) => [earlier.latency.boundsMs[i], count]).filter(([, count]) => count !== 0),
    [[0.5, 3]],
  );
  assert.equal(versionTraffic(snapshot(), two!).faults, 1);
  assert.equal(versionTraffic(snapshot(), { model: 'digits', version: '3' }).requests, 0);
  processes[1]!.observe(event(one, 'DEADLINE_EXCEEDED', 900, 'http'));
  const since = trafficSince(versionTraffic(snapshot(), one!), earlier);
  assert.deepEqual([since.requests, since.faults, quantity(since.latency.counts)], [1, 1, 1]);
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
  assert.equal(guardVerdict({ sinceSwapMs: guardMs, ...failing }).isRollback, true);
  assert.equal(guardVerdict({ sinceSwapMs: guardMs + 1, ...failing }).isRollback, false);
});
