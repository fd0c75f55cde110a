/** The outbox on a clock that is moved by hand: when what is sent to whom, and what is left after a crash. */
import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { DeliveryResult } from '../src/triggers/courier.js';
import { bytesOf } from '../src/triggers/deliveries.js';
import { Outbox, type OutboxOptions } from '../src/triggers/outbox.js';
import { freshDirectory } from './system/server.js';
import { eventually } from './system/versions-fixture.js';
import { endpointOf, eventOf, HandClock } from './triggers-fixture.js';

interface Sent {
  readonly endpoint: string;
  readonly id: string;
  readonly atMs: number;
}

interface Bench {
  readonly clock: HandClock;
  readonly sent: Sent[];
  readonly results: DeliveryResult[];
  /** What receivers answer from now on; undefined = nothing at all. */
  answer: (sent: Sent) => number | undefined;
  open(change?: Partial<OutboxOptions>): Promise<Outbox>;
  readonly path: string;
}

type Context = Parameters<typeof freshDirectory>[0] & { after(work: () => Promise<void>): void };

function benchOf(context: Context): Bench {
  const clock = new HandClock();
  const path = join(freshDirectory(context), 'outbox', 'outbox.journal');
  /** Answers whose result is not on the disk yet. */
  let answered = 0;
  clock.isBusy = () => answered > 0;
  const bench: Bench = {
    clock,
    path,
    sent: [],
    results: [],
    answer: () => 204,
    open: async (change = {}) => {
      const { outbox } = await Outbox.open({
        path,
        endpoints: [endpointOf()],
        eventsMax: 1000,
        bytesMax: 1_000_000,
        post: (endpoint, headers, _, signal) => {
          const sent = { endpoint, id: headers['webhook-id']!, atMs: clock.now() };
          bench.sent.push(sent);
          const status = bench.answer(sent);
          if (status !== undefined) {
            answered++;
            return Promise.resolve(status);
          }
          return new Promise((_, reject) => {
            signal.addEventListener('abort', () => {
              // What the end of the server cuts off has no result.
              if (!String(signal.reason).includes('the server stops')) answered++;
              reject(signal.reason);
            });
          });
        },
        random: () => 0.5,
        now: clock.now,
        epochNow: clock.epochNow,
        after: clock.after,
        onResult: (result) => {
          bench.results.push(result);
          if (result !== 'refused') answered--;
        },
        ...change,
      });
      context.after(() => outbox.close().catch(() => {}));
      return outbox;
    },
  };
  return bench;
}

const ids = ({ sent }: Bench) => sent.map(({ id }) => id);

