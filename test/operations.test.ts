/** What an operator may ask of the control port: paths and bodies become a closed set of operations. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Operation, operationOf } from '../src/admin/operations.js';

const none = new URLSearchParams();
const post = (path: string, body?: unknown): Operation | undefined => operationOf('POST', path.split('/'), none, body);
const get = (path: string, query = ''): Operation | undefined =>
  operationOf('GET', path.split('/'), new URLSearchParams(query), undefined);

test('what is only looked at is asked by GET', () => {
  assert.deepEqual(get('models/a'), { operation: 'show', model: 'a' });
  assert.deepEqual(get('models/a/versions/3'), { operation: 'version', model: 'a', version: '3' });
  assert.throws(() => get('models/a/versions/03'), { code: 'NOT_FOUND', message: /expected a version number/ });
  assert.deepEqual(get('models/a/history'), { operation: 'history', model: 'a' });
  assert.deepEqual(get('sources'), { operation: 'sources' });
  assert.deepEqual(get('plan'), { operation: 'plan' });
  const file = { name: 'new.yaml', text: 'models: {}' };
  assert.deepEqual(post('plan', file), { operation: 'plan', file });
  assert.deepEqual(get('audit'), { operation: 'audit', last: 20 });
  assert.deepEqual(get('audit', 'last=5'), { operation: 'audit', last: 5 });
});

test('what is watched is asked of one model, and a request by its id', () => {
  const watched = (path: string, query = '') => (get(path, query) as { asked: object }).asked;
  const lastWindow = { version: undefined, stretch: 'judged' };
  assert.deepEqual(watched('models/a/data-quality'), { ask: 'data-quality', model: 'a', ...lastWindow });
  const lastHour = { version: undefined, stretch: { unit: 'hour', count: 1 } };
  assert.deepEqual(watched('models/a/sketches'), { ask: 'sketches', model: 'a', ...lastHour });
  const open = { version: '3', stretch: 'open' };
  assert.deepEqual(watched('models/a/sketches', 'version=3&window=open'), { ask: 'sketches', model: 'a', ...open });
  assert.deepEqual(watched('models/a/shadow'), { ask: 'shadow', model: 'a' });
  for (const [path, query] of [
    ['models/a/data-quality', 'version=x'],
    ['models/a/data-quality', 'window=2y'],
    ['models/a/sketches', 'version=03'],
    ['models/a/sketches', 'window=judged'],
    ['models/a/sketches', 'window='],
  ] as const)
    assert.throws(() => get(path, query), { code: 'INVALID_ARGUMENT', message: /^expected (version|window) to be/ });
  for (const path of ['data-quality', 'sketches', 'shadow'])
    assert.throws(() => get(`models/a b/${path}`), { code: 'NOT_FOUND' });
  const asked = (body?: object) => post('requests/r-1/replay', body);
  assert.deepEqual(asked(), { operation: 'monitoring', asked: { ask: 'replay', request: 'r-1', reason: '' } });
  assert.deepEqual(asked({ reason: 'why' }), {
    operation: 'monitoring',
    asked: { ask: 'replay', request: 'r-1', reason: 'why' },
  });
  assert.throws(() => asked({ version: '3' }), { code: 'INVALID_ARGUMENT', message: /version/ });
  assert.throws(() => asked({ reason: 'x'.repeat(1001) }), { code: 'INVALID_ARGUMENT', message: /^reason/ });
  for (const id of ['', 'x'.repeat(1025)])
    assert.throws(() => post(`requests/${id}/replay`), { code: 'INVALID_ARGUMENT', message: /1 to 1024 characters/ });
  assert.equal(get('requests/r-1/replay'), undefined);
});

test('what changes something is asked by POST alone', () => {
  for (const path of ['apply', 'gc', 'models/a/load', 'models/a/rollback', 'sources/s/poll'])
    assert.equal(get(path), undefined, path);
});

test('a promotion moves the champion and prepares nothing unless it says so', () => {
  assert.deepEqual(post('models/a/promote', { version: '3' }), {
    operation: 'promote',
    model: 'a',
    version: '3',
    label: 'champion',
    prepare: false,
    allowBreaking: false,
  });
  const all = { version: 3, label: 'challenger', prepare: true, allow_breaking: true };
  assert.deepEqual(post('models/a/promote', all), {
    operation: 'promote',
    model: 'a',
    version: '3',
    label: 'challenger',
    prepare: true,
    allowBreaking: true,
  });
});

test('the other changes of a model', () => {
  assert.deepEqual(post('models/a/load'), { operation: 'load', model: 'a' });
  assert.deepEqual(post('models/a/unload', {}), { operation: 'unload', model: 'a' });
  assert.deepEqual(post('models/a/release'), { operation: 'release', model: 'a', label: 'champion' });
  assert.deepEqual(post('models/a/rollback', { reason: 'too slow' }), {
    operation: 'rollback',
    model: 'a',
    reason: 'too slow',
  });
  for (const operation of ['pin', 'unpin', 'forgive'])
    assert.deepEqual(post(`models/a/${operation}`, { version: '2' }), { operation, model: 'a', version: '2' });
  assert.deepEqual(post('gc', { grace_ms: 0 }), { operation: 'gc', graceMs: 0 });
  assert.deepEqual(post('gc'), { operation: 'gc', graceMs: 3_600_000 });
  assert.deepEqual(post('sources/main/poll'), { operation: 'poll', source: 'main', acceptOlder: false });
  assert.deepEqual(post('apply'), { operation: 'apply' });
});

test('a body that is wrong is refused with what was expected', () => {
  const refused = (path: string, body: unknown, message: RegExp) =>
    assert.throws(() => post(path, body), { code: 'INVALID_ARGUMENT', message });
  refused('models/a/promote', {}, /^version: /);
  refused('models/a/promote', { version: '01' }, /version: expected a version number/);
  refused('models/a/promote', { version: '1', label: 'v1' }, /label: expected a label/);
  refused('models/a/promote', { version: '1', force: true }, /force/);
  refused('models/a/pin', { version: '1; rm' }, /expected a version number/);
  refused('models/a/rollback', { reason: 'x'.repeat(1001) }, /reason/);
  refused('models/a/load', { config: '{}' }, /config/);
  refused('models/a/load', 'now', /body/);
  refused('gc', { grace_ms: -1 }, /grace_ms/);
});

test('how many entries are shown is bounded', () => {
  for (const last of ['0', '10001', '1.5', 'all'])
    assert.throws(() => get('audit', `last=${last}`), { code: 'INVALID_ARGUMENT', message: /1 to 10000/ });
});

test('a name that no model can have is not found, and is not said back at length', () => {
  for (const name of ['..', 'stats', 'a b', 'x'.repeat(500)])
    assert.throws(
      () => operationOf('GET', ['models', name], none, undefined),
      (error: Error & { code: string }) => error.code === 'NOT_FOUND' && error.message.length < 200,
    );
});

test('a path that is none of these is none', () => {
  for (const path of ['', 'models', 'models/a/promote/now', 'models/a/destroy', 'sources/s', 'audit/1'])
    assert.equal(post(path), undefined, path);
});
