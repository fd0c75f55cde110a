/** A file that only grows, on a real disk: what counts, what is cut back, and who else was there. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { AppendedFile } from '../src/core/appended-file.js';

async function opened(context: TestContext, text: string, bytes: number) {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-appended-'));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'file');
  writeFileSync(path, text);
  const handle = await open(path, 'r+');
  context.after(() => handle.close());
  /** What fails of the next calls, each once. */
  const failing = new Set<'write' | 'sync' | 'truncate'>();
  const unless = (what: 'write' | 'sync' | 'truncate') => {
    if (failing.delete(what)) throw new Error(`no ${what}`);
  };
  const file = new AppendedFile(
    {
      // Three bytes at a time, as a disk may.
      write: async (part, from, length, position) => {
        const written = await handle.write(part, from, Math.min(3, length), position);
        unless('write');
        return written;
      },
      sync: async () => unless('sync'),
      truncate: async (size) => {
        unless('truncate');
        await handle.truncate(size);
      },
      stat: () => handle.stat(),
      close: () => handle.close(),
    },
    { place: () => stat(path), bytes, isTorn: text.length > bytes },
  );
  return { file, path, failing, text: () => readFileSync(path, 'utf8') };
}

test('what is appended stands behind what counted, however few bytes a write takes', async (context) => {
  const { file, text } = await opened(context, 'one\n', 4);
  await file.append(Buffer.from('two and three\n'));
  await file.append(Buffer.from('four\n'));
  assert.equal(text(), 'one\ntwo and three\nfour\n');
  assert.equal(file.bytes, 23);
  assert.equal(await file.isAsLeft(), true);
});

for (const what of ['write', 'sync'] as const) {
  test(`a ${what} that fails leaves nothing behind`, async (context) => {
    const { file, failing, text } = await opened(context, 'one\n', 4);
    failing.add(what);
    await assert.rejects(file.append(Buffer.from('two\n')), new RegExp(`no ${what}`));
    assert.equal(text(), 'one\n');
    assert.equal(file.bytes, 4);
    await file.append(Buffer.from('three\n'));
    assert.equal(text(), 'one\nthree\n');
  });
}

test('what could not be cut back at once is cut back before anything else', async (context) => {
  const { file, failing, text } = await opened(context, 'one\n', 4);
  failing.add('sync').add('truncate');
  await assert.rejects(file.append(Buffer.from('two\n')), /no sync/);
  assert.equal(text(), 'one\ntwo\n');
  assert.equal(await file.isAsLeft(), true);
  assert.equal(text(), 'one\n');
});

test('a torn tail is cut back before it is looked at', async (context) => {
  const { file, text } = await opened(context, 'one\ntw', 4);
  assert.equal(await file.isAsLeft(), true);
  assert.equal(text(), 'one\n');
});

test('a file that somebody else has written to, replaced or removed is not as it was left', async (context) => {
  const written = await opened(context, 'one\n', 4);
  appendFileSync(written.path, 'theirs\n');
  assert.equal(await written.file.isAsLeft(), false);
  const replaced = await opened(context, 'one\n', 4);
  writeFileSync(`${replaced.path}.new`, 'two\n');
  renameSync(`${replaced.path}.new`, replaced.path);
  assert.equal(await replaced.file.isAsLeft(), false);
  const removed = await opened(context, 'one\n', 4);
  rmSync(removed.path);
  await assert.rejects(removed.file.isAsLeft(), /ENOENT/);
});