describe('an event', () => {
  it('is sent at once, once, to every endpoint that wants its type', async (context) => {
    const bench = benchOf(context);
    const outbox = await bench.open({
      endpoints: [
        endpointOf({ name: 'all' }),
        endpointOf({ name: 'drift', types: ['io.sluice.drift.detected'] }),
        endpointOf({ name: 'srm', types: ['io.sluice.experiment.srm'] }),
      ],
    });
    await outbox.raise(eventOf('e1'));
    await bench.clock.pass(0);
    assert.deepEqual(bench.sent.map(({ endpoint }) => endpoint).sort(), ['all', 'drift']);
    assert.deepEqual([...outbox.pending().values()], [0, 0, 0]);
    await bench.clock.pass(100 * 3_600_000);
    assert.equal(bench.sent.length, 2);
  });

  it('that cannot be delivered is tried again after 5 s, 5 min, 30 min, 2 h, 5 h and 10 h, and is dead then', async (context) => {
    const bench = benchOf(context);
    const outbox = await bench.open();
    bench.answer = () => 500;
    await outbox.raise(eventOf('e1'));
    await bench.clock.pass(24 * 3_600_000);
    const times = bench.sent.map(({ atMs }) => atMs);
    const waits = times.slice(1).map((atMs, index) => Math.round((atMs - times[index]!) / 1000));
    assert.deepEqual(waits, [5, 300, 1800, 7200, 18_000, 36_000]);
    assert.equal(new Set(ids(bench)).size, 1);
    assert.deepEqual(bench.results, [...Array(6).fill('failed'), 'dead']);
    assert.equal(outbox.shown().dead[0]?.error, 'it answers 500');
  });

  it('waits a tenth less or more, as chance has it', async (context) => {
    for (const [chance, atMs] of [
      [0, 4500],
      [0.999999, 5500],
    ] as const) {
      const bench = benchOf(context);
      const outbox = await bench.open({ random: () => chance });
      bench.answer = () => 503;
      await outbox.raise(eventOf('e1'));
      await bench.clock.pass(atMs - 2);
      assert.equal(bench.sent.length, 1);
      await bench.clock.pass(4);
      assert.equal(bench.sent.length, 2);
    }
  });

  it('is given up for this time when a receiver takes longer than 10 s', async (context) => {
    const bench = benchOf(context);
    const outbox = await bench.open();
    bench.answer = () => undefined;
    await outbox.raise(eventOf('e1'));
    await bench.clock.pass(9_999);
    assert.deepEqual(bench.results, []);
    await bench.clock.pass(1);
    assert.deepEqual(bench.results, ['failed']);
    assert.match(outbox.shown().pending[0]!.error, /no answer within 10 s/);
  });

  it('waits for those of its subject that were raised before, and not for others', async (context) => {
    const bench = benchOf(context);
    const outbox = await bench.open();
    bench.answer = ({ id }) => (id === 'a1' ? 500 : 204);
    await Promise.all([
      outbox.raise(eventOf('a1', 'a')),
      outbox.raise(eventOf('a2', 'a')),
      outbox.raise(eventOf('b1', 'b')),
      outbox.raise(eventOf('a3', 'a')),
    ]);
    await bench.clock.pass(1000);
    assert.deepEqual(ids(bench).sort(), ['a1', 'b1']);
    bench.answer = () => 204;
    await bench.clock.pass(5000);
    assert.deepEqual(ids(bench).slice(2), ['a1', 'a2', 'a3']);
  });

  it('is let past by a dead one, which is delivered when it is replayed', async (context) => {
    const bench = benchOf(context);
    const outbox = await bench.open();
    bench.answer = ({ id }) => (id === 'a1' ? 500 : 204);
    await outbox.raise(eventOf('a1', 'a'));
    await outbox.raise(eventOf('a2', 'a'));
    await bench.clock.pass(24 * 3_600_000);
    assert.equal(ids(bench).at(-1), 'a2');
    assert.equal(await outbox.replay({ id: 'nobody' }), 0);
    bench.answer = () => 200;
    assert.equal(await outbox.replay(), 1);
    await bench.clock.pass(0);
    assert.equal(ids(bench).at(-1), 'a1');
    assert.deepEqual(outbox.shown().dead, []);
  });

  it('of an id that waits already is not taken twice', async (context) => {
    const bench = benchOf(context);
    const outbox = await bench.open();
    bench.answer = () => 500;
    await outbox.raise(eventOf('e1'), 1);
    await outbox.raise(eventOf('e1'), 1);
    assert.equal(outbox.shown().pending.length, 1);
  });

  it('is sent to at most four at once of one endpoint', async (context) => {
    const bench = benchOf(context);
    const outbox = await bench.open();
    bench.answer = () => undefined;
    for (let n = 0; n < 9; n++) await outbox.raise(eventOf(`e${n}`, `s${n}`));
    await bench.clock.pass(0);
    assert.equal(bench.sent.length, 4);
  });

  it('is kept when the secret of its endpoint cannot be had', async (context) => {
    const bench = benchOf(context);
    let text = '';
    const outbox = await bench.open({ endpoints: [endpointOf({ secret: () => text })] });
    await outbox.raise(eventOf('e1'));
    await eventually(() => assert.match(outbox.shown().pending[0]!.error, /expected 1 to 4 secrets/));
    assert.deepEqual(bench.sent, []);
    text = `whsec_${Buffer.alloc(24).toString('base64')}`;
    await bench.clock.pass(6000);
    assert.deepEqual(ids(bench), ['e1']);
  });
});

describe('an endpoint that answers 410', () => {
  it('is asked no more, over a restart too, until it has another address or is replayed', async (context) => {
    const bench = benchOf(context);
    let outbox = await bench.open();
    bench.answer = () => 410;
    await outbox.raise(eventOf('e1', 'a'));
    await outbox.raise(eventOf('e2', 'a'));
    await bench.clock.pass(100_000);
    assert.deepEqual(ids(bench), ['e1']);
    assert.deepEqual(outbox.shown().disabled, ['ops']);
    assert.deepEqual(
      outbox.shown().dead.map(({ id }) => id),
      ['e1', 'e2'],
    );
    await outbox.close();
    outbox = await bench.open();
    await outbox.raise(eventOf('e3', 'a'));
    await bench.clock.pass(100_000);
    assert.deepEqual(ids(bench), ['e1']);
    bench.answer = () => 204;
    assert.equal(await outbox.replay({ endpoint: 'ops' }), 2);
    await bench.clock.pass(0);
    assert.deepEqual(ids(bench), ['e1', 'e1', 'e2']);
    assert.deepEqual(outbox.shown().disabled, []);
  });

  it('is asked again under another address', async (context) => {
    const bench = benchOf(context);
    let outbox = await bench.open();
    bench.answer = () => 410;
    await outbox.raise(eventOf('e1'));
    await bench.clock.pass(0);
    await outbox.close();
    bench.answer = () => 204;
    outbox = await bench.open({ endpoints: [endpointOf({ place: 'p2' })] });
    await outbox.raise(eventOf('e2'));
    await bench.clock.pass(0);
    assert.deepEqual(ids(bench), ['e1', 'e2']);
  });
});

