import assert from 'node:assert/strict';
import { test } from 'node:test';
import { textOf } from '../src/admin/metrics-text.js';
import type { InferenceEvent } from '../src/core/events.js';
import { FamilyPacker, FamilyUnpacker } from '../src/core/packed-families.js';
import { addSeries, type Exemplar, type Family, secondsBuckets } from '../src/core/series.js';
import { Trace } from '../src/core/trace.js';
import { createMetrics } from '../src/observe/metrics.js';
import { eventWith } from './event-fixture.js';

const id = { model: 'm', version: '1' };

function tracedEvent(traceId: string, durationMs: number, isSampled = true): InferenceEvent {
  const trace = new Trace({ traceId, parentId: '', state: '', isSampled, receivedAt: 0 });
  return eventWith({ version: id, durationMs, timing: undefined, trace });
}

function durationsAfter(events: readonly InferenceEvent[]): Family {
  let epochMs = 1_700_000_000_000;
  const metrics = createMetrics(() => ++epochMs);
  for (const event of events) metrics.observe(event);
  const { families } = metrics.snapshot({ versions: [{ id, depth: 0, inFlight: 0 }], families: [] });
  return families.find(({ name }) => name === 'sluice_request_duration_seconds')!;
}

test('each bucket keeps the last sampled request that it counted, the one above all bounds included', () => {
  const { series } = durationsAfter([
    tracedEvent('a', 3),
    tracedEvent('b', 4),
    tracedEvent('c', 4, false),
    tracedEvent('d', 60_000),
    tracedEvent('e', 2.5),
  ]);
  const { exemplars, counts } = series[0]!;
  const at = (bound: number) => exemplars![secondsBuckets.indexOf(bound)];
  assert.deepEqual([at(0.005)!.traceId, at(0.005)!.value], ['b', 0.004]);
  assert.equal(at(0.0025)!.traceId, 'e');
  assert.equal(exemplars!.at(-1)!.traceId, 'd');
  assert.equal(exemplars!.length, counts!.length);
  for (const [bucket, exemplar] of exemplars!.entries()) assert.ok(exemplar === undefined || counts![bucket]! > 0);
});

test('as long as nobody is sampled a series has no room for examples', () => {
  const [series] = durationsAfter([tracedEvent('a', 3, false)]).series;
  assert.equal(series!.exemplars, undefined);
});

test('examples travel with the counts, and only where there are some', () => {
  const families = [durationsAfter([tracedEvent('a', 3)]), durationsAfter([tracedEvent('b', 3, false)])];
  const packed = new FamilyPacker().pack(families);
  assert.equal('exemplars' in packed[1]!, false);
  assert.deepEqual(new FamilyUnpacker().unpack(structuredClone(packed)), families);
});

const of = (traceId: string, epochMs: number): Exemplar => ({ traceId, value: 0.5, epochMs });

test('of two processes the later example of a bucket stays', () => {
  const one = { labels: {}, value: 1, counts: [1, 1, 0], sum: 1, exemplars: [of('a', 5), of('b', 5), undefined] };
  const other = { labels: {}, value: 1, counts: [1, 0, 1], sum: 1, exemplars: [of('c', 6), undefined, of('d', 1)] };
  const ids = (exemplars: readonly (Exemplar | undefined)[] | undefined) => exemplars?.map((given) => given?.traceId);
  assert.deepEqual(ids(addSeries(one, other, 'sum').exemplars), ['c', 'b', 'd']);
  assert.deepEqual(ids(addSeries(other, one, 'sum').exemplars), ['c', 'b', 'd']);
  const { exemplars: _, ...plain } = one;
  assert.deepEqual(ids(addSeries(plain, other, 'sum').exemplars), ['c', undefined, 'd']);
  assert.equal(addSeries(plain, plain, 'sum').exemplars, undefined);
});

test('the text of OpenMetrics carries examples, the other text never', () => {
  const exemplars = [undefined, { traceId: 'abc', value: 0.7, epochMs: 1_700_000_000_250 }, of('over', 1000)];
  const family = {
    name: 'h',
    help: 'H.',
    type: 'histogram',
    buckets: [0.5, 1],
    series: [{ labels: {}, text: 'model="m"', value: 3, counts: [1, 1, 1], sum: 9, exemplars }],
  } as const;
  assert.deepEqual(textOf([family], 'openmetrics').split('\n').slice(2, 5), [
    'h_bucket{model="m",le="0.5"} 1',
    'h_bucket{model="m",le="1.0"} 2 # {trace_id="abc"} 0.7 1700000000.25',
    'h_bucket{model="m",le="+Inf"} 3 # {trace_id="over"} 0.5 1',
  ]);
  assert.doesNotMatch(textOf([family], 'prometheus'), /abc|over|# \{/);
});
