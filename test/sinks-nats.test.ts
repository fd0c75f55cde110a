/** Rows of the log in a stream of a real NATS server that is there, is not, is full, hangs and comes back. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { sinks } from '../src/config/sinks.js';
import { sinkOf } from '../src/control/network-sinks.js';
import type { Archive } from '../src/predictions/archive.js';
import { folder } from './predictions-events.js';
import { skipWithout } from './servers/debian.js';
import { natsSkip, startNats, streamOf } from './servers/nats.js';
import { heldBytes, loggedRows, type Rest, runOf } from './sinks-fixture.js';

const subject = 'sluice.predictions';
const ids = (count: number) => Array.from({ length: count }, (_, i) => `r-${i}`);
const idsIn = (messages: readonly { readonly row: Record<string, unknown> }[]) =>
  messages.map(({ row }) => row.request_id);

function sinkTo(url: string, archive: Archive, more: object = {}) {
  const [config] = sinks.parse([{ name: 'bus', type: 'nats', url, timeout_ms: 500, ...more }]);
  return sinkOf(config!, {
    instance: 'here',
    archive,
    environment: { BUS_TOKEN: 'right', OTHER_TOKEN: 'wrong', BUS_USER: 'gateway' },
    now: () => performance.now(),
    epochMs: Date.now,
    random: () => 0.5,
  });
}

const openssl = '/usr/bin/openssl';
const opensslSkip = skipWithout([openssl], 'openssl');

/** One that signs itself. */
function certificateFor(name: string, directory: string) {
  const [certificate, key] = [join(directory, 'certificate.pem'), join(directory, 'key.pem')];
  const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', `/CN=${name}`];
  const place = ['-addext', `subjectAltName=DNS:${name}`, '-keyout', key, '-out', certificate];
  execFileSync(openssl, ['req', '-x509', ...made, ...place], { stdio: 'ignore' });
  return { certificate, key };
}

/** Rests are over at once until nothing fails any more. */
async function settled({ run, rests }: ReturnType<typeof runOf>, triesMax = 50): Promise<void> {
  await run.wake();
  for (let tries = 0; run.stats().isFailing && tries < triesMax; tries++) {
    rests.at(-1)!.end();
    await run.wake();
  }
}

/** A way to a server that can be frozen: it takes connections and bytes, and nothing comes back. */
async function freezer(context: TestContext, port: number) {
  let isFrozen = false;
  const sockets = new Set<Socket>();
  const proxy = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    sockets.add(near);
    near.on('close', () => {
      sockets.delete(near);
      far.destroy();
    });
    far.on('close', () => near.destroy());
    near.on('error', () => {});
    far.on('error', () => {});
    near.on('data', (bytes) => far.write(bytes));
    far.on('data', (bytes) => {
      if (!isFrozen) near.write(bytes);
    });
  });
  await new Promise<void>((listening) => proxy.listen(0, '127.0.0.1', listening));
  context.after(() => {
    proxy.close();
    for (const socket of sockets) socket.destroy();
  });
  const { port: own } = proxy.address() as AddressInfo;
  return {
    url: `nats://127.0.0.1:${own}`,
    sockets,
    freeze: (next: boolean) => {
      isFrozen = next;
    },
  };
}