describe('after a restart', () => {
  it('what was pending goes on where it was: the same id, its tries counted, its wait not begun anew', async (context) => {
    const bench = benchOf(context);
    let outbox = await bench.open();
    bench.answer = () => 500;
    await outbox.raise(eventOf('e1'));
    await bench.clock.pass(5000 + 100_000);
    assert.equal(bench.sent.length, 2);
    await outbox.close();
    outbox = await bench.open();
    await bench.clock.pass(199_000);
    assert.equal(bench.sent.length, 2);
    assert.equal(outbox.shown().pending[0]!.tries, 2);
    await bench.clock.pass(1100);
    assert.equal(bench.sent.length, 3);
    assert.equal(new Set(ids(bench)).size, 1);
  });

  it('nothing waits longer than its last wait, although the clock was set back by a day', async (context) => {
    const bench = benchOf(context);
    const outbox = await bench.open();
    bench.answer = () => 500;
    await outbox.raise(eventOf('e1'));
    await bench.clock.pass(100);
    await outbox.close();
    await bench.open({ epochNow: () => bench.clock.epochNow() - 24 * 3_600_000 });
    await bench.clock.pass(11 * 3_600_000 + 1);
    assert.ok(bench.sent.length > 1);
  });

  it('a delivery that was given up because the server stopped is made again', async (context) => {
    const bench = benchOf(context);
    const outbox = await bench.open();
    bench.answer = () => undefined;
    await outbox.raise(eventOf('e1'));
    await bench.clock.pass(0);
    await outbox.close();
    assert.deepEqual(bench.results, []);
    bench.answer = () => 204;
    await bench.open();
    await bench.clock.pass(0);
    assert.deepEqual(ids(bench), ['e1', 'e1']);
  });

  it('what was for an endpoint that is no longer configured is dead and says so', async (context) => {
    const bench = benchOf(context);
    let outbox = await bench.open();
    bench.answer = () => 500;
    await outbox.raise(eventOf('e1'));
    await bench.clock.pass(0);
    await outbox.close();
    outbox = await bench.open({ endpoints: [endpointOf({ name: 'other' })] });
    assert.match(outbox.shown().dead[0]!.error, /no such endpoint/);
    assert.equal(await outbox.replay(), 0);
  });

  it('the place in the audit log is known', async (context) => {
    const bench = benchOf(context);
    let outbox = await bench.open();
    assert.equal(outbox.auditSeq, undefined);
    await outbox.raise(eventOf('e1'), 7);
    await outbox.raise(eventOf('e2', 'a', 'io.sluice.registry.stale'), 9);
    await outbox.close();
    outbox = await bench.open({ endpoints: [] });
    assert.equal(outbox.auditSeq, 9);
    await outbox.raise(eventOf('e3'), 12);
    assert.equal(outbox.auditSeq, 12, 'also when nobody wants the event');
  });
});

