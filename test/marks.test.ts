/** Marks as a gateway process writes them and control reads them after a crash. */
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { markBytes, markedVersions } from '../src/core/mark.js';
import { Marks } from '../src/engine/marks.js';
import { freshDirectory } from './system/server.js';

function marksIn(context: { after(work: () => void): void }) {
  const path = join(freshDirectory(context), 'marks');
  const marks = new Marks(path);
  context.after(() => marks.close());
  return { marks, path, read: () => markedVersions(readFileSync(path)) };
}

const a = { model: 'a', version: '1' };
const b = { model: 'b.c-d_e', version: '12' };

test('a process that has run nothing is marked by nobody', (context) => {
  const { read } = marksIn(context);
  assert.deepEqual(read(), []);
});

test('the main thread is marked by what it ran last', (context) => {
  const { marks, read } = marksIn(context);
  marks.inline('a@1');
  assert.deepEqual(read(), [a]);
  marks.inline('b.c-d_e@12');
  assert.deepEqual(read(), [b]);
});

test('a run on a thread is marked from its beginning to its end', (context) => {
  const { marks, read } = marksIn(context);
  const first = marks.begin('a@1');
  const second = marks.begin('b.c-d_e@12');
  assert.deepEqual(read(), [a, b]);
  marks.end(first);
  assert.deepEqual(read(), [b]);
  marks.end(second);
  assert.deepEqual(read(), []);
});

test('slots are used again, so the file stays as small as runs are many at once', (context) => {
  const { marks, path } = marksIn(context);
  for (let run = 0; run < 100; run++) marks.end(marks.begin('a@1'));
  assert.equal(statSync(path).size, 2 * markBytes);
});

test('a version that runs in several places is named once', (context) => {
  const { marks, read } = marksIn(context);
  marks.inline('a@1');
  marks.begin('a@1');
  marks.begin('a@1');
  assert.deepEqual(read(), [a]);
});

test('the longest name there is fits, and a file that was cut off is read as far as it goes', (context) => {
  const { marks, path, read } = marksIn(context);
  const longest = { model: 'm'.repeat(128), version: '9'.repeat(15) };
  marks.inline(`${longest.model}@${longest.version}`);
  marks.begin('a@1');
  assert.deepEqual(read(), [longest, a]);
  assert.deepEqual(markedVersions(readFileSync(path).subarray(0, markBytes + 10)), [longest]);
});

test('without a file nothing is written and nothing fails', () => {
  const marks = new Marks(undefined);
  marks.inline('a@1');
  marks.end(marks.begin('a@1'));
  marks.close();
});
