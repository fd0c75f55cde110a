/** How a source is asked: with jitter, later after failures, at once when told, and one question at a time. */
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { GatewayError } from '../src/core/errors.js';
import { Poller, type PollerOptions, type SourceHealth } from '../src/registry/poller.js';
import { Refusal } from '../src/registry/refusal.js';
import type { Listing, Source } from '../src/registry/source.js';

const nothing: Listing = { models: [], ignored: [] };
const down = new GatewayError('UNAVAILABLE', 'connection refused');

type Answer = Listing | undefined | Error;

/** A poller on a clock of the test. `answers` are taken in order, then there is nothing new. */
function pollerOf(context: { after(work: () => void): void }, answers: Answer[], change: Partial<PollerOptions> = {}) {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 });
  context.after(() => mock.timers.reset());
  const asked: number[] = [];
  const health: SourceHealth[] = [];
  const listings: Listing[] = [];
  const polls: string[] = [];
  const refusals: string[] = [];
  const source = {
    name: 'main',
    type: 'http',
    list: async () => {
      asked.push(Date.now() - 1_000_000);
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      return answer;
    },
    close: async () => {},
  } as unknown as Source;
  const poller = new Poller({
    source,
    intervalMs: 5000,
    listTimeoutMs: 1000,
    onListing: (listing) => void listings.push(listing),
    onHealth: (state) => void health.push(state),
    onRefusal: ({ kind }) => void refusals.push(kind),
    onPoll: (result) => void polls.push(result),
    epochNow: Date.now,
    cpuMs: () => 0,
    random: () => 0.5,
    ...change,
  });
  return { poller, asked, health, listings, polls, refusals };
}

