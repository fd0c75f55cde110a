/** Marks of places: a folder that rests is not listed again, and nothing that changes in it goes unseen. */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FolderSource } from '../src/registry/sources/folder.js';
import { Marks } from '../src/registry/sources/marks.js';
import { freshDirectory } from './system/server.js';

const later = () => Date.now() + 60_000;

test('what was remembered is the same until it changes; nothing remembered is never the same', async (context) => {
  const place = join(freshDirectory(context), 'file');
  writeFileSync(place, 'one');
  const marks = new Marks();
  assert.equal(await marks.areSame(), false);
  await marks.remember([place, `${place}-absent`], later());
  assert.equal(await marks.areSame(), true);
  writeFileSync(`${place}-absent`, '');
  assert.equal(await marks.areSame(), false);
});

test('what changed a moment before it was read is not rested on', async (context) => {
  const place = freshDirectory(context);
  const marks = new Marks();
  await marks.remember([place], statSync(place).ctimeMs + 1999);
  assert.equal(await marks.areSame(), false);
  await marks.remember([place], statSync(place).ctimeMs + 2001);
  assert.equal(await marks.areSame(), true);
});

test('after twenty rests it is read again, whatever the marks say', async (context) => {
  const marks = new Marks();
  await marks.remember([freshDirectory(context)], later());
  const rests = [];
  for (let i = 0; i < 22; i++) rests.push(await marks.areSame());
  assert.deepEqual(rests, [...Array(20).fill(true), false, false]);
});

const changes: Record<string, (root: string) => void> = {
  'a new version': (root) => {
    mkdirSync(join(root, 'a/2'));
    writeFileSync(join(root, 'a/2/model.onnx'), 'two');
  },
  'a new model': (root) => {
    mkdirSync(join(root, 'b/1'), { recursive: true });
    writeFileSync(join(root, 'b/1/model.onnx'), 'b');
  },
  'a model that goes': (root) => rmSync(join(root, 'a'), { recursive: true }),
  'bytes rewritten in place, as many, with the old time': (root) => {
    const { atime, mtime } = statSync(join(root, 'a/1/model.onnx'));
    writeFileSync(join(root, 'a/1/model.onnx'), 'eno');
    utimesSync(join(root, 'a/1/model.onnx'), atime, new Date(mtime.getTime() + 1));
  },
  'a file put over the model': (root) => {
    writeFileSync(join(root, '.new'), 'new');
    renameSync(join(root, '.new'), join(root, 'a/1/model.onnx'));
  },
  'a file in a nested directory': (root) => writeFileSync(join(root, 'a/1/nested/weights.bin'), 'more'),
  'a configuration that appears': (root) => writeFileSync(join(root, 'a/config.pbtxt'), 'max_batch_size: 4'),
  'a directory without a version that gets one': (root) => {
    mkdirSync(join(root, 'empty/1'));
    writeFileSync(join(root, 'empty/1/model.onnx'), 'x');
  },
  'a link that leads elsewhere': (root) => {
    symlinkSync('targets/two', join(root, '.link'));
    renameSync(join(root, '.link'), join(root, 'linked'));
  },
  'a link behind a link that leads elsewhere': (root) => {
    symlinkSync('two', join(root, 'targets/.now'));
    renameSync(join(root, 'targets/.now'), join(root, 'targets/now'));
  },
};

for (const [name, change] of Object.entries(changes))
  test(`seen at once: ${name}`, async (context) => {
    const root = freshDirectory(context);
    mkdirSync(join(root, 'a/1/nested'), { recursive: true });
    writeFileSync(join(root, 'a/1/model.onnx'), 'one');
    mkdirSync(join(root, 'empty'));
    for (const target of ['one', 'two']) {
      mkdirSync(join(root, `targets/${target}/1`), { recursive: true });
      writeFileSync(join(root, `targets/${target}/1/model.onnx`), target);
    }
    symlinkSync('targets/one', join(root, 'linked'));
    symlinkSync('one', join(root, 'targets/now'));
    symlinkSync('targets/now', join(root, 'chained'));
    const source = new FolderSource({ name: 'local', path: root, bareName: 'x', settleMs: 0, epochNow: later });
    await source.list();
    assert.equal(await source.list(), undefined);
    change(root);
    assert.notEqual(await source.list(), undefined);
  });
