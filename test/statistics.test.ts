import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exactJson } from '../src/admin/json.js';
import { StatisticsRoom } from '../src/admin/statistics.js';
import { emptyStatistics, mergeStatistics, type VersionStatistics } from '../src/core/statistics.js';

const id = { model: 'm', version: '1' };

function counted(count: number, ns: bigint, more: Partial<VersionStatistics> = {}): VersionStatistics {
  const sum = { count, ns };
  return {
    ...emptyStatistics('m', '1'),
    lastInference: 1000 + count,
    inferenceCount: 4 * count,
    executionCount: count,
    success: sum,
    queue: sum,
    batches: [{ rows: 4, computeInput: sum, computeInfer: sum, computeOutput: sum }],
    ...more,
  };
}

test('the parts of all processes add up, and the last inference is the latest', () => {
  const room = new StatisticsRoom();
  room.put('1.1', [counted(2, 10n)]);
  room.put('2.1', [counted(3, 5n)]);
  const [one] = room.of([id]);
  assert.equal(one!.inferenceCount, 20);
  assert.deepEqual(one!.success, { count: 5, ns: 15n });
  assert.equal(one!.lastInference, 1003);
  assert.deepEqual(
    one!.batches.map(({ rows, computeInfer }) => [rows, computeInfer.count]),
    [[4, 5]],
  );
});

test('batch sizes of several processes are one list in ascending order', () => {
  const batch = (rows: number) => ({
    rows,
    computeInput: { count: 1, ns: 1n },
    computeInfer: { count: 1, ns: 1n },
    computeOutput: { count: 1, ns: 1n },
  });
  const merged = mergeStatistics(
    counted(1, 1n, { batches: [batch(8), batch(16)] }),
    counted(1, 1n, { batches: [batch(1), batch(16)] }),
  );
  assert.deepEqual(
    merged.batches.map(({ rows, computeInfer }) => [rows, computeInfer.count]),
    [
      [1, 1],
      [8, 1],
      [16, 2],
    ],
  );
});

test('counts outlive their process, the memory it held does not', () => {
  const room = new StatisticsRoom();
  room.put('1.1', [counted(2, 10n, { memoryBytes: 1000 })]);
  assert.equal(room.of([id])[0]!.memoryBytes, 1000);
  room.end('1.1');
  room.put('1.1', [counted(2, 10n, { memoryBytes: 1000 })]);
  room.put('1.2', [counted(1, 1n, { memoryBytes: 500 })]);
  const [one] = room.of([id]);
  assert.equal(one!.inferenceCount, 12);
  assert.equal(one!.memoryBytes, 500);
});

test('a version that was never asked has zeros, and the order is the one asked for', () => {
  const room = new StatisticsRoom();
  room.put('1.1', [counted(1, 1n)]);
  const found = room.of([{ model: 'other', version: '3' }, id]);
  assert.deepEqual(
    found.map(({ model, inferenceCount }) => [model, inferenceCount]),
    [
      ['other', 0],
      ['m', 4],
    ],
  );
});

test('the answer has the members of the protocol and integers only, exact beyond 2^53', () => {
  const room = new StatisticsRoom();
  room.put('1.1', [counted(1, 2n ** 53n + 1n, { lastInference: 1_763_000_000_000.75 })]);
  room.put('2.1', [counted(1, 2n ** 53n)]);
  const text = exactJson(room.answer([id]));
  assert.match(text, /"success":\{"count":2,"ns":18014398509481985\}/);
  assert.doesNotMatch(text, /[0-9][.eE][0-9]/);
  const [one] = (JSON.parse(text) as { model_stats: Record<string, unknown>[] }).model_stats;
  assert.deepEqual(Object.keys(one!), [
    'name',
    'version',
    'last_inference',
    'inference_count',
    'execution_count',
    'inference_stats',
    'response_stats',
    'batch_stats',
    'memory_usage',
  ]);
  assert.deepEqual(Object.keys(one!.inference_stats as object), [
    'success',
    'fail',
    'queue',
    'compute_input',
    'compute_infer',
    'compute_output',
    'cache_hit',
    'cache_miss',
  ]);
  assert.deepEqual(one!.response_stats, {});
  assert.equal(one!.last_inference, 1_763_000_000_000);
});

test('exact JSON is JSON for everything plain', () => {
  const value = { a: [1, null, 'x"\n', true, { b: -0.5 }], __proto__x: 1, c: undefined, d: [undefined] };
  assert.equal(exactJson(value), JSON.stringify(value));
  assert.equal(exactJson([2n ** 64n, -1n]), '[18446744073709551616,-1]');
  assert.equal(exactJson(Number.NaN), 'null');
});
