import assert from 'node:assert/strict';
import { test } from 'node:test';
import { driftQuestion } from '../src/admin/drift-operations.js';

const asked = (query: string) => driftQuestion(new URLSearchParams(query));

test('without a query the last judged window of all versions is meant', () => {
  assert.deepEqual(asked(''), { version: undefined, stretch: 'judged' });
});

test('a window is judged, open, or as many minutes, hours or days as are kept', () => {
  assert.deepEqual(asked('version=7&window=open'), { version: '7', stretch: 'open' });
  assert.deepEqual(asked('window=60m').stretch, { unit: 'minute', count: 60 });
  assert.deepEqual(asked('window=24h').stretch, { unit: 'hour', count: 24 });
  assert.deepEqual(asked('window=30d').stretch, { unit: 'day', count: 30 });
  for (const window of ['61m', '25h', '31d', '0h', '1y', '', 'h', '100m'])
    assert.throws(() => asked(`window=${window}`), /expected window to be judged, open, 1m to 60m/, window);
});

test('a version is a number', () => {
  assert.throws(() => asked('version=latest'), /expected version to be a version number, got 'latest'/);
});
