/** The console's arithmetic: two looks at counters become rates, quantiles and shares. The browser runs the same file. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Activity, activityOf } from '../src/admin/activity.js';
import { type Family, secondsBuckets } from '../src/core/series.js';

interface Step {
  readonly requestsPerSecond: number;
  readonly faultsPerSecond: number;
  readonly p50: number | undefined;
  readonly p99: number | undefined;
  readonly batchFill: number | undefined;
  readonly queue: number;
}
const source = new URL('../../src/console/activity.js', import.meta.url);
const { between, quantile, splitBetween, byVersion } = (await import(source.href)) as {
  between(before: Activity, after: Activity, model: string): Step | undefined;
  quantile(bounds: readonly number[], counts: readonly number[], q: number): number | undefined;
  splitBetween(before: Activity, after: Activity): Map<string, number>;
  byVersion(before: Activity, after: Activity): Map<string, { requestsPerSecond: number; p99: number | undefined }>;
};

const counts = (bucket: number, count: number) => secondsBuckets.concat(0).map((_, at) => (at === bucket ? count : 0));

function familiesOf(requests: number, faults: number): Family[] {
  const labels = { model: 'm', version: '1' };
  const counter = (name: string, series: Family['series']): Family => ({ name, help: '', type: 'counter', series });
  return [
    counter('sluice_requests_total', [
      { labels: { ...labels, code: 'OK' }, value: requests - faults },
      { labels: { ...labels, code: 'INTERNAL' }, value: faults },
      { labels: { model: 'other', version: '1', code: 'INVALID_ARGUMENT' }, value: requests },
    ]),
    counter('sluice_request_duration_seconds', [{ labels, value: requests, counts: counts(3, requests), sum: 1 }]),
    counter('sluice_batch_fill_ratio', [{ labels, value: requests / 2, sum: requests / 4 }]),
    counter('sluice_queue_depth', [{ labels, value: 3 }]),
    counter('sluice_assignments_total', [
      { labels: { route: 'm', variant: 'a', reason: 'weight' }, value: requests },
      { labels: { route: 'm', variant: 'a', reason: 'no_key' }, value: requests },
      { labels: { route: 'm', variant: 'b', reason: 'weight' }, value: 2 * requests },
    ]),
  ];
}

test('what happened between two looks is told by the second', () => {
  const [before, after] = [activityOf(familiesOf(100, 0), 1000), activityOf(familiesOf(140, 4), 3000)];
  const step = between(before, after, 'm')!;
  assert.equal(step.requestsPerSecond, 20);
  assert.equal(step.faultsPerSecond, 2);
  assert.equal(step.batchFill, 0.5);
  assert.equal(step.queue, 3);
  assert.ok(step.p50! > secondsBuckets[2]! && step.p50! < secondsBuckets[3]!);
  assert.equal(between(before, after, '')!.requestsPerSecond, 40, 'of all models');
  assert.equal(between(before, after, '')!.faultsPerSecond, 2, 'what a caller did wrong is no fault');
  assert.equal(byVersion(before, after).get('m@1')!.requestsPerSecond, 20);
});

test('a control process that started again makes no negative rate', () => {
  const step = between(activityOf(familiesOf(500, 5), 1000), activityOf(familiesOf(10, 0), 3000), 'm')!;
  assert.deepEqual([step.requestsPerSecond, step.faultsPerSecond, step.p99], [0, 0, undefined]);
  assert.equal(between(activityOf([], 5000), activityOf([], 5000), ''), undefined, 'no time has passed');
});

test('a version that is new counts from zero', () => {
  assert.equal(between(activityOf([], 0), activityOf(familiesOf(8, 0), 2000), 'm')!.requestsPerSecond, 4);
});

test('a quantile lies inside its bucket, and beyond the last one at its bound', () => {
  assert.equal(quantile([1, 2, 4], [0, 10, 0, 0], 0.5), 1.5);
  assert.equal(quantile([1, 2, 4], [10, 0, 10, 0], 0.75), 3);
  assert.equal(quantile([1, 2, 4], [0, 0, 0, 7], 0.99), 4);
  assert.equal(quantile([1, 2, 4], [0, 0, 0, 0], 0.5), undefined);
});

test('the live split is over all rules that decided', () => {
  const split = splitBetween(activityOf(familiesOf(10, 0), 0), activityOf(familiesOf(20, 0), 1000));
  assert.deepEqual(
    [...split],
    [
      ['m/a', 0.5],
      ['m/b', 0.5],
    ],
  );
});