describe('a stream of NATS', { skip: natsSkip }, () => {
  test('every row is a message once, also when all of them are sent again', async (context) => {
    const { archive, root } = await loggedRows(context, folder(context), { requests: 30 });
    const nats = await startNats(context);
    const stream = await streamOf(nats, subject);
    const first = runOf(root, sinkTo(nats.url, archive, { max_batch_rows: 7 }));
    await first.run.wake();
    await first.run.close();
    rmSync(join(root, 'cursors'), { recursive: true });
    const again = runOf(root, sinkTo(nats.url, archive));
    await again.run.wake();
    await again.run.close();
    assert.deepEqual([first.run.stats().sent, again.run.stats().sent], [30, 30]);
    const messages = await stream.messages();
    assert.deepEqual(new Set(idsIn(messages)), new Set(ids(30)));
    assert.equal(messages.length, 30);
    const { subject: on, id, row } = messages.find((message) => message.row.request_id === 'r-4')!;
    assert.deepEqual([on, id], [`${subject}.digits`, 'r-4/0/primary/0/g1.1.5']);
    const { version, status, input_json, outputs_json } = row;
    assert.deepEqual([version, status, input_json, outputs_json], ['3', 200, '{"x":[4,4]}', '{"y":[1]}']);
  });

  test('rows wait until there is a stream for them', async (context) => {
    const { archive, root } = await loggedRows(context, folder(context), { requests: 10 });
    const nats = await startNats(context);
    const sink = runOf(root, sinkTo(nats.url, archive));
    await sink.run.wake();
    assert.deepEqual(sink.told, [`${subject}: no stream takes this subject`]);
    const stream = await streamOf(nats, subject);
    await settled(sink);
    assert.equal((await stream.messages()).length, 10);
    await sink.run.close();
  });

  test('a row that is too large for the stream or the server is dropped and counted, the others arrive', async (context) => {
    const { archive, root } = await loggedRows(context, folder(context), { requests: 9 });
    const nats = await startNats(context);
    const stream = await streamOf(nats, subject, { max_msg_size: 4000 });
    const read: Pick<Archive, 'read'> = {
      read: async (...asked) => {
        const rows = await archive.read(...asked);
        const lengthOf = (id: unknown) => (id === 'r-2' ? 5000 : id === 'r-6' ? 2 ** 21 : 0);
        return rows.map((row) => ({ ...row, input_json: 'x'.repeat(lengthOf(row.request_id)) }));
      },
    };
    const sink = runOf(root, sinkTo(nats.url, read as Archive));
    await settled(sink);
    await sink.run.close();
    assert.deepEqual(
      idsIn(await stream.messages()).sort(),
      ids(9).filter((id) => id !== 'r-2' && id !== 'r-6'),
    );
    const { sent, dropped } = sink.run.stats();
    assert.deepEqual([sent, dropped], [7, { expired: 0, erased: 0, refused: 0, too_large: 2 }]);
  });

  test('a stream that is full keeps rows waiting', async (context) => {
    const { archive, root } = await loggedRows(context, folder(context), { requests: 10 });
    const nats = await startNats(context);
    await streamOf(nats, subject, { max_msgs: 4, discard: 'new' });
    const sink = runOf(root, sinkTo(nats.url, archive, { max_batch_rows: 2 }));
    await sink.run.wake();
    const { sent, isFailing, lagMs } = sink.run.stats();
    assert.deepEqual([sent, isFailing, lagMs > 0], [4, true, true]);
    assert.match(sink.told[0]!, /maximum messages exceeded/);
    await sink.run.close();
  });

  test('no row is lost or doubled by a server that goes away in the middle and comes back', async (context) => {
    const { archive, root } = await loggedRows(context, folder(context), { requests: 60 });
    const nats = await startNats(context);
    const stream = await streamOf(nats, subject);
    const sink = sinkTo(nats.url, archive, { max_batch_rows: 5 });
    let steps = 0;
    const run = runOf(root, {
      ...sink,
      deliver: (file, delivery) =>
        sink.deliver(file, {
          ...delivery,
          taken: async (step) => {
            await delivery.taken(step);
            if (++steps === 4) await nats.stop();
          },
        }),
    });
    await run.run.wake();
    assert.deepEqual([run.run.stats().sent, run.run.stats().isFailing], [20, true]);
    await nats.start();
    await settled(run);
    await run.run.close();
    assert.equal(run.run.stats().sent, 60);
    assert.deepEqual(idsIn(await stream.messages()).sort(), ids(60).sort());
  });

  test('a server that hangs costs nothing but time, and no connection is left behind', async (context) => {
    const { archive, root } = await loggedRows(context, folder(context), { requests: 300, bytes: 2048 });
    const nats = await startNats(context);
    const stream = await streamOf(nats, subject);
    const way = await freezer(context, nats.port);
    const { run, rests } = runOf(root, sinkTo(way.url, archive, { timeout_ms: 150 }));
    const over = (some: readonly Rest[]) => some.at(-1)?.end();
    way.freeze(true);
    const tryAgain = async (times: number) => {
      for (let i = 0; i < times; i++) {
        over(rests);
        await run.wake();
      }
    };
    await tryAgain(4);
    const before = await heldBytes();
    await tryAgain(12);
    const grown = (await heldBytes()) - before;
    assert.ok(grown < 2 * 2 ** 20, `${grown} bytes more after 12 more failures`);
    assert.ok(way.sockets.size <= 1, `${way.sockets.size} connections`);
    way.freeze(false);
    await tryAgain(1);
    assert.deepEqual([run.stats().sent, run.stats().isFailing, run.stats().lagMs], [300, false, 0]);
    await run.close();
    assert.equal((await stream.messages()).length, 300);
  });

  test('the token of the configuration is shown, and a wrong one keeps rows waiting', async (context) => {
    const { archive, root } = await loggedRows(context, folder(context), { requests: 3 });
    const nats = await startNats(context, ['--auth', 'right']);
    const stream = await streamOf(nats, subject, {}, { token: 'right' });
    const wrong = runOf(root, sinkTo(nats.url, archive, { auth: { token_env: 'OTHER_TOKEN' } }));
    await wrong.run.wake();
    assert.match(wrong.told[0]!, /authorization violation/i);
    assert.doesNotMatch(wrong.told[0]!, /wrong|right/);
    await wrong.run.close();
    const right = runOf(root, sinkTo(nats.url, archive, { auth: { token_env: 'BUS_TOKEN' } }));
    await right.run.wake();
    await right.run.close();
    assert.equal((await stream.messages()).length, 3);
  });

  test('user and password of the configuration are shown, and a wrong one keeps rows waiting', async (context) => {
    const { archive, root } = await loggedRows(context, folder(context), { requests: 3 });
    const nats = await startNats(context, ['--user', 'gateway', '--pass', 'right']);
    const stream = await streamOf(nats, subject, {}, { user: 'gateway', pass: 'right' });
    const wrong = runOf(
      root,
      sinkTo(nats.url, archive, { auth: { user_env: 'BUS_USER', password_env: 'OTHER_TOKEN' } }),
    );
    await wrong.run.wake();
    assert.match(wrong.told[0]!, /authorization violation/i);
    assert.doesNotMatch(wrong.told[0]!, /wrong|right|gateway/);
    await wrong.run.close();
    const right = runOf(root, sinkTo(nats.url, archive, { auth: { user_env: 'BUS_USER', password_env: 'BUS_TOKEN' } }));
    await right.run.wake();
    await right.run.close();
    assert.equal((await stream.messages()).length, 3);
  });

  test('over TLS rows go to a server whose certificate is for its name, and to no other', {
    skip: opensslSkip,
  }, async (context) => {
    const directory = folder(context);
    const { archive, root } = await loggedRows(context, directory, { requests: 3 });
    const ours = certificateFor('localhost', directory);
    const nats = await startNats(context, ['--tls', '--tlscert', ours.certificate, '--tlskey', ours.key]);
    const ca = readFileSync(ours.certificate, 'utf8');
    const stream = await streamOf(nats, subject, {}, { tls: { ca } });
    const url = `tls://localhost:${nats.port}`;
    const stranger = certificateFor('localhost', folder(context));
    // Trusted by nobody, by whoever trusts somebody else, and plain where TLS is asked for.
    const refused = [
      sinkTo(url, archive),
      sinkTo(url, archive, { ca_file: stranger.certificate }),
      sinkTo(nats.url, archive),
    ];
    for (const [i, sink] of refused.entries()) {
      const { run, told } = runOf(root, sink);
      await run.wake();
      assert.deepEqual([run.stats().sent, run.stats().isFailing], [0, true], String(i));
      assert.match(told[0]!, /certificate|self.signed|tls|secure/i);
      await run.close();
    }
    const trusted = runOf(root, sinkTo(url, archive, { ca_file: ours.certificate }));
    await trusted.run.wake();
    await trusted.run.close();
    assert.deepEqual(trusted.told, []);
    assert.equal((await stream.messages()).length, 3);
  });

  test('a certificate for another name is refused although its authority is trusted', {
    skip: opensslSkip,
  }, async (context) => {
    const directory = folder(context);
    const { archive, root } = await loggedRows(context, directory, { requests: 3 });
    const other = certificateFor('elsewhere.example.com', directory);
    const nats = await startNats(context, ['--tls', '--tlscert', other.certificate, '--tlskey', other.key]);
    const { run, told } = runOf(root, sinkTo(`tls://localhost:${nats.port}`, archive, { ca_file: other.certificate }));
    await run.wake();
    assert.deepEqual([run.stats().sent, run.stats().isFailing], [0, true]);
    assert.match(told[0]!, /altnames|does not match/i);
    await run.close();
  });

  test('over TLS the token is shown as without', { skip: opensslSkip }, async (context) => {
    const directory = folder(context);
    const { archive, root } = await loggedRows(context, directory, { requests: 3 });
    const { certificate, key } = certificateFor('localhost', directory);
    const nats = await startNats(context, ['--tls', '--tlscert', certificate, '--tlskey', key, '--auth', 'right']);
    const tls = { ca: readFileSync(certificate, 'utf8') };
    const stream = await streamOf(nats, subject, {}, { tls, token: 'right' });
    const to = (variable: string) =>
      sinkTo(`tls://localhost:${nats.port}`, archive, { ca_file: certificate, auth: { token_env: variable } });
    const wrong = runOf(root, to('OTHER_TOKEN'));
    await wrong.run.wake();
    assert.match(wrong.told[0]!, /authorization violation/i);
    await wrong.run.close();
    const right = runOf(root, to('BUS_TOKEN'));
    await right.run.wake();
    await right.run.close();
    assert.equal((await stream.messages()).length, 3);
  });
});
