/** When a shadow that fails is left alone, and for how long. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Breaker } from '../src/shadow/breaker.js';

function feed(breaker: Breaker, results: number, failures: number, now: number): void {
  for (let i = 0; i < results; i++) breaker.add(breaker.start(now), i < failures, now);
}

test('nineteen failures do not open it, the twentieth result does', () => {
  const breaker = new Breaker();
  feed(breaker, 19, 19, 0);
  assert.equal(breaker.isClosed, true);
  feed(breaker, 1, 1, 0);
  assert.equal(breaker.isClosed, false);
  assert.equal(breaker.start(4999), 'refused');
});

test('half of the results are enough, less than half is not', () => {
  const half = new Breaker();
  for (let i = 0; i < 20; i++) half.add(half.start(0), i % 2 === 1, 0);
  assert.equal(half.isClosed, false);
  const less = new Breaker();
  for (let i = 0; i < 60; i++) less.add(less.start(0), i % 3 === 2, 0);
  assert.equal(less.isClosed, true);
});

test('what is more than ten seconds ago does not count', () => {
  const breaker = new Breaker();
  feed(breaker, 19, 19, 500);
  feed(breaker, 1, 1, 10_500);
  assert.equal(breaker.isClosed, true);
  feed(breaker, 18, 18, 11_000);
  assert.equal(breaker.isClosed, true);
  feed(breaker, 1, 1, 12_000);
  assert.equal(breaker.isClosed, false);
});

test('a clock that starts anywhere, and a long silence, change nothing', () => {
  const breaker = new Breaker();
  feed(breaker, 19, 19, 7_654_321);
  feed(breaker, 19, 19, 99_000_000);
  assert.equal(breaker.isClosed, true);
  feed(breaker, 1, 1, 99_000_000);
  assert.equal(breaker.isClosed, false);
});

test('each failed probe doubles the time up to a minute, and a good one ends it', () => {
  const breaker = new Breaker();
  feed(breaker, 20, 20, 0);
  let now = 0;
  for (const openMs of [5000, 10_000, 20_000, 40_000, 60_000, 60_000]) {
    assert.equal(breaker.start(now + openMs - 1), 'refused');
    now += openMs;
    const probe = breaker.start(now);
    assert.equal(probe, 'probe');
    assert.equal(breaker.start(now), 'refused', 'one probe only');
    breaker.add(probe, true, now);
  }
  now += 60_000;
  breaker.add(breaker.start(now), false, now);
  assert.equal(breaker.start(now), 'normal');
  feed(breaker, 20, 20, now);
  assert.equal(breaker.start(now + 5000), 'probe', 'the next time begins with five seconds again');
});

test('results of requests that began before it opened do not decide for the probe', () => {
  const breaker = new Breaker();
  const early = breaker.start(0);
  feed(breaker, 20, 20, 0);
  const probe = breaker.start(5000);
  breaker.add(early, false, 5001);
  assert.equal(breaker.isClosed, false);
  breaker.add(probe, false, 5002);
  assert.equal(breaker.isClosed, true);
});
