/** Tenants: what each may use, and how they share a queue. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../src/core/errors.js';
import type { CallTerms, InferenceRequest } from '../src/core/inference.js';
import { Turns, type Waiter } from '../src/engine/turns.js';
import { Quotas } from '../src/routing/quotas.js';
import { replyOf, requestOf, scores } from './shadow-fixture.js';

const clock = { at: 0 };
const unlimited = { msPerS: 0, burstMs: 1000 };

function quotasOf(tenants: Readonly<Record<string, number>>, { others = unlimited, othersMax = 2 } = {}) {
  clock.at = 0;
  const quotas = new Quotas({
    places: [{ source: 'header', name: 'x-tenant' }],
    tenants: new Map(Object.entries(tenants).map(([name, msPerS]) => [name, { msPerS, burstMs: 2 * msPerS }])),
    others,
    othersMax,
    now: () => clock.at,
  });
  const ran: string[] = [];
  let inferMs = 10;
  let batchRows = 1;
  const run = quotas.limited(async (request: InferenceRequest) => {
    ran.push(request.tenant ?? '');
    if (inferMs < 0) throw new GatewayError('INTERNAL', 'broken');
    return { ...replyOf('1', [scores(1)]), timing: { queueMs: 0, inputMs: 0, inferMs, outputMs: 0, batchRows } };
  });
  const ask = (tenant: string, rows = 1) => run(requestOf('r', { tenant, rows }));
  const cost = (ms: number, rows = 1) => {
    inferMs = ms;
    batchRows = rows;
  };
  return { quotas, ask, cost, ran };
}

test('a tenant that has used what it saved is refused by name until it has earned more', async () => {
  const { ask, cost } = quotasOf({ acme: 100 });
  cost(50);
  for (let at = 0; at < 4; at++) await ask('acme');
  await assert.rejects(ask('acme'), (error: GatewayError) => {
    assert.deepEqual([error.code, error.reason], ['RESOURCE_EXHAUSTED', 'quota']);
    assert.match(error.message, /^tenant 'acme' has used its quota of 100 ms of model time a second$/);
    assert.ok(error.retryAfterMs! > 0 && error.retryAfterMs! <= 1000, String(error.retryAfterMs));
    return true;
  });
  await ask('other');
  clock.at += 600;
  await ask('acme');
  await ask('acme');
  await assert.rejects(ask('acme'), { code: 'RESOURCE_EXHAUSTED' });
  clock.at += 1e9;
  for (let at = 0; at < 4; at++) await ask('acme');
  await assert.rejects(ask('acme'), { code: 'RESOURCE_EXHAUSTED' }, 'no more than the burst is saved up');
});

test('requests under way count by what is usual, so that many at once do not slip through', async () => {
  const { ask, cost } = quotasOf({ acme: 100 });
  cost(20);
  for (let at = 0; at < 30; at++) {
    clock.at += 1000;
    await ask('acme');
  }
  clock.at += 10_000;
  const results = await Promise.allSettled(Array.from({ length: 100 }, () => ask('acme')));
  const admitted = results.filter(({ status }) => status === 'fulfilled').length;
  assert.ok(admitted >= 10 && admitted <= 11, `${admitted} of 100`);
});

test('in a batch a request pays for its rows, and one that fails pays nothing', async () => {
  const { ask, cost, quotas } = quotasOf({ acme: 100 });
  cost(100, 10);
  await ask('acme', 2);
  const used = () => quotas.families()[0]!.series.find(({ labels }) => labels.tenant === 'acme')!.value as number;
  assert.ok(Math.abs(used() - 0.02) < 1e-9);
  cost(-1);
  await assert.rejects(ask('acme'), { code: 'INTERNAL' });
  assert.ok(Math.abs(used() - 0.02) < 1e-9);
});

test('names that callers make up cost a bounded number of buckets; the rest share one', async () => {
  const { ask, cost, quotas, ran } = quotasOf({}, { others: { msPerS: 10, burstMs: 10 } });
  cost(10);
  for (const tenant of ['a', 'b', 'c']) await ask(tenant);
  await assert.rejects(ask('d'), /tenant '_other'/);
  assert.deepEqual(ran, ['a', 'b', 'c']);
  assert.deepEqual(
    quotas.families()[1]!.series.map(({ labels, value }) => [labels.tenant, value]),
    [
      ['_other', 1],
      ['a', 0],
      ['b', 0],
    ],
  );
});

test('whose call it is stands where the configuration says; nobody is one of the others', () => {
  const { quotas } = quotasOf({});
  const terms = (value: string | undefined) => ({ header: () => value }) as unknown as CallTerms;
  assert.deepEqual(
    [quotas.tenantOf(terms('acme')), quotas.tenantOf(terms(undefined)), quotas.tenantOf(terms('x\u0007'))],
    ['acme', '_other', '_other'],
  );
});

const weights: Readonly<Record<string, number>> = { gold: 3, silver: 1 };
const waiter = (tenant: string, rows = 1): Waiter => ({ rows, request: { tenant } });
const namesOf = (waiters: readonly Waiter[]) => waiters.map(({ request }) => request.tenant);

test('of tenants that always wait each gets rows by its weight, whoever has more in the queue', () => {
  const turns = new Turns((tenant) => weights[tenant] ?? 1);
  let waiting: Waiter[] = [];
  const rows: Record<string, number> = { gold: 0, silver: 0 };
  for (let round = 0; round < 400; round++) {
    while (waiting.filter(({ request }) => request.tenant === 'silver').length < 50) waiting.push(waiter('silver', 2));
    while (waiting.filter(({ request }) => request.tenant === 'gold').length < 8) waiting.push(waiter('gold'));
    const batch = turns.next(waiting, 8).slice(0, 8);
    turns.took(batch, waiting);
    for (const { rows: count, request } of batch) rows[request.tenant!]! += count;
    waiting = waiting.filter((entry) => !batch.includes(entry));
  }
  const ratio = rows.gold! / rows.silver!;
  assert.ok(ratio > 2.8 && ratio < 3.2, `gold got ${ratio} times the rows of silver`);
});

test('one tenant alone is served first come, first served, and who was idle has saved nothing up', () => {
  const turns = new Turns(() => 1);
  const alone = [waiter('a'), waiter('a', 3), waiter('a')];
  assert.equal(turns.next(alone, 2), alone);
  for (let round = 0; round < 100; round++) turns.took([waiter('a')], [waiter('a'), waiter('b')]);
  assert.deepEqual(
    namesOf(turns.next([waiter('a'), waiter('b'), waiter('b')], 2)),
    ['b', 'b'],
    'b waited all the while',
  );
  turns.took([], [waiter('c')]);
  const back = [waiter('a'), waiter('a'), waiter('b'), waiter('b')];
  assert.deepEqual(namesOf(turns.next(back, 4)), ['a', 'b', 'a', 'b'], 'nobody waited: all begin anew');
});

test('the order within a tenant is that of arrival, and as many are named as fill a batch', () => {
  const turns = new Turns(() => 1);
  const waiting = [waiter('a', 1), waiter('a', 2), waiter('b', 4), waiter('a', 3)];
  assert.deepEqual(
    turns.next(waiting, 5).map(({ rows, request }) => `${request.tenant}${rows}`),
    ['a1', 'b4'],
  );
});
