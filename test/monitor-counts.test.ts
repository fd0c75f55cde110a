/**
 * Counts of arms and keys on their way to the formulas.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addArmCounts,
  armCountsSince,
  armLatencyBoundsMs,
  isServerFault,
  type KeyDeltas,
  latencyBucketOf,
  noArmCounts,
} from '../src/core/arm-counts.js';
import { ArmLedger } from '../src/monitor/arm.js';
import { KeyTable } from '../src/monitor/key-table.js';
import { countAbove, isP99Above, quantileBoundMs, quantileMs } from '../src/monitor/latency.js';
import { PhaseCounts } from '../src/monitor/phase-counts.js';
import { dice, keyMoments, timesOf } from './monitor-fixture.js';

const counts = (requests: number, faults: number) => ({ requests, faults, latency: [requests], predictions: [] });

function deltas(variant: string, keys: readonly number[], facts: Partial<KeyDeltas> = {}): KeyDeltas {
  const zeros = () => new Float64Array(keys.length);
  const requests = zeros().fill(1);
  return {
    experiment: 'spring',
    phase: 1,
    variant,
    keys: Float64Array.from(keys),
    requests,
    faults: zeros(),
    timed: facts.requests ?? requests,
    slow: zeros(),
    ...facts,
  };
}

test('a duration falls into the bucket whose bound it does not exceed', () => {
  for (const ms of [0, 0.01, 0.0625, 0.07, 0.5, 1, 1.01, 2, 99, 16384, 16385, 1e9, Infinity]) {
    const bucket = latencyBucketOf(ms);
    assert.ok(ms <= (armLatencyBoundsMs[bucket] ?? Infinity), `${ms}`);
    assert.ok(bucket === 0 || ms > armLatencyBoundsMs[bucket - 1]!, `${ms}`);
  }
  assert.equal(latencyBucketOf(NaN), 0);
});

test('a full queue counts against the version, a wrong input and a gone caller do not', () => {
  assert.equal(isServerFault('RESOURCE_EXHAUSTED'), true);
  assert.equal(isServerFault('INTERNAL'), true);
  assert.equal(isServerFault('INVALID_ARGUMENT'), false);
  assert.equal(isServerFault('CANCELLED'), false);
  assert.equal(isServerFault('OK'), false);
});

test('counts of arms add up, and what came since is their difference', () => {
  const both = addArmCounts(counts(3, 1), { requests: 2, faults: 2, latency: [1, 1], predictions: [4] });
  assert.deepEqual(both, { requests: 5, faults: 3, latency: [4, 1], predictions: [4] });
  assert.deepEqual(armCountsSince(both, counts(3, 1)), { requests: 2, faults: 2, latency: [1, 1], predictions: [4] });
  assert.deepEqual(addArmCounts(noArmCounts, counts(3, 1)), counts(3, 1));
});

test('what an ended process counted stays, and what a living one reports replaces its report before', () => {
  const ledger = new ArmLedger();
  const arm = { experiment: 'spring', phase: 1, variant: 'new' };
  ledger.put('p1', [{ ...arm, counts: counts(10, 1) }]);
  ledger.put('p2', [{ ...arm, counts: counts(5, 0) }]);
  ledger.put('p1', [{ ...arm, counts: counts(12, 2) }]);
  assert.equal(ledger.countsOf(arm).requests, 17);
  ledger.ended('p1');
  ledger.ended('p1');
  ledger.put('p3', [{ ...arm, counts: counts(1, 1) }]);
  assert.deepEqual(ledger.countsOf(arm), counts(18, 3));
  assert.deepEqual(ledger.countsOf({ ...arm, phase: 2 }), noArmCounts);
  ledger.forgetBefore('spring', 2);
  assert.equal(ledger.countsOf(arm).requests, 6);
});

test('one key that meets two processes is one unit', () => {
  const table = new KeyTable({ variants: ['old', 'new'], labelMetrics: [], keysMax: 100 });
  table.addDeltas(deltas('new', [7, 8], { requests: Float64Array.of(2, 1), faults: Float64Array.of(1, 0) }));
  table.addDeltas(deltas('new', [7], { requests: Float64Array.of(3), faults: Float64Array.of(2) }));
  assert.equal(table.keysOf('new'), 2);
  assert.equal(table.keysOf('old'), 0);
  assert.deepEqual(table.momentsOf('new', 'error_rate'), keyMoments([3, 0], [5, 1]));
  assert.equal(table.momentsOf('old', 'error_rate').n, 0);
});

test('the moments of many keys are those of all their deltas together, in any order', () => {
  const random = dice(9);
  const table = new KeyTable({ variants: ['old', 'new'], labelMetrics: [], keysMax: 10_000 });
  const [sums, requests] = [new Float64Array(3000), new Float64Array(3000)];
  for (let i = 0; i < 9000; i++) {
    const key = Math.floor(random() * 3000);
    const faults = random() < 0.1 ? 1 : 0;
    sums[key]! += faults;
    requests[key]!++;
    table.addDeltas(deltas('old', [key], { faults: Float64Array.of(faults) }));
  }
  const [got, expected] = [table.momentsOf('old', 'error_rate'), keyMoments([...sums], [...requests])];
  assert.equal(got.n, expected.n);
  assert.equal(got.observations, 9000);
  assert.ok(Math.abs(got.variance - expected.variance) < 1e-12);
});

test('the table takes the first keys and counts the others', () => {
  const table = new KeyTable({ variants: ['old', 'new'], labelMetrics: [], keysMax: 3 });
  table.addDeltas(deltas('old', [1, 2, 3, 4, 5]));
  table.addDeltas(deltas('old', [1, 4]));
  assert.equal(table.keysOf('old'), 3);
  assert.equal(table.keysOverCap, 3);
  assert.equal(table.momentsOf('old', 'error_rate').observations, 4);
});

test('a key that comes with another variant of the same phase is counted apart', () => {
  const table = new KeyTable({ variants: ['old', 'new'], labelMetrics: [], keysMax: 10 });
  table.addDeltas(deltas('old', [1]));
  table.addDeltas(deltas('new', [1]));
  assert.equal(table.keysMoved, 1);
  assert.equal(table.keysOf('new'), 0);
});

test('a label that is replaced takes its old value back', () => {
  const table = new KeyTable({ variants: ['old', 'new'], labelMetrics: ['accuracy'], keysMax: 10 });
  table.addLabel('new', 1, { metric: 'accuracy', count: 1, sum: 1 });
  table.addLabel('new', 2, { metric: 'accuracy', count: 1, sum: 1 });
  table.addLabel('new', 1, { metric: 'accuracy', count: -1, sum: -1 });
  table.addLabel('new', 1, { metric: 'accuracy', count: 1, sum: 0 });
  assert.deepEqual(table.momentsOf('new', 'accuracy'), keyMoments([0, 1], [1, 1]));
  assert.throws(() => table.addLabel('new', 1, { metric: 'revenue', count: 1, sum: 3 }), /revenue/);
});

test('a phase takes only its own counts, and each look begins the next interval', () => {
  const ledger = new ArmLedger();
  const phase = new PhaseCounts({
    ledger,
    experiment: 'spring',
    phase: 2,
    variants: ['old', 'new'],
    labelMetrics: ['accuracy'],
  });
  phase.addDeltas(deltas('new', [1, 2], { phase: 2 }));
  phase.addDeltas(deltas('new', [3], { phase: 1 }));
  phase.addDeltas(deltas('new', [3], { phase: 2, experiment: 'autumn' }));
  ledger.put('p1', [{ experiment: 'spring', phase: 2, variant: 'new', counts: counts(4, 1) }]);
  const [old, first] = phase.look();
  assert.deepEqual([old!.keys, old!.requests, first!.keys, first!.interval.requests], [0, 0, 2, 4]);
  ledger.put('p1', [{ experiment: 'spring', phase: 2, variant: 'new', counts: counts(9, 1) }]);
  const second = phase.look()[1]!;
  assert.deepEqual([second.interval.requests, second.interval.faults, second.requests], [5, 0, 9]);
  assert.deepEqual(Object.keys(second.metrics), ['error_rate', 'slow_share', 'accuracy']);
});

test('quantiles of a histogram: a bound for decisions, a line within the bucket for display', () => {
  const latency = { boundsMs: [1, 2, 4], counts: [50, 40, 10, 0] };
  assert.equal(quantileBoundMs(latency, 0.5), 1);
  assert.equal(quantileBoundMs(latency, 0.95), 4);
  assert.equal(quantileMs(latency, 0.95), 3);
  assert.equal(quantileBoundMs({ boundsMs: [1], counts: [0, 3] }, 0.5), Infinity);
  assert.equal(quantileMs({ boundsMs: [1], counts: [0, 3] }, 0.5), null);
  assert.equal(quantileBoundMs({ boundsMs: [1], counts: [0, 0] }, 0.5), undefined);
});

test('only buckets that lie wholly above a limit are above it', () => {
  const latency = { boundsMs: [1, 2, 4], counts: [50, 40, 10, 5] };
  assert.equal(countAbove(latency, 2), 15);
  assert.equal(countAbove(latency, 2.1), 5);
  assert.equal(countAbove(latency, 5), 0);
});

test('one slow request of fifty says nothing of the p99, four do', () => {
  const slow = (count: number) =>
    timesOf([...new Array<number>(50 - count).fill(1), ...new Array<number>(count).fill(50)]);
  assert.equal(isP99Above(slow(1), 10), false);
  assert.equal(isP99Above(slow(4), 10), true);
  assert.equal(isP99Above(timesOf([]), 10), false);
});
