/** Questions to several processes: when everybody has answered, and what becomes of those who never will. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { invalid } from '../src/core/errors.js';
import { Restarts } from '../src/supervisor/restarts.js';
import { RollCall } from '../src/supervisor/roll-call.js';

/** Whether a promise is not settled after a turn of the event loop. */
async function isOpen(promise: Promise<void>): Promise<boolean> {
  let isSettled = false;
  promise.finally(() => {
    isSettled = true;
  });
  await new Promise(setImmediate);
  return !isSettled;
}

test('a question is settled when the last member has answered', async () => {
  const call = new RollCall<string>();
  const asked = call.wait('open m@1', ['a', 'b']);
  call.answered('a', 'open m@1');
  call.answered('a', 'open m@1');
  call.answered('b', 'drain m@1');
  assert.equal(await isOpen(asked), true);
  call.answered('b', 'open m@1');
  await asked;
});

test('a question to nobody is settled at once', async () => {
  await new RollCall<string>().wait('route 1', []);
});

test('the first error settles a question, and later answers change nothing', async () => {
  const call = new RollCall<string>();
  const asked = call.wait('open m@1', ['a', 'b']);
  call.answered('b', 'open m@1', invalid('no such file'));
  call.answered('a', 'open m@1');
  await assert.rejects(asked, /no such file/);
});

test('a member that is gone is waited for in no question', async () => {
  const call = new RollCall<string>();
  const both = call.wait('route 1', ['a', 'b']);
  const alone = call.wait('pong', ['a']);
  call.gone('a');
  await alone;
  assert.equal(await isOpen(both), true);
  call.gone('b');
  await both;
});

test('the same asked again settles the earlier question with the later one', async () => {
  const call = new RollCall<string>();
  const [earlier, later] = [call.wait('pong', ['a', 'b']), call.wait('pong', ['b'])];
  call.answered('a', 'pong');
  assert.equal(await isOpen(earlier), true);
  call.answered('b', 'pong');
  await Promise.all([earlier, later]);
});

test('a process that fails is started again at once, then later each time, up to half a minute', () => {
  const restarts = new Restarts(() => 0.5);
  const delays = Array.from({ length: 10 }, () => restarts.delayMs(1, 1000));
  assert.deepEqual(delays, [0, 250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  assert.equal(restarts.delayMs(2, 1000), 0);
  assert.equal(restarts.delayMs(1, 60_001), 0);
  assert.equal(restarts.delayMs(1, 60_000), 250);
});

test('delays differ by a fifth either way, so that processes do not start together', () => {
  const [least, most] = [new Restarts(() => 0), new Restarts(() => 1)];
  for (const restarts of [least, most]) restarts.delayMs(1, 0);
  assert.deepEqual([least.delayMs(1, 0), Math.round(most.delayMs(1, 0))], [200, 300]);
});
