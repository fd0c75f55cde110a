/** What an operator may ask of routes, canaries and experiments: paths and bodies become a closed set. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { operationOf, operationRows } from '../src/admin/operations.js';
import type { Routing } from '../src/admin/route-operations.js';

const asked = (method: string, path: string, body?: unknown): Routing | undefined => {
  const operation = operationOf(method, path.split('/'), new URLSearchParams(), body);
  return operation?.operation === 'routing' ? operation.asked : undefined;
};
const get = (path: string) => asked('GET', path);
const post = (path: string, body?: unknown) => asked('POST', path, body);

test('what is only looked at is asked by GET', () => {
  assert.deepEqual(get('routes'), { ask: 'routes' });
  assert.deepEqual(get('routes/a'), { ask: 'route', model: 'a' });
  assert.deepEqual(get('models/a/canary'), { ask: 'canary', model: 'a' });
  assert.deepEqual(get('experiments'), { ask: 'experiments' });
  assert.deepEqual(get('experiments/spring'), { ask: 'experiment', experiment: 'spring' });
  assert.equal(get('models/a/canary/rollback'), undefined);
});

test('a route is changed by weights or as a whole, not both and not neither', () => {
  const reason = '';
  assert.deepEqual(post('routes/a', { weights: { b: 5 } }), { ask: 'set', model: 'a', weights: { b: 5 }, reason });
  assert.deepEqual(post('routes/a', { route: { default: 'a' }, reason: 'new' }), {
    ask: 'set',
    model: 'a',
    route: { default: 'a' },
    reason: 'new',
  });
  for (const body of [{}, { weights: {}, route: {} }]) {
    assert.throws(() => post('routes/a', body), /expected either weights or route/);
  }
  assert.throws(() => post('routes/a', { weight: { b: 5 } }), /weight/);
  assert.throws(() => post('routes/..', { weights: { b: 5 } }), /unknown model/);
});

test('a change is reverted to the one before, or to a number', () => {
  assert.deepEqual(post('routes/a/revert'), { ask: 'revert', model: 'a', reason: '' });
  assert.deepEqual(post('routes/a/revert', { to: 0 }), { ask: 'revert', model: 'a', to: 0, reason: '' });
  assert.throws(() => post('routes/a/revert', { to: -1 }), /to: /);
});

test('a canary is steered by five verbs', () => {
  for (const verb of ['start', 'advance', 'hold', 'resume', 'rollback'])
    assert.deepEqual(post(`models/a/canary/${verb}`, { reason: 'so' }), {
      ask: 'steer',
      model: 'a',
      verb,
      reason: 'so',
    });
  assert.equal(post('models/a/canary/stop'), undefined);
});

test('whoever only views may not change a route', () => {
  const changes = operationRows.filter(({ method, path }) => method === 'POST' && /routes|canary/.test(path));
  assert.equal(changes.length, 7);
  assert.ok(changes.every(({ role }) => role === 'operator'));
});