/** Lets the clock go on, and what it sets off finish. */
async function pass(ms: number): Promise<void> {
  for (let at = 0; at < ms; at += 100) {
    mock.timers.tick(100);
    await settled();
  }
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test('a source is asked again and again, and what has not changed is not told twice', async (context) => {
  const { poller, asked, listings, polls } = pollerOf(context, [nothing]);
  await poller.start();
  await pass(10_000);
  assert.deepEqual(asked, [0, 5000, 10_000]);
  assert.equal(listings.length, 1);
  assert.deepEqual(polls, ['changed', 'same', 'same']);
});

test('the pause between two questions varies by a fifth', async (context) => {
  const shares = [0, 1];
  const { poller, asked } = pollerOf(context, [], { random: () => shares.shift() ?? 0.5 });
  await poller.start();
  await pass(10_000);
  assert.deepEqual(asked, [0, 4000, 10_000]);
});

test('a source that is down is asked later each time, and that it is down is said once', async (context) => {
  const { poller, asked, health } = pollerOf(context, [down, down, down, nothing]);
  await poller.start();
  await pass(71_000);
  assert.deepEqual(asked, [0, 10_000, 30_000, 70_000]);
  assert.deepEqual(
    health.map(({ isUp, reason }) => ({ isUp, reason })),
    [
      { isUp: false, reason: 'connection refused' },
      { isUp: true, reason: '' },
    ],
  );
});

test('a listing that must not be believed is told once as long as it is the same', async (context) => {
  const replayed = () => new Refusal('downgrade', 'serial 1 is lower than 3');
  const { poller, refusals, health } = pollerOf(context, [nothing, replayed(), replayed(), down, replayed()]);
  await poller.start();
  await pass(80_000);
  assert.deepEqual(refusals, ['downgrade', 'downgrade']);
  assert.equal(health.length, 1);
});

test('a source that nobody waits for any longer counts as down until its first answer', async (context) => {
  let answer: (listing: Listing) => void = () => {};
  const { poller, health } = pollerOf(context, [], {
    source: {
      name: 'main',
      type: 'http',
      list: () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
      close: async () => {},
    } as unknown as Source,
  });
  const started = poller.start();
  poller.late();
  assert.deepEqual([poller.health.isUp, poller.health.reason], [false, 'it has not answered yet']);
  answer(nothing);
  await started;
  assert.deepEqual(
    health.map(({ isUp }) => isUp),
    [false, true],
  );
  poller.late();
  assert.equal(poller.health.isUp, true, 'once it has answered it is not late');
});

test('while it is down, its last success stays what it was', async (context) => {
  const { poller } = pollerOf(context, [nothing, down]);
  await poller.start();
  await pass(6000);
  const { isUp, lastSuccessAt } = poller.health;
  assert.deepEqual({ isUp, lastSuccessAt }, { isUp: false, lastSuccessAt: 1_000_000 });
});

test('a source that never answers is down after the time limit', async (context) => {
  const { poller, health } = pollerOf(context, [], {
    listTimeoutMs: 20,
    source: {
      name: 'main',
      type: 'http',
      list: (signal: AbortSignal) => new Promise((_, reject) => signal.addEventListener('abort', reject)),
      close: async () => {},
    } as unknown as Source,
  });
  mock.timers.reset();
  // The limit's own timer keeps no process alive.
  const alive = setInterval(() => {}, 1000);
  await poller.start();
  clearInterval(alive);
  await poller.close();
  assert.match(health[0]!.reason, /did not answer within 20 ms/);
});

test('a hint has it asked at once, and not more than once a second', async (context) => {
  const { poller, asked } = pollerOf(context, []);
  await poller.start();
  await pass(2000);
  poller.hint();
  await pass(100);
  const first = asked[1]!;
  assert.ok(first >= 2000 && first <= 2100, `${asked}`);
  poller.hint();
  await pass(2000);
  assert.deepEqual(asked, [0, first, first + 1000]);
});

test('hints without an end do not put off what they ask for', async (context) => {
  const { poller, asked } = pollerOf(context, []);
  await poller.start();
  for (let hint = 0; hint < 30; hint++) {
    poller.hint();
    await pass(100);
  }
  assert.deepEqual(asked, [0, 1000, 2000, 3000]);
});

test('hints are kept to once a second when the clock goes back an hour', async (context) => {
  let hour = 0;
  const { poller, asked } = pollerOf(context, [], { epochNow: () => Date.now() - hour });
  await poller.start();
  hour = 3_600_000;
  poller.hint();
  await pass(1100);
  assert.deepEqual(asked, [0, 1000]);
});

test('who asks for now while a question is under way gets an answer to a later one', async (context) => {
  const answers: ((listing: Listing | undefined) => void)[] = [];
  const { poller } = pollerOf(context, [], {
    source: {
      name: 'main',
      type: 'http',
      list: () => new Promise((resolve) => answers.push(resolve)),
      close: async () => {},
    } as unknown as Source,
  });
  const started = poller.start();
  let isAnswered = false;
  const asked = Promise.all([poller.now(), poller.now()]).then(() => {
    isAnswered = true;
  });
  answers[0]!(nothing);
  await started;
  await settled();
  assert.equal(isAnswered, false);
  assert.equal(answers.length, 2, 'and both the same one');
  answers[1]!(undefined);
  await asked;
});

test('who asks for now hears why it could not be asked', async (context) => {
  const { poller } = pollerOf(context, [down]);
  await assert.rejects(poller.now(), {
    code: 'UNAVAILABLE',
    message: "source 'main' could not be asked: connection refused",
  });
});

test('after five failures in a row it rests: asked by its back-off alone, once in each pause', async (context) => {
  const { poller, asked } = pollerOf(
    context,
    Array.from({ length: 7 }, () => down),
  );
  await poller.start();
  await pass(5000 * (2 + 4 + 8 + 16));
  assert.equal(asked.length, 5);
  poller.hint();
  await assert.rejects(poller.now(), {
    code: 'UNAVAILABLE',
    message: /^source 'main' failed 5 times in a row and is asked again in 1\d\d s: connection refused$/,
  });
  assert.throws(() => poller.checkAwake(), { code: 'UNAVAILABLE' });
  await pass(5000 * 32 - 1000);
  assert.equal(asked.length, 5, 'nobody but the back-off has it asked');
  await pass(1000);
  assert.equal(asked.length, 6);
  assert.throws(() => poller.checkAwake(), /failed 6 times/);
  poller.wake();
  await pass(1000);
  assert.equal(asked.length, 7, 'an operator has');
  poller.wake();
  await pass(1000);
  poller.checkAwake();
  assert.equal(poller.health.isUp, true);
  poller.hint();
  await pass(1000);
  assert.equal(asked.length, 9, 'the first answer ends it');
});

for (const [what, change, type] of [
  ['a folder', {}, 'directory'],
  ['what is asked only when told', { intervalMs: 0 }, 'http'],
] as const) {
  test(`${what} never rests`, async (context) => {
    const list = () => Promise.reject(down);
    const source = { name: 'main', type, list, close: async () => {} } as unknown as Source;
    const { poller } = pollerOf(context, [], { ...change, source });
    for (let time = 0; time < 6; time++) await assert.rejects(poller.now(), /could not be asked/);
    poller.checkAwake();
    await poller.close();
  });
}

test('with an interval of 0 it is asked when told, and only then', async (context) => {
  const { poller, asked } = pollerOf(context, [], { intervalMs: 0 });
  await poller.start();
  await pass(20_000);
  await poller.now();
  assert.deepEqual(asked, [0, 20_000]);
});

test('a folder that takes long to list is listed so much less often', async (context) => {
  let usedMs = 0;
  const used = [200, 200, 10, 200];
  const { poller, asked } = pollerOf(context, [], {
    cpuMs: () => usedMs,
    source: {
      name: 'main',
      type: 'directory',
      list: async () => {
        asked.push(Date.now() - 1_000_000);
        usedMs += used.shift() ?? 10;
      },
      close: async () => {},
    } as unknown as Source,
  });
  await poller.start();
  await pass(36_000);
  // Work is counted when it was there twice: once it may have been somebody else's.
  assert.deepEqual(asked, [0, 5000, 25_000, 30_000, 35_000]);
});

test('however long it takes, a folder is listed again after ten intervals', async (context) => {
  let usedMs = 0;
  const { poller, asked } = pollerOf(context, [], {
    cpuMs: () => usedMs,
    source: {
      name: 'main',
      type: 'directory',
      list: async () => {
        asked.push(Date.now() - 1_000_000);
        usedMs += 60_000;
      },
      close: async () => {},
    } as unknown as Source,
  });
  await poller.start();
  await pass(60_000);
  assert.deepEqual(asked, [0, 5000, 55_000]);
});

test('after close nothing is asked any more', async (context) => {
  const { poller, asked } = pollerOf(context, []);
  await poller.start();
  await poller.close();
  poller.hint();
  await poller.now();
  await pass(20_000);
  assert.deepEqual(asked, [0]);
});
