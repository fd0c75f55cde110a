import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type RunContext, runBench } from '../bench/bench.js';
import { gapsOf, seededRandom } from '../bench/chance.js';
import { closedCallers, closedHttp } from '../bench/closed.js';
import { HttpCaller, requestBytes } from '../bench/http-caller.js';
import { Meter } from '../bench/meter.js';
import { openLoad } from '../bench/open.js';
import { parseOptions } from '../bench/options.js';
import type { Row } from '../bench/row.js';
import { startTinyServer, type TinyServer } from './bench-server.js';

const now = () => performance.now();
const payloads = [{ body: Buffer.from('{"inputs":[]}'), headers: { 'content-type': 'application/json' } }];

function callTo({ url }: TinyServer) {
  return { url, path: '/v2/models/tiny/infer', headers: {} };
}

function callersTo(server: TinyServer) {
  const bytes = requestBytes(payloads, callTo(server));
  return (events: ConstructorParameters<typeof HttpCaller>[2]) => new HttpCaller(server.url, bytes, events);
}

function contextOf(signal = new AbortController().signal, rowDone: (row: Row) => void = () => {}): RunContext {
  return { now, startedAt: 0, signal, progress: () => {}, rowDone };
}

async function waitUntil(isTrue: () => boolean): Promise<void> {
  for (const giveUpAt = now() + 20_000; !isTrue(); await sleep(5)) assert.ok(now() < giveUpAt, 'waited in vain');
}

test('an open loop shows a stall of one second in every request that was due within it, a closed loop hides it', async (context) => {
  const server = await startTinyServer(context);
  const meter = new Meter(now());
  const rate = 200;
  const open = openLoad(callersTo(server), 1, {
    connections: 512,
    gapMs: gapsOf('constant', rate, seededRandom(1)),
    timeoutMs: 10_000,
    meter,
    now,
  });
  await waitUntil(() => meter.answers > 50);
  server.stall(1000);
  const before = meter.answers;
  await waitUntil(() => meter.answers > before + rate * 1.5);
  await open.stop();
  const slow = meter.turn(now()).latency.countAbove(100_000);
  // 0.9 s of requests waited longer than 0.1 s.
  assert.ok(slow >= 0.85 * 0.9 * rate, `${slow} requests of about ${0.9 * rate}`);

  const closedMeter = new Meter(now());
  const closed = closedCallers(callersTo(server), 1, { connections: 1, timeoutMs: 10_000, meter: closedMeter, now });
  await waitUntil(() => closedMeter.answers > 50);
  server.stall(1000);
  const earlier = closedMeter.answers;
  await waitUntil(() => closedMeter.answers > earlier + 50);
  await closed.stop();
  const { latency } = closedMeter.turn(now());
  assert.ok(latency.maxUs > 900_000);
  assert.ok(latency.countAbove(900_000) <= 2);
});

test('an open loop with one connection counts the wait for it', async (context) => {
  const server = await startTinyServer(context);
  const meter = new Meter(now());
  const open = openLoad(callersTo(server), 1, {
    connections: 1,
    gapMs: gapsOf('constant', 200, seededRandom(1)),
    timeoutMs: 10_000,
    meter,
    now,
  });
  await waitUntil(() => meter.answers > 20);
  server.stall(500);
  const before = meter.answers;
  await waitUntil(() => meter.answers > before + 100);
  await open.stop();
  const { latency, lag } = meter.turn(now());
  assert.ok(latency.countAbove(100_000) >= 60, `${latency.countAbove(100_000)}`);
  assert.ok(lag.maxUs > 300_000);
});

test('requests that were due and never answered are errors, not omitted', async (context) => {
  const server = await startTinyServer(context);
  const meter = new Meter(now());
  const open = openLoad(callersTo(server), 1, {
    connections: 4,
    gapMs: gapsOf('constant', 200, seededRandom(1)),
    timeoutMs: 300,
    meter,
    now,
  });
  await waitUntil(() => meter.answers > 20);
  server.stall(60_000);
  await waitUntil(() => meter.lost >= 4);
  await open.stop();
  const { errors } = meter.turn(now());
  assert.ok((errors.get('timeout') ?? 0) >= 4);
  assert.ok((errors.get('unanswered') ?? 0) >= 20, String(errors.get('unanswered')));
});

