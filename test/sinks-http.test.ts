/** Rows of the log as CloudEvents, to real receivers that work, refuse, fail, hang and dawdle. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { sinks } from '../src/config/sinks.js';
import { sinkOf } from '../src/control/network-sinks.js';
import type { Archive } from '../src/predictions/archive.js';
import { folder } from './predictions-events.js';
import { heldBytes, type LoggedRows, loggedRows, type Received, receiverOf, runOf } from './sinks-fixture.js';

function sinkTo(url: string, archive: Archive, more: object = {}) {
  const [config] = sinks.parse([{ name: 'hub', type: 'http', url, ...more }]);
  return sinkOf(config!, {
    instance: 'here',
    archive,
    environment: { HUB_TOKEN: 'secret-of-the-hub' },
    now: () => performance.now(),
    epochMs: Date.now,
    random: () => 0.5,
  });
}

interface Event {
  readonly type: string;
  readonly requestid: string;
  readonly data: Record<string, unknown>;
}

const eventsIn = ({ body }: Received) => JSON.parse(body) as Event[];
const idsIn = (received: readonly Received[]) =>
  received.flatMap((one) =>
    eventsIn(one)
      .filter(({ type }) => type.endsWith('.request'))
      .map(({ requestid }) => requestid),
  );
const ids = (count: number) => Array.from({ length: count }, (_, i) => `r-${i}`);

test('a row is a request and a response, in batches, with the token of the configuration', async (context) => {
  const { archive, root } = await loggedRows(context, folder(context), { requests: 5 });
  const { url, accepted } = await receiverOf(context, () => 202);
  const { run } = runOf(root, sinkTo(url, archive, { max_batch_rows: 2, auth: { token_env: 'HUB_TOKEN' } }));
  await run.wake();
  assert.deepEqual(
    accepted.map((one) => eventsIn(one).length),
    [4, 4, 2],
  );
  assert.deepEqual(idsIn(accepted), ids(5));
  const { headers } = accepted[0]!;
  assert.match(headers['content-type']!, /^application\/cloudevents-batch\+json/);
  assert.equal(headers.authorization, 'Bearer secret-of-the-hub');
  const [request, response] = eventsIn(accepted[0]!);
  const { data: asking, ...attributes } = request!;
  assert.deepEqual(attributes, {
    specversion: '1.0',
    id: 'r-0/0/primary/0',
    source: '/sluice/here',
    time: '2026-03-01T10:00:00Z',
    datacontenttype: 'application/json',
    inferenceservicename: 'digits',
    namespace: 'default',
    component: 'predictor',
    endpoint: 'default',
    requestid: 'r-0',
    type: 'org.kubeflow.serving.inference.request',
  });
  assert.deepEqual(asking.inputs, { x: [0, 0] });
  assert.equal(response!.type, 'org.kubeflow.serving.inference.response');
  const { outputs, status, version } = response!.data;
  assert.deepEqual([outputs, status, version], [{ y: [1] }, 200, '3']);
});

test('a row that the receiver calls too large or wrong is dropped and counted, the rest of its batch arrives', async (context) => {
  const { archive, root } = await loggedRows(context, folder(context), { requests: 12 });
  const { url, accepted } = await receiverOf(context, (request) => {
    const asked = idsIn([request]);
    return asked.includes('r-7') ? 413 : asked.includes('r-2') ? 422 : 200;
  });
  const { run } = runOf(root, sinkTo(url, archive));
  await run.wake();
  assert.deepEqual(
    idsIn(accepted),
    ids(12).filter((id) => id !== 'r-2' && id !== 'r-7'),
  );
  const { sent, dropped } = run.stats();
  assert.deepEqual([sent, dropped], [10, { expired: 0, erased: 0, refused: 1, too_large: 1 }]);
});

const growthBytesMax = 2 * 2 ** 20;
const [triesBefore, triesMore] = [4, 12];

/** As long as the receiver is dead nothing grows; when it is back, every row arrives. */
async function outlives(
  { archive, root }: LoggedRows,
  receiver: { readonly url: string; readonly accepted: readonly Received[] },
  { requests, revive }: { readonly requests: number; readonly revive: () => void | Promise<void> },
): Promise<void> {
  const { run, rests } = runOf(root, sinkTo(receiver.url, archive, { timeout_ms: 100 }));
  const tryAgain = async (times: number) => {
    for (let i = 0; i < times; i++) {
      rests.at(-1)?.end();
      await run.wake();
    }
  };
  await tryAgain(triesBefore);
  const before = await heldBytes();
  await tryAgain(triesMore);
  const grown = (await heldBytes()) - before;
  assert.ok(grown < growthBytesMax, `${grown} bytes more after ${triesMore} more failures`);
  const dead = run.stats();
  assert.deepEqual([dead.sent, dead.failures, dead.isFailing], [0, triesBefore + triesMore, true]);
  assert.ok(dead.lagMs > 0);
  await revive();
  await tryAgain(1);
  const { sent, dropped, lagMs } = run.stats();
  const lost = Object.values(dropped).reduce((sum, count) => sum + count, 0);
  assert.deepEqual([sent, lost, lagMs], [requests, 0, 0]);
  assert.deepEqual(new Set(idsIn(receiver.accepted)), new Set(ids(requests)));
}