describe('the file', () => {
  it('torn at any byte gives every event that came before, and goes on', async (context) => {
    const bench = benchOf(context);
    let outbox = await bench.open();
    bench.answer = () => 500;
    const sizes: number[] = [];
    for (const id of ['e1', 'e2', 'e3']) {
      await outbox.raise(eventOf(id, id));
      await bench.clock.pass(0);
      sizes.push(statSync(bench.path).size);
    }
    await outbox.close();
    const whole = readFileSync(bench.path);
    for (let cut = sizes[1]! + 1; cut < whole.length; cut += 7) {
      writeFileSync(bench.path, whole.subarray(0, cut));
      const torn = await bench.open({ endpoints: [endpointOf({ types: ['io.sluice.registry.stale'] })] });
      assert.deepEqual(
        torn
          .shown()
          .pending.map(({ id }) => id)
          .slice(0, 2),
        ['e1', 'e2'],
      );
      await torn.raise(eventOf('e4', 'e4', 'io.sluice.registry.stale'));
      await torn.close();
      assert.equal(readFileSync(bench.path).at(-1), 10);
    }
    outbox = await bench.open();
    assert.ok(outbox.shown().pending.some(({ id }) => id === 'e4'));
  });

  it('says how much a crash has cost, and passes over what is broken in the middle', async (context) => {
    const bench = benchOf(context);
    const outbox = await bench.open();
    bench.answer = () => 500;
    await outbox.raise(eventOf('e1', 'a'));
    await outbox.raise(eventOf('e2', 'b'));
    await outbox.close();
    const text = readFileSync(bench.path, 'utf8');
    writeFileSync(bench.path, `${text.replace('"e1"', '"eX"')}half a li`);
    const opened = await Outbox.open({
      path: bench.path,
      endpoints: [endpointOf()],
      eventsMax: 10,
      bytesMax: 100_000,
      post: async () => 500,
      random: () => 0.5,
      now: bench.clock.now,
      epochNow: bench.clock.epochNow,
      after: bench.clock.after,
      onResult: () => {},
    });
    assert.ok(opened.lostBytes > 'half a li'.length);
    assert.deepEqual(
      opened.outbox.shown().pending.map(({ id }) => id),
      ['e2'],
    );
    await opened.outbox.close();
  });

  it('does not grow for ever', async (context) => {
    const bench = benchOf(context);
    const outbox = await bench.open();
    const event = { ...eventOf('x'), data: { text: 'y'.repeat(100_000) } };
    for (let n = 0; n < 120; n++) {
      await outbox.raise({ ...event, id: `e${n}` });
    }
    await bench.clock.pass(0);
    assert.equal(bench.sent.length, 120);
    assert.ok(statSync(bench.path).size < 9_000_000, `${statSync(bench.path).size} bytes`);
    await outbox.close();
    const again = await bench.open();
    assert.deepEqual(again.shown().pending, []);
  });

  it('changed by somebody else is written no more, and what could not be written was not raised', async (context) => {
    const bench = benchOf(context);
    const outbox = await bench.open();
    appendFileSync(bench.path, 'mine\n');
    await assert.rejects(outbox.raise(eventOf('e1')), /changed by somebody else/);
    await bench.clock.pass(0);
    assert.deepEqual(ids(bench), []);
    truncateSync(bench.path, 0);
    await outbox.raise(eventOf('e2'));
    await bench.clock.pass(0);
    assert.deepEqual(ids(bench), ['e2']);
  });
});

describe('a full outbox', () => {
  it('refuses one more and says so, and takes it when there is room', async (context) => {
    const bench = benchOf(context);
    const outbox = await bench.open({ eventsMax: 2 });
    bench.answer = () => 500;
    await outbox.raise(eventOf('e1', 'a'));
    await outbox.raise(eventOf('e2', 'a'));
    await assert.rejects(outbox.raise(eventOf('e3', 'a')), { code: 'RESOURCE_EXHAUSTED' });
    assert.ok(bench.results.includes('refused'));
    bench.answer = () => 204;
    await bench.clock.pass(6000);
    await outbox.raise(eventOf('e3', 'a'));
  });

  it('refuses by size, those that are being written counted, and one that is too large for any', async (context) => {
    const bench = benchOf(context);
    bench.answer = () => 500;
    const outbox = await bench.open({ bytesMax: 2.5 * bytesOf(eventOf('e1')) });
    const raised = await Promise.allSettled(['e1', 'e2', 'e3', 'e4'].map((id) => outbox.raise(eventOf(id))));
    assert.deepEqual(
      raised.map(({ status }) => status),
      ['fulfilled', 'fulfilled', 'rejected', 'rejected'],
    );
    const large = { ...eventOf('e5'), data: { text: 'x'.repeat(300_000) } };
    const roomy = await benchOf(context).open();
    await assert.rejects(roomy.raise(large), /at most 262144/);
  });

  it('lets the oldest dead letters go before it refuses', async (context) => {
    const bench = benchOf(context);
    const outbox = await bench.open({ eventsMax: 2 });
    bench.answer = () => 500;
    await outbox.raise(eventOf('e1', 'a'));
    await outbox.raise(eventOf('e2', 'b'));
    await bench.clock.pass(24 * 3_600_000);
    assert.equal(outbox.shown().dead.length, 2);
    await Promise.all([outbox.raise(eventOf('e3', 'c')), outbox.raise(eventOf('e4', 'd'))]);
    assert.deepEqual(outbox.shown().dead, []);
    await assert.rejects(outbox.raise(eventOf('e5', 'e')), /finds no room/);
  });
});
