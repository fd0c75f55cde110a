/** States of versions: what is loaded, what is refused, what is published when. Processes and files are functions here. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../src/core/errors.js';
import { nameOf, type VersionSpec } from '../src/core/model.js';
import type { RouteTable } from '../src/core/route.js';
import type { OfferedModel } from '../src/registry/catalogue.js';
import { type Publication, Registry, type RegistryOptions } from '../src/registry/registry.js';
import { noFacts } from '../src/registry/source.js';

const versionsOf = (versions: readonly string[]) =>
  versions.map((version) => ({ version, bytes: 10, revision: `r${version}`, facts: noFacts }));

const offer = (name: string, ...versions: string[]): OfferedModel => ({
  name,
  source: 'local',
  wanted: versionsOf(versions),
  known: versionsOf(versions),
  aliases: {},
});

function registryOf(models: OfferedModel[], change: Partial<RegistryOptions> = {}) {
  const log: string[] = [];
  const tables: RouteTable[] = [];
  const published: Publication[] = [];
  const registry = new Registry({
    policy: 'eager',
    list: () => models,
    look: async (name) => models.find((model) => model.name === name),
    admit: async (id) => {
      log.push(`admit ${nameOf(id)}`);
      return { id } as VersionSpec;
    },
    open: async ({ id }) => void log.push(`open ${nameOf(id)}`),
    drain: async (id) => void log.push(`drain ${nameOf(id)}`),
    publish: async (table) => void tables.push(table),
    record: async (publication) => void published.push(publication),
    remember: async () => {},
    remembered: {},
    breaches: () => [],
    observe: () => {},
    now: () => 0,
    retriesMax: 0,
    retryMs: 1,
    keepPreviousMs: () => 0,
    lazy: { openMax: 2, bytesMax: 1000 },
    readiness: () => 'all',
    ...change,
  });
  const last = () => tables.at(-1)!;
  return { registry, log, tables, last, published };
}

test('eager: every wanted version is admitted, opened, and answers; the highest is the champion', async () => {
  const { registry, log, last } = registryOf([offer('a', '9', '10'), offer('b', '1')]);
  await registry.start();
  assert.deepEqual(log, ['admit a@9', 'open a@9', 'admit a@10', 'open a@10', 'admit b@1', 'open b@1']);
  assert.equal(last().routes.a!.champion, '10');
  assert.equal(last().isReady, true);
});

test('a version that is refused is listed with its reason, the others are served, and the server is not ready', async () => {
  const { registry, last } = registryOf([offer('good', '1'), offer('bad', '1')], {
    admit: async (id) => {
      if (id.model === 'bad') throw new GatewayError('FAILED_PRECONDITION', 'no outputs');
      return { id } as VersionSpec;
    },
  });
  await registry.start();
  assert.deepEqual(registry.index(false), [
    { name: 'good', version: '1', state: 'READY', reason: '' },
    { name: 'bad', version: '1', state: 'UNAVAILABLE', reason: 'no outputs' },
  ]);
  assert.deepEqual(
    registry.index(true).map(({ name }) => name),
    ['good'],
  );
  assert.equal(last().isReady, false);
  assert.match(last().reason, /bad/);
  assert.equal(last().routes.bad!.champion, undefined);
});

test('readiness may depend on named models only', async () => {
  const { registry, last } = registryOf([offer('good', '1'), offer('bad', '1')], {
    readiness: () => ['good'],
    open: async ({ id }) => {
      if (id.model === 'bad') throw new Error('boom');
    },
  });
  await registry.start();
  assert.equal(last().isReady, true);
});

test('a failed reload leaves the version that serves alone', async () => {
  let isBroken = false;
  const { registry, log, last } = registryOf([offer('a', '1')], {
    admit: async (id) => {
      if (isBroken) throw new GatewayError('FAILED_PRECONDITION', 'flipped byte');
      return { id } as VersionSpec;
    },
  });
  await registry.start();
  isBroken = true;
  await assert.rejects(registry.load('a'), /flipped byte/);
  assert.equal(last().routes.a!.champion, '1');
  assert.ok(!log.includes('drain a@1'));
});

test('unload takes the model out of the table before it drains it, and a load brings it back', async () => {
  const { registry, log, tables, last } = registryOf([offer('a', '1')]);
  await registry.start();
  const before = tables.length;
  await registry.unload('a');
  assert.equal(tables[before]!.routes.a!.versions[0]!.state, 'unloading');
  assert.equal(last().routes.a!.versions[0]!.reason, 'unloaded');
  assert.equal(last().isReady, true, 'what was unloaded on request does not count');
  assert.equal(log.at(-1), 'drain a@1');
  await registry.load('a');
  assert.equal(last().routes.a!.champion, '1');
  await registry.unload('never heard of');
});

test('loads and unloads of one model follow one another', async () => {
  const { registry, log, last } = registryOf([offer('a', '1')], { policy: 'explicit' });
  await registry.start();
  await Promise.all([registry.load('a'), registry.unload('a'), registry.load('a')]);
  assert.deepEqual(log, ['admit a@1', 'open a@1', 'drain a@1', 'admit a@1', 'open a@1']);
  assert.equal(last().routes.a!.champion, '1');
});

test('explicit: nothing is loaded until it is asked for, and an unknown model is not found', async () => {
  const { registry, log } = registryOf([offer('a', '1')], { policy: 'explicit' });
  await registry.start();
  assert.deepEqual(log, []);
  assert.deepEqual(registry.index(false), [{ name: 'a', version: '', state: '', reason: '' }]);
  await assert.rejects(registry.load('x'), {
    code: 'NOT_FOUND',
    message: "failed to load 'x', failed to poll from model repository",
  });
});

test('a load of newer files retires the versions that the policy no longer wants', async () => {
  const models = [offer('a', '1')];
  const { registry, log, last } = registryOf(models, { look: async () => models[0] });
  await registry.start();
  models[0] = offer('a', '2');
  await registry.load('a');
  assert.deepEqual(log.slice(2), ['admit a@2', 'open a@2', 'drain a@1']);
  assert.equal(last().routes.a!.champion, '2');
});

test('lazy: a version opens when it is wanted, once, and the least recently used is closed', async () => {
  const { registry, log, last } = registryOf([offer('a', '1'), offer('b', '1'), offer('c', '1')], { policy: 'lazy' });
  await registry.start();
  assert.deepEqual(log, []);
  assert.equal(last().routes.a!.versions[0]!.state, 'lazy');
  assert.equal(last().isReady, true);
  const want = (model: string) => registry.want({ model, version: '1' });
  await Promise.all([want('a'), want('a')]);
  await want('b');
  registry.touch(['a@1']);
  await want('c');
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(log, ['admit a@1', 'open a@1', 'admit b@1', 'open b@1', 'admit c@1', 'open c@1', 'drain b@1']);
  await want('b');
  assert.equal(log.filter((line) => line === 'open b@1').length, 2);
});

test('lazy: a version that cannot be opened says so to everybody who wants it', async () => {
  const { registry, last } = registryOf([offer('a', '1')], {
    policy: 'lazy',
    admit: async () => {
      throw new GatewayError('FAILED_PRECONDITION', 'it crashed');
    },
  });
  await registry.start();
  await assert.rejects(registry.want({ model: 'a', version: '1' }), /load failed for model 'a': version 1: it crashed/);
  assert.equal(last().routes.a!.versions[0]!.state, 'unavailable');
  assert.equal(last().routes.a!.versions[0]!.reason, 'it crashed');
});

test('statistics are asked of ready versions, in the words that clients compare', async () => {
  const { registry } = registryOf([offer('a', '1', '2'), offer('gone', '1')]);
  await registry.start();
  await registry.unload('gone');
  assert.deepEqual(registry.readyVersions('', '').map(nameOf), ['a@1', 'a@2']);
  assert.deepEqual(registry.readyVersions('a', '2').map(nameOf), ['a@2']);
  assert.throws(() => registry.readyVersions('x', ''), {
    code: 'NOT_FOUND',
    message: "Request for unknown model: 'x' is not found",
  });
  assert.throws(() => registry.readyVersions('gone', ''), {
    code: 'INVALID_ARGUMENT',
    message: "requested model 'gone' is not available",
  });
  assert.throws(() => registry.readyVersions('a', '7'), {
    message: "requested model version is not available for model 'a'",
  });
});