test('the closed loop counts refusals by code and keeps them out of the latencies', async (context) => {
  const server = await startTinyServer(context);
  server.refuse(4, 429);
  const meter = new Meter(now());
  const load = closedHttp(payloads, callTo(server), { connections: 4, timeoutMs: 5000, meter, now });
  await waitUntil(() => meter.heard >= 400);
  await load.stop();
  const { latency, refusal, errors } = meter.turn(now());
  assert.equal(errors.get('429'), refusal.count);
  const share = refusal.count / (latency.count + refusal.count);
  assert.ok(share > 0.24 && share < 0.26, String(share));
});

test('a run gives a row for each number of connections, with the latencies of a server that answers', async (context) => {
  const server = await startTinyServer(context);
  const options = parseOptions(server.url, { model: 'tiny', connections: '1,4', duration: '0.6', warmup: '0.1' });
  const run = await runBench(options, contextOf());
  assert.deepEqual(
    run.rows.map(({ load }) => load),
    [1, 4],
  );
  assert.equal(run.cutShort, '');
  for (const { status, figures, windows, errorCount } of run.rows) {
    // The machine may be busy: then there is no number, but never a number of zero.
    assert.ok(status === 'steady' || status === 'unstable', status);
    assert.equal(figures !== undefined, status === 'steady');
    assert.ok(windows.length >= 3 && windows.every(({ rps }) => rps > 0));
    if (figures !== undefined) assert.ok(figures.p50Us > 0 && figures.p99Us >= figures.p50Us);
    assert.equal(errorCount, 0);
  }
});

for (const extra of [{}, { rate: '500' }]) {
  const mode = 'rate' in extra ? 'open' : 'closed';
  test(`a server that stops in the middle of a run in ${mode} mode ends it with a partial row`, async (context) => {
    const server = await startTinyServer(context);
    const options = parseOptions(server.url, { model: 'tiny', duration: '600', warmup: '0', ...extra });
    const running = runBench(options, contextOf());
    await waitUntil(() => server.asked() > 100);
    server.stop();
    const { rows, cutShort } = await running;
    assert.match(cutShort, /^the server stopped answering; nothing came for \d/);
    assert.equal(rows.length, 1);
    assert.equal(rows[0]!.status, 'partial');
    assert.ok(rows[0]!.figures!.rps > 0);
    assert.ok(rows[0]!.errorCount > 0);
  });
}

test('an interrupted run gives the rows that were done and the part of the one that was not', async (context) => {
  const server = await startTinyServer(context);
  const interrupt = new AbortController();
  const options = parseOptions(server.url, { model: 'tiny', connections: '2,4', duration: '600', warmup: '0' });
  const running = runBench(options, contextOf(interrupt.signal));
  await waitUntil(() => server.asked() > 100);
  interrupt.abort();
  const { rows, cutShort } = await running;
  assert.equal(cutShort, 'interrupted');
  assert.deepEqual(
    rows.map(({ load, status }) => [load, status]),
    [[2, 'partial']],
  );
});

test('a server that refuses everything once load begins gives a failed row without figures', async (context) => {
  const server = await startTinyServer(context);
  const options = parseOptions(server.url, { model: 'tiny', connections: '2', duration: '0.3', warmup: '0' });
  const running = runBench(options, contextOf());
  // The trial request succeeds, nothing after it.
  await waitUntil(() => server.asked() >= 1);
  server.refuse(1, 503);
  const { rows } = await running;
  assert.ok(rows[0]!.errors['503']! > 0);
  assert.notEqual(rows[0]!.status, 'steady');
  assert.equal(rows[0]!.figures, undefined);
});

test('an unknown model and a server that is not there are one-line errors', async (context) => {
  const server = await startTinyServer(context);
  await assert.rejects(runBench(parseOptions(server.url, { model: 'nope' }), contextOf()), {
    exitCode: 1,
    message: 'the server answered 404: Request for unknown model is not found',
  });
  server.stop();
  await assert.rejects(runBench(parseOptions(server.url, { model: 'tiny' }), contextOf()), {
    exitCode: 1,
    message: /^the server did not answer at http:\/\/127\.0\.0\.1:\d+: nothing listens there/,
  });
});

test('a model that refuses the trial request is not put under load', async (context) => {
  const server = await startTinyServer(context);
  server.refuse(1, 400);
  await assert.rejects(runBench(parseOptions(server.url, { model: 'tiny' }), contextOf()), {
    exitCode: 1,
    message: 'the server refused a trial request: 400 too much',
  });
  assert.equal(server.asked(), 1);
});
