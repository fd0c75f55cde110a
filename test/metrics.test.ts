import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BatchEvent, InferenceEvent } from '../src/core/events.js';
import type { Family } from '../src/core/series.js';
import { createMetrics, type Gauges } from '../src/observe/metrics.js';

const id = { model: 'm', version: '1' };

function inference(change: Partial<InferenceEvent> = {}): InferenceEvent {
  const timing = { queueMs: 1, inputMs: 1, inferMs: 1, outputMs: 1, batchRows: 1 };
  return {
    kind: 'inference',
    version: id,
    model: 'm',
    protocol: 'http',
    requestId: 'r',
    code: 'OK',
    reason: undefined,
    rows: 1,
    durationMs: 3,
    timing,
    ...change,
  };
}

const batch: BatchEvent = {
  kind: 'batch',
  version: id,
  lane: 'inline',
  rows: 1,
  rowsMax: 4,
  requests: 1,
  inputMs: 1,
  inferMs: 1,
  outputMs: 1,
  isFailed: false,
};

const nothingOpen: Gauges = { versions: [], families: [] };
const open: Gauges = { versions: [{ id, depth: 0, inFlight: 0 }], families: [] };

function seriesOf(families: readonly Family[], name: string) {
  return families.find((family) => family.name === name)?.series ?? [];
}

test('requests and their times are told by protocol and variant, codes by themselves', () => {
  const metrics = createMetrics(() => 0);
  const assignment = {
    experiment: 'e',
    phase: 1,
    variant: 'b',
    assigned: 'b',
    reason: 'weight',
    isSticky: true,
    keyHash: 1,
  } as const;
  metrics.observe(inference());
  metrics.observe(inference({ assignment }));
  metrics.observe(inference({ assignment, code: 'INTERNAL', timing: undefined }));
  metrics.observe(inference({ protocol: 'grpc' }));
  const { families } = metrics.snapshot(open);
  const shown = (name: string) =>
    seriesOf(families, name).map(({ labels, value }) => [labels.variant, labels.protocol, labels.code ?? '', value]);
  assert.deepEqual(shown('sluice_requests_total'), [
    ['', 'http', 'OK', 1],
    ['b', 'http', 'OK', 1],
    ['b', 'http', 'INTERNAL', 1],
    ['', 'grpc', 'OK', 1],
  ]);
  assert.deepEqual(shown('sluice_request_duration_seconds'), [
    ['', 'http', '', 1],
    ['b', 'http', '', 2],
    ['', 'grpc', '', 1],
  ]);
});

test('all series of a version share one object of labels, which travels once', () => {
  const metrics = createMetrics(() => 0);
  metrics.observe(inference());
  metrics.observe(batch);
  const { families } = metrics.snapshot(open);
  const [queue] = seriesOf(families, 'sluice_queue_duration_seconds');
  const [rows] = seriesOf(families, 'sluice_batch_size');
  assert.equal(queue!.labels, rows!.labels);
});

test('a version is told for ten minutes after it was closed, and then no more', () => {
  let at = 0;
  const metrics = createMetrics(() => at);
  metrics.observe(inference());
  const told = (gauges: Gauges) => metrics.snapshot(gauges).statistics.length;
  assert.equal(told(open), 1);
  assert.equal(told(nothingOpen), 1);
  at = 599_999;
  assert.equal(told(nothingOpen), 1);
  at = 600_000;
  assert.equal(told(nothingOpen), 0);
  metrics.observe(inference());
  assert.equal(metrics.snapshot(open).statistics[0]!.inferenceCount, 1);
});

test('a version that is opened again in time goes on counting', () => {
  let at = 0;
  const metrics = createMetrics(() => at);
  metrics.observe(inference());
  metrics.snapshot(nothingOpen);
  at = 400_000;
  metrics.snapshot(open);
  at = 800_000;
  metrics.snapshot(nothingOpen);
  metrics.observe(inference());
  assert.equal(metrics.snapshot(nothingOpen).statistics[0]!.inferenceCount, 2);
});

test('threads that run models are told by state, over all versions', () => {
  const metrics = createMetrics(() => 0);
  const version = { id, depth: 0, inFlight: 0, threads: 3, busy: 1 };
  const { families } = metrics.snapshot({ versions: [version, version], startingThreads: 2, families: [] });
  assert.deepEqual(
    seriesOf(families, 'sluice_workers').map(({ labels, value }) => [labels.state, value]),
    [
      ['busy', 2],
      ['idle', 4],
      ['starting', 2],
      ['dead', 0],
    ],
  );
});
