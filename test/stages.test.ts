/** The way of a version through its stages, as the audit log has it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AuditAction } from '../src/audit/actions.js';
import type { JsonObject } from '../src/audit/canonical.js';
import type { AuditRecord } from '../src/audit/entry.js';
import { pastOf } from '../src/control/registry-stages.js';

const id = { model: 'm', version: '2' };

type Line = readonly [action: AuditAction, detail: JsonObject, actor?: string, subject?: string];

function logOf(...lines: readonly Line[]): AuditRecord[] {
  return lines.map(([action, detail, actor = 'system:control', subject = 'm@2'], index) => ({
    entry: { seq: index + 1, prev: '', ts: `2026-01-01T00:00:0${index}.000Z`, actor, action, subject, detail },
    hash: '',
  }));
}

const published = (version: string, reason: string): Line => ['version.published', { model: 'm', version, reason }];

const movesOf = async (...lines: readonly Line[]) =>
  (await pastOf(logOf(...lines), id)).moves.map(({ stage, by, reason }) => `${stage} by ${by}: ${reason}`);

test('a version that its source offers answers, and is retired by the next one', async () => {
  assert.deepEqual(await movesOf(published('1', 'start'), published('2', 'source'), published('3', 'source')), [
    'champion by system:control: source',
    'retired by system:control: source',
  ]);
});

test('whoever asked for it is who moved it, with the reason that they gave', async () => {
  const moves = await movesOf(
    ['promote', { model: 'm', version: '2', label: 'champion', reason: 'better' }, 'operator:ann'],
    published('2', 'promote champion'),
    ['rollback', { model: 'm', reason: 'slow' }, 'operator:bob', 'm'],
    published('1', 'rollback: slow'),
    published('2', 'source'),
  );
  assert.deepEqual(moves, [
    'champion by operator:ann: better',
    'retired by operator:bob: slow',
    'champion by system:control: source',
  ]);
});

test('a canary is one from its start until it is rolled back or answers', async () => {
  const began: Line = ['canary.started', { reason: 'try it' }, 'operator:ann'];
  const back: Line = ['canary.rolled_back', { reason: 'error_rate' }, 'system:canary'];
  assert.deepEqual(await movesOf(began, ['canary.advanced', {}], back), [
    'canary by operator:ann: try it',
    'registered by system:canary: error_rate',
  ]);
  assert.deepEqual(await movesOf(began, ['canary.promoted', {}], published('2', 'promote champion')), [
    'canary by operator:ann: try it',
    'champion by system:control: promote champion',
  ]);
});

test('whoever promoted a canary is who moved it', async () => {
  const moves = await movesOf(
    ['canary.started', { reason: 'try it' }, 'operator:ann'],
    published('2', 'promote champion'),
    ['canary.promoted', { reason: 'good enough' }, 'operator:bob'],
  );
  assert.deepEqual(moves, ['canary by operator:ann: try it', 'champion by operator:bob: good enough']);
  const promoted = (route: string): Line => ['canary.promoted', { route, reason: 'good enough' }, 'operator:bob'];
  const began: Line = ['canary.started', { reason: 'try it' }, 'operator:ann'];
  assert.deepEqual(await movesOf(published('2', 'start'), began, promoted('m')), [
    'champion by system:control: start',
    'canary by operator:ann: try it',
    'champion by operator:bob: good enough',
  ]);
  assert.equal((await movesOf(began, promoted('another'))).at(-1), 'canary by operator:ann: try it');
});

test('what routes make of it is told with who changed them', async () => {
  const changed = (stage: string, reason: string): Line => [
    'stage.changed',
    { model: 'm', version: '2', stage, reason },
    'operator:ann',
  ];
  assert.deepEqual(
    await movesOf(changed('shadow', 'look'), changed('canary', 'try'), changed('registered', 'no'), [
      'stage.changed',
      { model: 'm', version: '3', stage: 'shadow', reason: '' },
    ]),
    ['shadow by operator:ann: look', 'canary by operator:ann: try', 'registered by operator:ann: no'],
  );
});

test('a restart moves nothing, an unload and a quarantine do', async () => {
  const start = published('2', 'start');
  assert.deepEqual(await movesOf(start, ['stopped', {}], ['started', {}], start), [
    'champion by system:control: start',
  ]);
  assert.deepEqual(await movesOf(start, ['version.unloaded', { model: 'm', version: '2', reason: 'unload' }]), [
    'champion by system:control: start',
    'retired by system:control: unload',
  ]);
  const taken: Line = ['version.quarantined', { model: 'm', version: '2', reason: 'crashed' }];
  assert.equal((await movesOf(start, taken)).at(-1), 'retired by system:control: crashed');
});

test('entries of other models and versions are none of its', async () => {
  const other: Line = ['canary.started', {}, 'a', 'other@2'];
  assert.deepEqual(await movesOf(['version.published', { model: 'other', version: '2', reason: '' }], other), []);
});

test('every name that led to it is told, from when to when', async () => {
  const set = (label: string, version: string): Line => ['alias.set', { model: 'm', label, version, previous: null }];
  const removed: Line = ['alias.removed', { model: 'm', label: 'b', version: null, previous: '2' }];
  const { aliases } = await pastOf(logOf(set('a', '2'), set('b', '2'), set('a', '3'), removed, set('a', '2')), id);
  const second = (n: number) => `2026-01-01T00:00:0${n}.000Z`;
  assert.deepEqual(aliases, [
    { label: 'a', from: second(0), until: second(2) },
    { label: 'b', from: second(1), until: second(3) },
    { label: 'a', from: second(4), until: null },
  ]);
});
