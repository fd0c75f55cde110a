/** A number of samples shared out among processes: together they take no more, and whoever has callers gets what others leave. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TraceRoom } from '../src/admin/settings.js';
import { TraceBudget } from '../src/admin/trace-budget.js';

test('parts are equal, and odd ones are not lost', () => {
  const { caps, left } = new TraceBudget(5, [10, 0, 0]);
  assert.deepEqual([caps.reduce((sum, cap) => sum + cap, 0), left], [15, 5]);
  assert.deepEqual(caps, [12, 2, 1]);
  assert.deepEqual(new TraceBudget(0, [3, 4]).caps, [3, 4]);
});

test('a process that has taken its part is given what others have left, until nothing is', () => {
  const budget = new TraceBudget(4, [0, 0]);
  let taken = 0;
  for (let beat = 0; beat < 10 && budget.left > 0; beat++) {
    taken = budget.caps[1]!;
    budget.told(1, taken);
  }
  assert.deepEqual([taken, budget.left], [4, 0]);
  assert.equal(budget.told(0, 0), false);
  assert.deepEqual(budget.caps[0], 0);
});

test('what a process has not yet told counts against what it is given', () => {
  const budget = new TraceBudget(10, [0, 0]);
  budget.told(0, 3);
  assert.deepEqual([budget.caps, budget.left], [[5, 5], 7]);
  budget.told(0, 5);
  assert.deepEqual([budget.caps[0]! - 5 + budget.caps[1]!, budget.left], [5, 5]);
});

test('a process that ends leaves its part to its successor, which counts from nothing', () => {
  const budget = new TraceBudget(6, [0, 0]);
  budget.told(0, 2);
  budget.ended(0);
  assert.deepEqual([budget.left, budget.caps], [4, [2, 2]]);
  budget.told(0, 2);
  assert.equal(budget.left, 2);
});

test('trace_count shows what is left, of all models and of those with settings of their own', () => {
  const told: string[] = [];
  const room = new TraceRoom((model) => told.push(model), { isOn: true, share: 1, processes: 2 });
  assert.equal(room.update('', { trace_count: '10' }).trace_count, '10');
  room.told(0, { '': 4 });
  assert.equal(room.settings('any').trace_count, '6');
  assert.equal(room.update('m', { trace_rate: '5' }).trace_count, '6', 'as it is now');
  room.told(1, { '': 1, m: 2 });
  assert.deepEqual([room.settings('').trace_count, room.settings('m').trace_count], ['5', '4']);
  const { all, ofModels } = room.plan();
  assert.deepEqual([all.caps!.length, ofModels.get('m')!.caps!.length], [2, 2]);
  assert.equal(room.update('m', { trace_count: '-1' }).trace_count, '-1');
  assert.equal(room.plan().ofModels.get('m')!.caps, undefined);
  told.length = 0;
  room.told(0, { '': 5 });
  assert.deepEqual(told, [''], 'its part was used up, so parts are given anew');
  assert.equal(room.update('', { trace_count: null }).trace_count, '-1');
});
