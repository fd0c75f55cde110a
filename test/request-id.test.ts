import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRequestIds } from '../src/core/request-id.js';

const uuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test('every id is a UUID of version 7 that begins with the time', () => {
  const newId = createRequestIds({ epochMs: () => 0x0192f0aabbcc, random: () => 0.5 });
  for (let i = 0; i < 1000; i++) {
    const id = newId();
    assert.match(id, uuid7);
    assert.equal(id.slice(0, 13), '0192f0aa-bbcc');
  }
});

test('no id occurs twice, also where the counter begins anew', () => {
  const newId = createRequestIds({ epochMs: () => 1, random: () => 0.999999999 });
  const ids = new Set(Array.from({ length: 100_000 }, newId));
  assert.equal(ids.size, 100_000);
});

test('two processes that start in the same millisecond give different ids', () => {
  const draws = [0.1, 0.2, 0.3];
  const first = createRequestIds({ epochMs: () => 1, random: () => draws[0]! });
  const second = createRequestIds({ epochMs: () => 1, random: () => draws[1]! });
  assert.notEqual(first(), second());
});
