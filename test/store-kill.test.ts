/** The store and processes: killed at every step, racing for it, on a full disk, without rights. */
import assert from 'node:assert/strict';
import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { GatewayError } from '../src/core/errors.js';
import { takeLock } from '../src/registry/store/lock.js';
import type { PullStep } from '../src/registry/store/pull-hooks.js';
import { Store } from '../src/registry/store/store.js';
import { killedFiles, largeBytes } from './store-killed.js';
import { artifactOf, fakeSource, freshPath, openStore, sha256, stated, storeOptions } from './store-source.js';

const program = fileURLToPath(new URL('./store-child.js', import.meta.url));

/** Root may write what is read-only, so the children of a test run by root are somebody else, if he can read the program. */
const nobody: { readonly uid?: number; readonly gid?: number } = (() => {
  const other = { uid: 65534, gid: 65534 };
  const mayRead = process.getuid?.() === 0 && spawnSync(process.execPath, ['--check', program], other).status === 0;
  return mayRead ? other : {};
})();

function childOf(context: TestContext, ...args: string[]): ChildProcess {
  const child = fork(program, args, { ...nobody, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  context.after(() => child.kill('SIGKILL'));
  return child;
}

/** Where it stops, or why it failed. */
async function messageOf(child: ChildProcess): Promise<string> {
  const gone = once(child, 'exit').then(([code, signal]) => [`ended with ${code ?? signal}`]);
  const [message] = await Promise.race([once(child, 'message'), gone]);
  return message as string;
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

/** A directory that the children may have a store in. */
function sharedPath(context: TestContext): string {
  const path = freshPath(context);
  if (nobody.uid !== undefined) chownSync(path, nobody.uid, nobody.gid!);
  return path;
}

function shell(command: string, path: string) {
  return spawnSync('sh', ['-c', command, 'sh', path], { encoding: 'utf8' });
}

/** What this process writes into a lock. */
async function ownText(lock: string): Promise<string> {
  const taken = await takeLock(lock);
  const text = readFileSync(lock, 'utf8');
  await taken.release();
  return text;
}

/** Every file of every version is as its record says, and nothing else is there. */
function checkWhole(path: string): number {
  const versions = join(path, 'versions', 'fake', 'fraud');
  const names = existsSync(versions) ? readdirSync(versions) : [];
  for (const name of names) {
    const record = JSON.parse(readFileSync(join(versions, name, 'store-record.json'), 'utf8'));
    for (const file of record.files) assert.equal(sha256(readFileSync(join(versions, name, file.path))), file.sha256);
    const present = readdirSync(join(versions, name), { recursive: true, withFileTypes: true });
    assert.equal(present.filter((entry) => entry.isFile()).length, record.files.length + 1);
  }
  return names.length;
}

describe('a process killed', () => {
  const steps: readonly (PullStep | 'chunk')[] = [
    'begun',
    'chunk',
    'downloaded',
    'unpacked',
    'verified',
    'recorded',
    'synced',
    'renamed',
    'done',
  ];
  for (const step of steps) {
    const isThere = step === 'renamed' || step === 'done';
    it(`at step '${step}' of a pull leaves ${isThere ? 'a whole version' : 'none'}, and the next one ends the same`, async (context) => {
      const path = sharedPath(context);
      const child = childOf(context, path, 'pull', step);
      assert.equal(await messageOf(child), step);
      await kill(child);
      assert.equal(checkWhole(path), isThere ? 1 : 0);
      const store = await openStore(context, { path });
      assert.equal(store.versions().length, isThere ? 1 : 0);
      const files = killedFiles();
      const source = fakeSource(files);
      const stored = await store.pull(source, artifactOf(files));
      if (step === 'chunk') assert.match(source.opened.find((at) => at.startsWith('weights'))!, /@1048576$/);
      if (step === 'downloaded') assert.ok(!source.opened.some((at) => at.startsWith('weights')), 'it was whole');
      assert.equal(stored.bytes, largeBytes + 7);
      assert.equal(statSync(stored.directory).mode & 0o777, 0o555);
      assert.equal(checkWhole(path), 1);
      await store.close();
      assert.deepEqual(readdirSync(join(path, 'incoming')), ['trash']);
      assert.deepEqual(readdirSync(path).sort(), ['incoming', 'state', 'versions']);
    });
  }

  it('while it collects leaves each version whole or nowhere', async (context) => {
    const path = freshPath(context);
    const store = await openStore(context, { path });
    const count = 40;
    for (let version = 1; version <= count; version++) {
      const files = { 'model.onnx': `model ${version}`, 'a/b/c': 'deep' };
      await store.pull(fakeSource(files), artifactOf(files, { version: String(version) }));
    }
    await store.close();
    if (nobody.uid !== undefined) spawnSync('chown', ['-R', `${nobody.uid}:${nobody.gid}`, path]);
    const child = childOf(context, path, 'collect');
    assert.equal(await messageOf(child), 'collect');
    await kill(child);
    const left = checkWhole(path);
    assert.ok(left < count, `${left}`);
    const next = await openStore(context, { path });
    assert.equal(next.versions().length, left);
    assert.deepEqual(readdirSync(join(path, 'incoming', 'trash')), []);
  });
});

describe('a store', () => {
  it('is had by one of several processes that come at once, also after a dead one', async (context) => {
    const path = sharedPath(context);
    for (let round = 0; round < 3; round++) {
      const children = Array.from({ length: 5 }, () => childOf(context, path, 'open'));
      const messages = await Promise.all(children.map(messageOf));
      const winner = children[messages.indexOf('open')]!;
      const others = messages.filter((message) => message !== 'open');
      assert.equal(others.length, 4, messages.join('\n'));
      for (const message of others) assert.match(message, /^the store is in use by process [0-9]+ \(.*store\.lock/);
      if (round === 0)
        assert.ok(
          others.every((message) => message.includes(`process ${winner.pid} `)),
          `${winner.pid}`,
        );
      // The next round finds the file of a process that is gone.
      await Promise.all(children.map(kill));
      assert.ok(existsSync(join(path, 'store.lock')));
    }
  });

  it('is not had twice by one process, and is free once closed', async (context) => {
    const path = freshPath(context);
    const store = await openStore(context, { path });
    const inUse = new RegExp(
      `in use by process ${process.pid} \\(.*store\\.lock\\): stop that, or .* --registry-store-path$`,
    );
    await assert.rejects(Store.open(storeOptions(path)), inUse);
    await store.close();
    await openStore(context, { path });
  });

  it('is taken over from a process whose number another has now, from another boot, and from a torn lock', async (context) => {
    const lock = join(freshPath(context), 'store.lock');
    const mine = JSON.parse(await ownText(lock));
    const left = [{ ...mine, started: '1' }, { ...mine, boot: 'other' }, { ...mine, pid: 2 ** 22 + 1 }, {}, undefined];
    for (const owner of left) {
      writeFileSync(lock, owner === undefined ? '' : JSON.stringify(owner));
      // One that died while it took over, too.
      writeFileSync(`${lock}.takeover`, JSON.stringify({ ...mine, started: '2' }));
      writeFileSync(`${lock}.own.${mine.pid}.2.x`, '');
      const taken = await takeLock(lock);
      assert.deepEqual(JSON.parse(readFileSync(lock, 'utf8')), mine);
      assert.deepEqual(readdirSync(join(lock, '..')), ['store.lock']);
      await taken.release();
    }
  });

  it('leaves alone what another process is about to take the lock with', async (context) => {
    const path = freshPath(context);
    const lock = join(path, 'store.lock');
    const { pid, started } = JSON.parse(await ownText(lock));
    writeFileSync(`${lock}.own.${pid}.${started}.x`, '');
    await takeLock(lock);
    assert.deepEqual(readdirSync(path), ['store.lock', `store.lock.own.${pid}.${started}.x`]);
  });

  it('on a full disk refuses with a reason, leaves nothing behind and keeps what it has', async (context) => {
    const path = freshPath(context);
    const mounted = shell('mount -t tmpfs -o size=2m tmpfs "$1"', path);
    if (mounted.status !== 0) return context.skip(`no tmpfs can be mounted: ${mounted.stderr.trim()}`);
    try {
      const store = await Store.open(storeOptions(path, { keepVersions: 0 }));
      const small = { 'model.onnx': 'model' };
      const kept = await store.pull(fakeSource(small), artifactOf(small));
      const large = { 'weights.bin': { content: Buffer.alloc(4 * 1024 * 1024), etag: 'e' } };
      const full = (error: unknown) => error instanceof GatewayError && error.code === 'RESOURCE_EXHAUSTED';
      const again = (files: Parameters<typeof artifactOf>[0]) =>
        store.pull(fakeSource(files), artifactOf(files, { version: '8' })).then(
          () => assert.fail('it was pulled'),
          (error) => {
            assert.ok(full(error), String(error));
            return error.message as string;
          },
        );
      assert.match(await again(large), /^model 'fraud' version 8: 'weights.bin': no space left in the store$/);
      assert.deepEqual(readdirSync(join(path, 'incoming')), ['trash']);
      const announced = stated({ 'weights.bin': 'x'.repeat(4 * 1024 * 1024) });
      assert.match(await again(announced), /no room in the store .* it has 4194304 bytes, the disk has [0-9]+ free/);
      assert.deepEqual(store.versions(), [kept]);
      // With not a byte left, what is not needed can still be removed, and its digest is not forgotten.
      assert.throws(() => writeFileSync(join(path, 'filler'), Buffer.alloc(4 * 1024 * 1024)), { code: 'ENOSPC' });
      assert.deepEqual((await store.collect(new Set(), 0)).removed, [kept]);
      rmSync(join(path, 'filler'));
      const other = { 'model.onnx': 'other' };
      await assert.rejects(store.pull(fakeSource(other), artifactOf(other)), { kind: 'pinned_digest' });
      const next = { 'model.onnx': 'fits' };
      await store.pull(fakeSource(next), artifactOf(next, { version: '9' }));
      await store.close();
    } finally {
      shell('umount "$1"', path);
    }
  });

  it('that cannot be written says so', async (context) => {
    if (process.getuid?.() === 0 && nobody.uid === undefined) return context.skip('root may write everywhere');
    const path = freshPath(context);
    chmodSync(path, 0o500);
    const message = await messageOf(childOf(context, join(path, 'store'), 'open'));
    assert.equal(message, 'the store cannot be opened: the store cannot be written (EACCES)');
  });
});
