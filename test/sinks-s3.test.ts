/** Finished files of the log in a bucket of a real Swift: whole, under their own names, and again when it was away. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { sinks } from '../src/config/sinks.js';
import { sinkOf } from '../src/control/network-sinks.js';
import type { Archive } from '../src/predictions/archive.js';
import { signed } from '../src/registry/sources/s3-sign.js';
import { folder } from './predictions-events.js';
import { type Swift, startSwift, swiftSkip, swiftUser } from './servers/swift.js';
import { heldBytes, loggedRows, runOf } from './sinks-fixture.js';

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

function sinkTo(endpoint: string, archive: Archive, more: object = {}) {
  const auth = { user_env: 'KEY_ID', password_env: 'KEY_SECRET' };
  const given = { name: 'lake', type: 's3', url: 's3://lake/predictions of us', endpoint, auth, ...more };
  const [config] = sinks.parse([given]);
  return sinkOf(config!, {
    instance: 'here',
    archive,
    environment: { KEY_ID: swiftUser.accessKeyId, KEY_SECRET: swiftUser.secretAccessKey, OTHER: 'wrong' },
    now: () => performance.now(),
    epochMs: Date.now,
    random: () => 0.5,
  });
}

describe('a bucket of Swift', { skip: swiftSkip }, () => {
  let swift: Swift;
  before(async () => {
    swift = await startSwift();
  });
  after(() => swift?.stop());

  const ask = async (method: string, path: string) => {
    const url = new URL(`http://127.0.0.1:${swift.port}/${path}`);
    const headers = signed({ method, url, headers: {}, region: 'us-east-1', keys: swiftUser, epochMs: Date.now() });
    return fetch(url, { method, headers });
  };

  test('files wait for their bucket, then lie in it as they lie in the log, once however often they are sent', async (context) => {
    const { archive, root } = await loggedRows(context, folder(context), { requests: 40, files: 2 });
    const endpoint = `http://127.0.0.1:${swift.port}`;
    const sink = runOf(root, sinkTo(endpoint, archive));
    await sink.run.wake();
    assert.deepEqual([sink.run.stats().isFailing, sink.run.stats().sent], [true, 0]);
    assert.match(sink.told[0]!, /404|NoSuchBucket|no such|not found/i);
    assert.equal((await ask('PUT', 'lake')).status, 200);
    sink.rests[0]!.end();
    await sink.run.wake();
    assert.deepEqual([sink.run.stats().sent, sink.run.stats().files, sink.run.stats().lagMs], [40, 2, 0]);
    rmSync(join(root, 'cursors'), { recursive: true });
    await runOf(root, sinkTo(endpoint, archive)).run.wake();

    const listed = await (await ask('GET', 'lake')).text();
    const keys = [...listed.matchAll(/<Key>([^<]+)<\/Key>/g)].map((match) => match[1]!);
    assert.equal(keys.length, 2);
    for (const key of keys) {
      const name = key.replace('predictions of us/', '');
      assert.match(name, /^model=digits\/date=2026-03-01\/hour=10\/part-g1-[12]-000001\.parquet$/);
      const answer = await ask('GET', `lake/${key.split('/').map(encodeURIComponent).join('/')}`);
      assert.equal(answer.status, 200);
      assert.equal(sha256(new Uint8Array(await answer.arrayBuffer())), sha256(readFileSync(join(root, 'log', name))));
    }
  });

  test('wrong keys keep files waiting and are shown to nobody', async (context) => {
    const { archive, root } = await loggedRows(context, folder(context), { requests: 3 });
    const auth = { user_env: 'KEY_ID', password_env: 'OTHER' };
    const sink = runOf(root, sinkTo(`http://127.0.0.1:${swift.port}`, archive, { auth }));
    await sink.run.wake();
    assert.match(sink.told[0]!, /SignatureDoesNotMatch/);
    assert.doesNotMatch(sink.told[0]!, /wrong|tester/);
    assert.equal(sink.run.stats().sent, 0);
  });
});

test('a store that hangs costs nothing but time, and no connection is left behind', async (context) => {
  const { archive, root } = await loggedRows(context, folder(context), { requests: 400, bytes: 8192 });
  let open = 0;
  const server = createServer(() => {});
  server.on('connection', (socket) => {
    open++;
    socket.on('close', () => open--);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const { run, rests } = runOf(root, sinkTo(`http://127.0.0.1:${port}`, archive, { timeout_ms: 100 }));
  const tryAgain = async (times: number) => {
    for (let i = 0; i < times; i++) {
      rests.at(-1)?.end();
      await run.wake();
    }
  };
  await tryAgain(4);
  const held = await heldBytes();
  await tryAgain(20);
  const grown = (await heldBytes()) - held;
  assert.ok(grown < 2 * 2 ** 20, `${grown} bytes more after 20 more failures`);
  assert.equal(run.stats().failures, 24);
  assert.ok(open <= 1, `${open} connections`);
});