const requests = 300;
const deadLog = (context: TestContext) => loggedRows(context, folder(context), { requests, bytes: 4096 });

test('a receiver that refuses connections costs nothing but time', async (context) => {
  const log = await deadLog(context);
  const receiver = await receiverOf(context, () => 200);
  const { port } = new URL(receiver.url);
  await new Promise((closed) => receiver.server.close(closed));
  const revive = () => new Promise<void>((open) => receiver.server.listen(Number(port), '127.0.0.1', open));
  await outlives(log, receiver, { requests, revive });
});

test('a receiver that hangs costs nothing but time, and no connection is left behind', async (context) => {
  const log = await deadLog(context);
  let isDead = true;
  const receiver = await receiverOf(context, () => (isDead ? undefined : 200));
  const revive = () => {
    assert.ok(receiver.sockets.size <= 1, `${receiver.sockets.size} connections`);
    isDead = false;
  };
  await outlives(log, receiver, { requests, revive });
});

for (const status of [500, 301]) {
  test(`a receiver that answers ${status} costs nothing but time`, async (context) => {
    const log = await deadLog(context);
    let isDead = true;
    const receiver = await receiverOf(context, (_request, response) => {
      if (status === 301) response.setHeader('location', '/elsewhere');
      return isDead ? status : 200;
    });
    const revive = () => {
      isDead = false;
    };
    await outlives(log, receiver, { requests, revive });
  });
}

test('a slow receiver gets every row once, one batch after the other', async (context) => {
  const { archive, root } = await loggedRows(context, folder(context), { requests: 40 });
  let under = 0;
  const { url, accepted } = await receiverOf(context, (request, response) => {
    assert.equal(++under, 1);
    setTimeout(() => {
      under--;
      accepted.push(request);
      response.writeHead(200).end();
    }, 30);
    return undefined;
  });
  const { run } = runOf(root, sinkTo(url, archive, { max_batch_rows: 4 }));
  await run.wake();
  assert.deepEqual(idsIn(accepted), ids(40));
  assert.equal(run.stats().sent, 40);
});

test('a receiver that fails half way gets the rest and not everything again', async (context) => {
  const { archive, root } = await loggedRows(context, folder(context), { requests: 20 });
  let asked = 0;
  const { url, accepted } = await receiverOf(context, () => (++asked % 2 === 0 ? 500 : 200));
  const { run, rests } = runOf(root, sinkTo(url, archive, { max_batch_rows: 5 }));
  await run.wake();
  while (run.stats().isFailing) {
    rests.at(-1)!.end();
    await run.wake();
  }
  assert.deepEqual(idsIn(accepted), ids(20));
  assert.deepEqual([run.stats().sent, run.stats().failures], [20, 3]);
});
