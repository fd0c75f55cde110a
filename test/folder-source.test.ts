/** A local folder as a source: what is there, what is complete, and the bytes of it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Artifact, Listing, SourceVersion } from '../src/registry/source.js';
import { FolderSource } from '../src/registry/sources/folder.js';
import { writeRepository } from './fixtures.js';
import { freshDirectory } from './system/server.js';

const signal = new AbortController().signal;
const anywhere = { offset: 0, etag: undefined };
const bytes = (text: string) => Buffer.from(text);

function sourceIn(path: string, change: { settleMs?: number } = {}) {
  const clock = { ahead: 0 };
  const source = new FolderSource({
    name: 'local',
    path,
    bareName: 'bare',
    settleMs: change.settleMs ?? 10_000,
    epochNow: () => Date.now() + clock.ahead,
  });
  return { source, clock };
}

const versionIn = (listing: Listing | undefined, version: string): SourceVersion | undefined =>
  listing?.models[0]?.versions.find((one) => one.version === version);

function manifestOf(contents: Readonly<Record<string, string>>): string {
  const files = Object.entries(contents).map(([path, text]) => ({
    path,
    size: Buffer.byteLength(text),
    sha256: createHash('sha256').update(text).digest('hex'),
  }));
  return JSON.stringify({ schema: 1, files, signature: { inputs: [], outputs: [] } });
}

async function textOf(source: FolderSource, artifact: Artifact, path: string): Promise<string> {
  const { chunks } = await source.open(artifact.files.find((file) => file.path === path)!, anywhere, signal);
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts).toString();
}

test('what has not changed is not listed again', async (context) => {
  const path = writeRepository(freshDirectory(context), { a: bytes('one') });
  const { source } = sourceIn(path);
  assert.equal(versionIn(await source.list(), '1')?.bytes, 3);
  assert.equal(await source.list(), undefined);
});

test('versions ascend by number, and what lies there at the first look waits for nothing', async (context) => {
  const versions = { 2: bytes('2'), 10: bytes('10'), 9: bytes('9') };
  const { source } = sourceIn(writeRepository(freshDirectory(context), { a: { versions } }));
  const found = (await source.list())!.models[0]!.versions;
  assert.deepEqual(
    found.map(({ version, waiting }) => [version, waiting]),
    [
      ['2', undefined],
      ['9', undefined],
      ['10', undefined],
    ],
  );
});

test('a version without a manifest waits until nothing in it has changed for the settle time', async (context) => {
  const path = writeRepository(freshDirectory(context), { a: bytes('one') });
  const { source, clock } = sourceIn(path);
  await source.list();
  writeRepository(path, { a: { versions: { 2: bytes('half') } } });
  assert.match(versionIn(await source.list(), '2')!.waiting!, /settled/);
  clock.ahead = 9000;
  assert.equal(await source.list(), undefined);
  clock.ahead = 10_500;
  assert.equal(versionIn(await source.list(), '2')!.waiting, undefined);
});

test('a version that is moved into its place waits as well: the times of its files say nothing', async (context) => {
  const path = writeRepository(freshDirectory(context), { a: bytes('one') });
  const { source } = sourceIn(path);
  await source.list();
  writeRepository(path, { a: { versions: { 2: bytes('two') } } });
  utimesSync(join(path, 'a', '2', 'model.onnx'), 1, 1);
  assert.match(versionIn(await source.list(), '2')!.waiting!, /settled/);
});

test('a version with a manifest is complete as soon as every file has its size', async (context) => {
  const path = writeRepository(freshDirectory(context), { a: bytes('one') });
  const { source } = sourceIn(path);
  await source.list();
  const whole = { 'model.onnx': 'the model', 'weights.bin': 'weights' };
  writeRepository(path, {
    a: { versions: { 2: { 'manifest.json': manifestOf(whole), 'model.onnx': bytes('the') } } },
  });
  assert.equal(versionIn(await source.list(), '2')!.waiting, "waits for 'model.onnx', which has 3 of 9 bytes");
  writeFileSync(join(path, 'a', '2', 'model.onnx'), whole['model.onnx']);
  assert.equal(versionIn(await source.list(), '2')!.waiting, "waits for 'weights.bin', which has 0 of 7 bytes");
  writeFileSync(join(path, 'a', '2', 'weights.bin'), whole['weights.bin']);
  assert.equal(versionIn(await source.list(), '2')!.waiting, undefined);
});

test('other bytes of the same length are another revision', async (context) => {
  const path = writeRepository(freshDirectory(context), { a: bytes('one') });
  const { source } = sourceIn(path);
  const before = versionIn(await source.list(), '1')!.revision;
  writeFileSync(join(path, 'a', '1', 'new'), 'two');
  renameSync(join(path, 'a', '1', 'new'), join(path, 'a', '1', 'model.onnx'));
  assert.notEqual(versionIn(await source.list(), '1')!.revision, before);
});

test('a changed configuration is another revision of every version beside it', async (context) => {
  const path = writeRepository(freshDirectory(context), {
    a: { versions: { 1: bytes('one') }, beside: { 'config.yaml': 'max_batch_size: 1' } },
  });
  const { source } = sourceIn(path, { settleMs: 0 });
  const before = versionIn(await source.list(), '1')!.revision;
  writeFileSync(join(path, 'a', 'config.yaml'), 'max_batch_size: 16');
  const after = await source.list();
  assert.notEqual(versionIn(after, '1')!.revision, before);
  assert.equal(after!.models[0]!.config!.text, 'max_batch_size: 16');
});

test('a version is given with its files, its signatures apart, and what lies beside it', async (context) => {
  const path = writeRepository(freshDirectory(context), {
    a: {
      versions: { 1: { 'model.onnx': bytes('model'), 'data/weights.bin': 'weights', 'model.sig': '{}' } },
      beside: { 'config.yaml': 'max_batch_size: 1', 'labels.txt': 'yes\nno' },
    },
  });
  const { source } = sourceIn(path);
  await source.list();
  const artifact = await source.resolve('a', '1');
  assert.deepEqual(artifact.files.map((file) => file.path).sort(), ['data/weights.bin', 'model.onnx']);
  assert.deepEqual(
    artifact.signatures.map((file) => file.path),
    ['model.sig'],
  );
  assert.deepEqual(artifact.config, {
    name: 'config.yaml',
    text: 'max_batch_size: 1',
    labels: { 'labels.txt': 'yes\nno' },
  });
  assert.equal(await textOf(source, artifact, 'data/weights.bin'), 'weights');
});

test('a stream that is turned away before it is read leaves nothing open, one that is read closes', async (context) => {
  if (process.platform !== 'linux') return context.skip('open files are listed under /proc/self/fd of Linux alone');
  const path = writeRepository(freshDirectory(context), { a: bytes('one') });
  const { source } = sourceIn(path);
  await source.list();
  const { files } = await source.resolve('a', '1');
  const isOpen = () =>
    readdirSync('/proc/self/fd').some((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith(path);
      } catch {
        return false;
      }
    });
  const { chunks } = await source.open(files[0]!, anywhere, signal);
  assert.equal(isOpen(), false);
  for await (const _ of chunks) assert.equal(isOpen(), true);
  assert.equal(isOpen(), false);
});

test('a file that changes while it is copied fails the copy', async (context) => {
  const path = writeRepository(freshDirectory(context), { a: bytes('one') });
  const { source } = sourceIn(path);
  await source.list();
  const { files } = await source.resolve('a', '1');
  const { chunks } = await source.open(files[0]!, anywhere, signal);
  writeFileSync(join(path, 'a', '1', 'model.onnx'), 'three');
  await assert.rejects(
    async () => {
      for await (const _ of chunks);
    },
    { code: 'UNAVAILABLE', message: "'model.onnx' changed while it was copied" },
  );
});

test('a version that is gone is not found, and the folder being gone is said as such', async (context) => {
  const path = writeRepository(freshDirectory(context), { a: bytes('one'), b: bytes('two') });
  const { source } = sourceIn(path);
  await source.list();
  rmSync(join(path, 'a'), { recursive: true });
  assert.deepEqual(
    (await source.list())!.models.map(({ name }) => name),
    ['b'],
  );
  await assert.rejects(source.resolve('a', '1'), { code: 'NOT_FOUND' });
  rmSync(path, { recursive: true });
  await assert.rejects(source.list(), { code: 'NOT_FOUND' });
});

test('a link that leads out of the folder makes its version wait, and says why', async (context) => {
  const path = writeRepository(freshDirectory(context), { a: bytes('one') });
  symlinkSync('/etc/hostname', join(path, 'a', '1', 'weights.bin'));
  const { source } = sourceIn(path);
  assert.match(versionIn(await source.list(), '1')!.waiting!, /'weights.bin' is a link that leads out/);
});

test('a name that no version may have makes its version wait, and says why', async (context) => {
  const path = writeRepository(freshDirectory(context), { a: bytes('one') });
  mkdirSync(join(path, 'a', '1', 'up'));
  writeFileSync(join(path, 'a', '1', 'up', 'a\\b'), '');
  const { source } = sourceIn(path);
  assert.match(versionIn(await source.list(), '1')!.waiting!, /not a path that a version may have/);
});
