/** Whom to blame for a crash, and when it was once too often. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlameBook, isNativeCrash } from '../src/supervisor/blame.js';

const a = { model: 'a', version: '1' };
const b = { model: 'b', version: '1' };
const c = { model: 'c', version: '1' };

function bookOf(publishedAt: Readonly<Record<string, number>> = {}) {
  const clock = { now: 0 };
  const book = new BlameBook({
    windowMs: 1000,
    blamesMax: 2,
    now: () => clock.now,
    publishedAt: ({ model }) => publishedAt[model] ?? 0,
  });
  return { book, clock };
}

test('the only suspect is to blame, and the second time is too often', () => {
  const { book } = bookOf();
  assert.deepEqual(book.crashed([a]), { id: a, reason: 'crashed', times: 1, isTooOften: false });
  assert.deepEqual(book.crashed([a]), { id: a, reason: 'crashed', times: 2, isTooOften: true });
});

test('what was long ago does not count', () => {
  const { book, clock } = bookOf();
  book.crashed([a]);
  clock.now = 1001;
  assert.equal(book.crashed([a])!.times, 1);
  clock.now = 2001;
  assert.equal(book.crashed([a])!.isTooOften, true, 'at the limit of the window it does');
});

test('of several suspects nobody is to blame, until one is a suspect again', () => {
  const { book } = bookOf();
  assert.equal(book.crashed([a, b]), undefined);
  assert.deepEqual(book.crashed([b, c])!.id, b);
});

test('of several that are suspects again, the one published last is to blame', () => {
  const { book } = bookOf({ a: 5, b: 9 });
  book.crashed([a, b]);
  assert.deepEqual(book.crashed([a, b])!.id, b);
});

test('a crash without suspects blames nobody, and neither do suspects of long ago', () => {
  const { book, clock } = bookOf();
  assert.equal(book.crashed([]), undefined);
  book.crashed([a, b]);
  clock.now = 1001;
  assert.equal(book.crashed([a, b]), undefined);
});

test('a run that never ends blames its version, and adds to its crashes', () => {
  const { book } = bookOf();
  book.crashed([a]);
  assert.deepEqual(book.hung(a), { id: a, reason: 'hung', times: 2, isTooOften: true });
  assert.equal(book.hung(b).isTooOften, false);
});

test('only native code ends a process like this: kills from outside and plain exits are no crashes', () => {
  for (const signal of ['SIGSEGV', 'SIGFPE', 'SIGABRT', 'SIGBUS']) assert.ok(isNativeCrash({ signal, code: null }));
  for (const code of [134, 136, 139]) assert.ok(isNativeCrash({ signal: null, code }));
  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGINT']) assert.ok(!isNativeCrash({ signal, code: null }));
  for (const code of [0, 1, 137, 143]) assert.ok(!isNativeCrash({ signal: null, code }));
});
