/** States of versions: what is loaded, what is refused, what is published when. Processes and files are functions here. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../src/core/errors.js';
import { nameOf, type VersionSpec } from '../src/core/model.js';
import type { RouteTable } from '../src/core/route.js';
import { AdmissionRefusal } from '../src/registry/admission-refusal.js';
import type { OfferedModel } from '../src/registry/catalogue.js';
import { Registry } from '../src/registry/registry.js';
import type { Publication, RegistryOptions, Relabelling, Remembered } from '../src/registry/registry-options.js';
import { noFacts } from '../src/registry/source.js';

const versionsOf = (versions: readonly string[]) =>
  versions.map((version) => ({ version, bytes: 10, revision: `r${version}`, facts: noFacts }));

const offer = (name: string, ...versions: string[]): OfferedModel => ({
  name,
  source: 'local',
  wanted: versionsOf(versions),
  known: versionsOf(versions),
  routed: [],
  shadowed: [],
  aliases: {},
});

function registryOf(models: OfferedModel[], change: Partial<RegistryOptions> = {}) {
  const log: string[] = [];
  const tables: RouteTable[] = [];
  const published: Publication[] = [];
  const relabelled: Relabelling[] = [];
  const reported: string[] = [];
  const registry = new Registry({
    policy: 'eager',
    list: () => models,
    look: async (name) => models.find((model) => model.name === name),
    admit: async (id) => {
      log.push(`admit ${nameOf(id)}`);
      return { id } as VersionSpec;
    },
    open: async ({ id }) => void log.push(`open ${nameOf(id)}`),
    forgo: (id) => void log.push(`forgo ${nameOf(id)}`),
    drain: async (id) => void log.push(`drain ${nameOf(id)}`),
    publish: async (table) => void tables.push(table),
    record: async (publication) => void published.push(publication),
    recordLabel: async (relabelling) => void relabelled.push(relabelling),
    remember: async () => {},
    remembered: {},
    storedSha256: ({ version }) => `stored ${version}`,
    breaches: () => [],
    isBreakingAllowed: () => false,
    withheld: () => '',
    sharedAs: () => undefined,
    observe: () => {},
    report: (what, error) => void reported.push(`${what}: ${(error as Error).message}`),
    now: () => 0,
    retriesMax: 0,
    retryMs: 1,
    keepPreviousMs: () => 0,
    lazy: { openMax: 2, bytesMax: 1000 },
    readiness: () => 'all',
    ...change,
  });
  const last = () => tables.at(-1)!;
  const shown = (name: string) => [...registry.models()].find((model) => model.name === name)!;
  return { registry, log, tables, last, published, relabelled, shown, reported };
}

/** Until nothing is due at once any more. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 5));

const refusing = (...versions: string[]): Partial<RegistryOptions> => ({
  admit: async (id) => {
    if (versions.includes(id.version)) throw new GatewayError('FAILED_PRECONDITION', 'broken');
    return { id } as VersionSpec;
  },
});

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

test('a newer version that its source offers is loaded, answers, and the one before is retired', async () => {
  const models = [offer('a', '1')];
  const { registry, log, last, published } = registryOf(models);
  await registry.start();
  models[0] = offer('a', '2');
  await registry.offer();
  await settled();
  assert.deepEqual(log, ['admit a@1', 'open a@1', 'admit a@2', 'open a@2', 'drain a@1']);
  assert.equal(last().routes.a!.champion, '2');
  assert.deepEqual(
    published.map(({ version, previous }) => [version, previous]),
    [
      ['1', undefined],
      ['2', '1'],
    ],
  );
});

test('a newer version that is refused is listed with its reason, is not tried twice, and the old one serves', async () => {
  const models = [offer('a', '1')];
  let tries = 0;
  const { registry, last } = registryOf(models, {
    admit: async (id) => {
      if (id.version === '1') return { id } as VersionSpec;
      tries++;
      throw new GatewayError('FAILED_PRECONDITION', 'no outputs');
    },
  });
  await registry.start();
  models[0] = offer('a', '1', '2');
  await registry.offer();
  await registry.offer();
  assert.equal(tries, 1);
  assert.equal(last().routes.a!.champion, '1');
  assert.equal(registry.index(false)[1]!.reason, 'no outputs');
  models[0] = { ...models[0], wanted: versionsOf(['1', '2']).map((one) => ({ ...one, revision: 'other' })) };
  models[0] = { ...models[0], known: models[0].wanted };
  await registry.offer();
  assert.equal(tries, 2, 'other content is tried');
});

test('offers that come while a model is busy are one, the newest', async () => {
  const models = [offer('a', '1')];
  let finish = () => {};
  const gate = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const { registry, log, last } = registryOf(models, {
    open: async ({ id }) => {
      log.push(`open ${nameOf(id)}`);
      if (id.version === '2') await gate;
    },
  });
  await registry.start();
  log.length = 0;
  const offers: Promise<void>[] = [];
  for (let version = 2; version <= 100; version++) {
    models[0] = offer('a', String(version));
    offers.push(registry.offer());
    await Promise.resolve();
    if (version === 2) await settled();
  }
  finish();
  await Promise.all(offers);
  assert.deepEqual(log.slice(0, 4), ['admit a@2', 'open a@2', 'admit a@100', 'open a@100']);
  assert.equal(last().routes.a!.champion, '100');
});

test('while other models change, a version that nobody needs is closed in time all the same', async () => {
  const models = [offer('a', '1')];
  const { registry, log } = registryOf(models, { keepPreviousMs: () => 40 });
  await registry.start();
  models[0] = offer('a', '2');
  await registry.offer();
  const until = Date.now() + 400;
  while (Date.now() < until && !log.includes('drain a@1')) {
    await registry.offer();
    await settled();
  }
  assert.ok(log.includes('drain a@1'));
});

test('a version that is needed again is not closed by an earlier plan to', async () => {
  const models = [offer('a', '1', '2')];
  const { registry, log } = registryOf(models, { keepPreviousMs: () => 20 });
  await registry.start();
  models[0] = { ...offer('a', '2'), known: versionsOf(['1', '2']) };
  await registry.offer();
  await registry.decisions.pin({ model: 'a', version: '1' }, true);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(!log.includes('drain a@1'));
});

test('what its source no longer has goes on answering, until something newer does', async () => {
  const models = [offer('a', '1')];
  const { registry, log, last } = registryOf(models);
  await registry.start();
  models.length = 0;
  await registry.offer();
  await settled();
  assert.equal(last().routes.a!.champion, '1');
  models.push(offer('a', '2'));
  await registry.offer();
  await settled();
  assert.equal(last().routes.a!.champion, '2');
  assert.ok(log.includes('drain a@1'));
});

test('a version that waits is not loaded, and why it waits is in the index', async () => {
  const waiting = (text: string | undefined): OfferedModel => {
    const versions = versionsOf(['1', '2']).map((one) => (one.version === '2' ? { ...one, waiting: text } : one));
    return {
      ...offer('a', '1', '2'),
      wanted: versions as OfferedModel['wanted'],
      known: versions as OfferedModel['known'],
    };
  };
  const models = [waiting('waits for its files')];
  const { registry, last } = registryOf(models);
  await registry.start();
  assert.equal(last().routes.a!.champion, '1');
  assert.equal(registry.index(false)[1]!.reason, 'waits for its files');
  models[0] = waiting(undefined);
  await registry.offer();
  assert.equal(last().routes.a!.champion, '2');
});

test('what fails for a reason that may pass is tried again by itself, beyond the quick tries, too', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const pass = async (ms: number) => {
    context.mock.timers.tick(ms);
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  let tries = 0;
  const { registry, last } = registryOf([offer('a', '1')], {
    retriesMax: 2,
    retryMs: 1000,
    admit: async (id) => {
      tries++;
      if (tries < 5) throw new GatewayError('UNAVAILABLE', 'connection refused');
      return { id } as VersionSpec;
    },
  });
  await registry.start();
  assert.equal(last().routes.a!.champion, undefined);
  for (const [ms, expected] of [
    [1000, 2],
    [2000, 3],
    [30_000, 3],
    [30_000, 4],
    [60_000, 5],
  ] as const) {
    await pass(ms);
    assert.equal(tries, expected, `after ${ms} ms`);
  }
  assert.equal(last().routes.a!.champion, '1');
});

test('newer content of a version that serves is tried again when it could not be had, and the old serves meanwhile', async () => {
  const models = [offer('a', '1')];
  let isDown = false;
  const exact: unknown[] = [];
  const { registry, last } = registryOf(models, {
    retriesMax: 3,
    retryMs: 1,
    admit: async (id, { isExact }) => {
      exact.push(isExact);
      if (isDown) throw new GatewayError('UNAVAILABLE', 'connection refused');
      return { id, file: String(exact.length) } as VersionSpec;
    },
  });
  await registry.start();
  isDown = true;
  const newer = versionsOf(['1']).map((one) => ({ ...one, revision: 'newer' }));
  models[0] = { ...offer('a', '1'), wanted: newer, known: newer };
  await registry.offer();
  assert.equal(last().routes.a!.champion, '1');
  assert.match(registry.index(false)[0]!.reason, /could not be had: connection refused/);
  isDown = false;
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(registry.specOf({ model: 'a', version: '1' })!.file, String(exact.length));
  assert.equal(registry.index(false)[0]!.reason, '');
  assert.deepEqual(exact.slice(0, 2), [undefined, true], 'old content must not pass for the newer');
});

test('a version whose inputs or outputs differ is open but does not take over, and says why', async () => {
  const models = [offer('a', '1')];
  const { registry, last } = registryOf(models, {
    breaches: (old, next) => [`was ${old.id.version}, is ${next.id.version}`],
  });
  await registry.start();
  models[0] = offer('a', '1', '2');
  await registry.offer();
  assert.equal(last().routes.a!.champion, '1');
  const [, newer] = last().routes.a!.versions;
  assert.deepEqual([newer!.state, newer!.reason], ['ready', 'not the default, because it differs from 1: was 1, is 2']);
  await registry.decisions.pin({ model: 'a', version: '1' }, true);
  await registry.decisions.pin({ model: 'a', version: '1' }, false);
  assert.equal(last().routes.a!.champion, '1', 'to pin another says nothing of this one');
  const how = { prepare: false, allowBreaking: false };
  await assert.rejects(
    registry.decisions.promote({ model: 'a', version: '2' }, 'champion', how),
    /must not take the place of 1/,
  );
  await registry.decisions.promote({ model: 'a', version: '2' }, 'champion', { ...how, allowBreaking: true });
  assert.equal(last().routes.a!.champion, '2');
});

test('promote moves the champion to a ready version, and release gives the choice back to the source', async () => {
  const models = [offer('a', '1', '2')];
  const { registry, last } = registryOf(models);
  await registry.start();
  const how = { prepare: false, allowBreaking: false };
  await registry.decisions.promote({ model: 'a', version: '1' }, 'champion', how);
  assert.equal(last().routes.a!.champion, '1');
  models[0] = offer('a', '1', '2', '3');
  await registry.offer();
  assert.equal(last().routes.a!.champion, '1', 'a newer version does not undo it');
  await registry.decisions.release('a', 'champion');
  assert.equal(last().routes.a!.champion, '3');
});

test('a version that is not ready is promoted only when it may be prepared', async () => {
  const models = [{ ...offer('a', '2'), known: versionsOf(['1', '2']) }];
  const { registry, log, last } = registryOf(models);
  await registry.start();
  const how = { prepare: false, allowBreaking: false };
  const one = { model: 'a', version: '1' };
  await assert.rejects(registry.decisions.promote(one, 'champion', how), { code: 'NOT_FOUND' });
  await assert.rejects(
    registry.decisions.promote({ model: 'a', version: '9' }, 'champion', { ...how, prepare: true }),
    {
      code: 'NOT_FOUND',
    },
  );
  await registry.decisions.promote(one, 'challenger', { ...how, prepare: true });
  assert.deepEqual(log.slice(-2), ['admit a@1', 'open a@1']);
  assert.deepEqual(last().routes.a!.labels, { challenger: '1', champion: '2' });
  await settled();
  assert.ok(!log.includes('drain a@1'), 'what has a label stays open');
});

test('a refused version is not promoted, not even when it may be prepared', async () => {
  const { registry, last } = registryOf([offer('a', '1', '2')], refusing('2'));
  await registry.start();
  const how = { prepare: true, allowBreaking: false };
  await assert.rejects(registry.decisions.promote({ model: 'a', version: '2' }, 'champion', how), /broken/);
  assert.equal(last().routes.a!.champion, '1');
});

test('a version that waits for approval is open and does not answer, until nothing is held against it', async () => {
  let isApproved = false;
  const asked: unknown[] = [];
  const models = [offer('a', '1')];
  const { registry, last } = registryOf(models, {
    withheld: ({ version }, _spec, requester, action) => {
      if (version === '1') return '';
      asked.push([version, requester, action]);
      return isApproved ? '' : 'waits for approval: nobody agreed';
    },
  });
  await registry.start();
  models[0] = offer('a', '1', '2');
  await registry.offer();
  assert.equal(last().routes.a!.champion, '1');
  assert.equal(registry.index(false)[1]!.reason, 'not the default, because it waits for approval: nobody agreed');
  const how = { prepare: false, allowBreaking: false, requester: 'ann' };
  await assert.rejects(registry.decisions.promote({ model: 'a', version: '2' }, 'champion', how), {
    code: 'FAILED_PRECONDITION',
    message: 'version 2 must not take the place of 1: waits for approval: nobody agreed',
  });
  assert.deepEqual(asked, [
    ['2', undefined, 'champion'],
    ['2', 'ann', 'champion'],
  ]);
  isApproved = true;
  await registry.offer();
  assert.equal(last().routes.a!.champion, '2');
  isApproved = false;
  await registry.decisions.rollback('a', 'slow');
  await registry.decisions.release('a', 'champion');
  assert.equal(last().routes.a!.champion, '2', 'what answered before may answer again');
});

/** A model of which version 1 answers by content `a`, while its source has replaced that by `b`. */
async function replaced(change: Partial<RegistryOptions> = {}, action = 'champion') {
  const models = [offer('a', '1')];
  const store = new Set<string>();
  const world = { content: 'a', isAgreed: false, opened: [] as string[], kept: {} as Remembered };
  const options: Partial<RegistryOptions> = {
    admit: async (id, { sha256 = world.content }) => {
      if (sha256 !== world.content && !store.has(sha256)) throw new GatewayError('NOT_FOUND', 'it is gone');
      store.add(sha256);
      return { id, artifact: { source: 'local', revision: '', sha256 } } as VersionSpec;
    },
    open: async ({ artifact }) => void world.opened.push(artifact!.sha256),
    withheld: (_id, spec, _requester, asked) =>
      asked !== action || world.isAgreed || spec?.artifact?.sha256 !== 'b' ? '' : `waits for ${asked}`,
    remember: async (remembered) => {
      world.kept = remembered;
    },
    ...change,
  };
  const first = registryOf(models, options);
  await first.registry.start();
  const replace = (content: string) => {
    world.content = content;
    const known = models[0]!.known.map((one) => (one.version === '1' ? { ...one, revision: content } : one));
    models[0] = { ...models[0]!, wanted: known, known };
  };
  replace('b');
  const id = { model: 'a', version: '1' };
  const served = (registry: Registry) => [registry.specOf(id)?.artifact?.sha256, registry.index(false)[0]!.reason];
  return { ...first, models, store, world, options, replace, id, served };
}

const waitsFor = (what: string) => `goes on as it is, newer content (b) is not opened: waits for ${what}`;

test('newer content of what answers waits for those who agree, the content before goes on, and is kept', async () => {
  const { registry, log, world, id, served, published } = await replaced();
  await registry.offer();
  await registry.offer();
  assert.deepEqual(served(registry), ['a', waitsFor('champion')]);
  assert.equal(registry.newestOf(id)?.artifact?.sha256, 'b', 'it is what can be approved');
  assert.deepEqual([...registry.kept()], ['a']);
  assert.deepEqual(log, ['forgo a@1'], 'and tried once');
  await registry.reopen(['a']);
  assert.deepEqual(
    [world.opened, served(registry)],
    [
      ['a', 'a'],
      ['a', waitsFor('champion')],
    ],
    'other options are for it',
  );
  await assert.rejects(registry.load('a'), {
    code: 'FAILED_PRECONDITION',
    message: `load failed for model 'a': version 1 ${waitsFor('champion')}`,
  });
  world.isAgreed = true;
  await registry.offer();
  assert.deepEqual([served(registry), registry.newestOf(id)?.artifact?.sha256], [['b', ''], 'b']);
  assert.equal(published.at(-1)!.spec?.artifact?.sha256, 'b', 'that is a publication, by which approvals are used');
  assert.deepEqual(world.kept.a!.answered, { 1: 'b' });
});

test('where nobody need agree newer content is opened, and written down', async () => {
  const { registry, served, published } = await replaced({ withheld: () => '' });
  await registry.offer();
  assert.deepEqual(served(registry), ['b', '']);
  assert.deepEqual(
    published.map(({ previous, spec }) => [previous, spec?.artifact?.sha256]),
    [
      [undefined, 'a'],
      ['1', 'b'],
    ],
  );
});

test('newer content with other inputs or outputs, or of what has a share of a route, needs that approval', async () => {
  const broken = await replaced({ breaches: () => ['input gone'] }, 'breaking');
  await broken.registry.offer();
  assert.deepEqual(broken.served(broken.registry), ['a', waitsFor('breaking')]);
  const shared = await replaced({ sharedAs: () => 'a' }, 'canary');
  await shared.registry.offer();
  assert.deepEqual(shared.served(shared.registry), ['a', waitsFor('canary')]);
  const none = await replaced({}, 'canary');
  await none.registry.offer();
  assert.deepEqual(none.served(none.registry), ['b', '']);
});

test('a start opens the content that was agreed to, from the store, and nothing when that is gone', async () => {
  const { world, options, models, store, served } = await replaced();
  const again = () => registryOf(models, { ...options, remembered: world.kept });
  const second = again();
  assert.deepEqual(world.kept.a!.answered, { 1: 'a' });
  await second.registry.start();
  assert.deepEqual(served(second.registry), ['a', waitsFor('champion')]);
  assert.equal(second.last().routes.a!.champion, '1');
  store.delete('a');
  const third = again();
  await third.registry.start();
  assert.deepEqual(served(third.registry), [undefined, 'newer content (b) is not opened: waits for champion']);
  world.isAgreed = true;
  await third.registry.offer();
  assert.deepEqual([served(third.registry), third.last().routes.a!.champion], [['b', ''], '1']);
});

test('opened on demand it is the content that was agreed to as well', async () => {
  const { world, options, models, served } = await replaced();
  const { registry } = registryOf(models, { ...options, remembered: world.kept, policy: 'lazy' });
  await registry.start();
  await registry.want({ model: 'a', version: '1' });
  assert.deepEqual(served(registry), ['a', waitsFor('champion')]);
});

test('what was rolled back from is not let back by newer content that waits', async () => {
  const { registry, models, replace, served, world, last } = await replaced();
  models[0] = offer('a', '0', '1');
  replace('a');
  await registry.offer();
  const how = { prepare: false, allowBreaking: false };
  for (const version of ['0', '1']) await registry.decisions.promote({ model: 'a', version }, 'champion', how);
  await registry.decisions.rollback('a', 'slow');
  replace('b');
  await registry.offer();
  assert.equal(last().routes.a!.champion, '0');
  assert.equal(registry.newestOf({ model: 'a', version: '1' })?.artifact?.sha256, 'b');
  world.isAgreed = true;
  await registry.offer();
  assert.deepEqual([last().routes.a!.champion, served(registry)[0]], ['1', 'b']);
  // It waits already.
  world.isAgreed = false;
  replace('a');
  await registry.offer();
  replace('b');
  await registry.offer();
  await registry.decisions.rollback('a', 'slow');
  await registry.offer();
  assert.deepEqual([last().routes.a!.champion, served(registry)[0]], ['0', 'a']);
  world.isAgreed = true;
  await registry.offer();
  assert.deepEqual([last().routes.a!.champion, served(registry)[0]], ['1', 'b']);
});

test('other inputs or outputs need an approval of their own', async () => {
  const { registry, last } = registryOf([offer('a', '1', '2')], {
    breaches: () => ['input gone'],
    withheld: (_id, _spec, _requester, action) => (action === 'breaking' ? 'waits for approval' : ''),
  });
  await registry.start();
  const how = { prepare: false, allowBreaking: true };
  await assert.rejects(
    registry.decisions.promote({ model: 'a', version: '1' }, 'champion', how),
    /version 1 must not take the place of 2: waits for approval$/,
  );
  assert.equal(last().routes.a!.champion, '2');
});

test('where other inputs and outputs are allowed to a model, they still need an approval of their own', async () => {
  const objections: Record<string, string> = { breaking: 'waits for approval' };
  const models = [offer('a', '1')];
  const { registry, last } = registryOf(models, {
    breaches: () => ['input gone'],
    isBreakingAllowed: () => true,
    withheld: (_id, _spec, _requester, action) => objections[action] ?? '',
  });
  await registry.start();
  models[0] = offer('a', '1', '2');
  await registry.offer();
  assert.equal(registry.index(false)[1]!.reason, 'not the default, because it waits for approval');
  await assert.rejects(
    registry.decisions.promote({ model: 'a', version: '2' }, 'champion', { prepare: false, allowBreaking: false }),
    /version 2 must not take the place of 1: waits for approval$/,
  );
  await registry.decisions.release('a', 'champion');
  assert.equal(last().routes.a!.champion, '1', 'and so they do when the choice is given back');
  delete objections.breaking;
  await registry.offer();
  assert.equal(last().routes.a!.champion, '2');
});

test('a label of the source follows it, and keeps its last version when the next cannot answer', async () => {
  const models = [{ ...offer('a', '1', '2'), aliases: { challenger: '1' } }];
  const { registry, last } = registryOf(models, refusing('3'));
  await registry.start();
  assert.equal(last().routes.a!.labels.challenger, '1');
  models[0] = { ...offer('a', '1', '2'), aliases: { challenger: '2' } };
  await registry.offer();
  assert.equal(last().routes.a!.labels.challenger, '2');
  models[0] = { ...offer('a', '1', '2', '3'), aliases: { challenger: '3' } };
  await registry.offer();
  assert.equal(last().routes.a!.labels.challenger, '2');
});

for (const routed of [[], ['2']]) {
  test(`what was rolled back from ${routed.length === 0 ? 'closes' : 'stays open while a route names it'}`, async () => {
    const models = [{ ...offer('a', '1', '2'), routed }];
    const { registry, shown } = registryOf(models, { keepPreviousMs: () => 0 });
    await registry.start();
    await registry.decisions.promote({ model: 'a', version: '1' }, 'champion', { prepare: true, allowBreaking: true });
    await registry.decisions.promote({ model: 'a', version: '2' }, 'champion', { prepare: true, allowBreaking: true });
    await registry.decisions.rollback('a', 'too slow');
    await registry.offer();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(shown('a').versions.get('2')!.state, routed.length === 0 ? 'unloaded' : 'ready');
  });
}

test('rollback: the version before answers without being admitted again, and what was rolled back from is held', async () => {
  const models = [offer('a', '1')];
  const { registry, log, last, shown } = registryOf(models, { keepPreviousMs: () => 60_000 });
  await registry.start();
  await assert.rejects(registry.decisions.rollback('a', 'x'), {
    code: 'FAILED_PRECONDITION',
    message: /no version before 1/,
  });
  models[0] = offer('a', '1', '2');
  await registry.offer();
  log.length = 0;
  assert.equal(await registry.decisions.rollback('a', 'too slow'), '1');
  assert.deepEqual(log, []);
  assert.equal(last().routes.a!.champion, '1');
  await registry.offer();
  assert.equal(last().routes.a!.champion, '1', 'it is not published again by itself');
  assert.equal(shown('a').choice.hold?.version, '2');
  await registry.decisions.promote({ model: 'a', version: '2' }, 'challenger', {
    prepare: false,
    allowBreaking: false,
  });
  assert.equal(last().routes.a!.champion, '1', 'another label does not end it');
});

test('an alias that moves while its version is brought is asked again, and the version it left never answers', async () => {
  const models: OfferedModel[] = [{ ...offer('a', '1'), aliases: { champion: '1' } }];
  const named = (version: string): OfferedModel => ({ ...offer('a', version), aliases: { champion: version } });
  let looks = 0;
  const { registry, log, published } = registryOf(models, {
    look: async () => {
      looks++;
      return models[0];
    },
    admit: async (id) => {
      log.push(`admit ${nameOf(id)}`);
      if (id.version === '2') models[0] = named('3');
      return { id } as VersionSpec;
    },
  });
  await registry.start();
  models[0] = named('2');
  await registry.offer();
  assert.deepEqual(
    published.map(({ version }) => version),
    ['1', '3'],
  );
  assert.ok(log.includes('admit a@2'));
  assert.equal(looks, 2, 'once for each version that was brought');
});

test('an alias that never rests is followed for a few rounds, and then something answers', async () => {
  const models: OfferedModel[] = [offer('a', '1')];
  const named = (version: string): OfferedModel => ({ ...offer('a', version), aliases: { champion: version } });
  let newest = 2;
  const { registry, log, last } = registryOf(models, {
    look: async () => {
      models[0] = named(String(++newest));
      return models[0];
    },
  });
  await registry.start();
  log.length = 0;
  models[0] = named('2');
  await registry.offer();
  assert.equal(log.filter((line) => line.startsWith('open')).length, 5);
  assert.equal(last().routes.a!.champion, '6');
});

test('a hold ends when something newer is offered, when its version changes, and when it is released', async () => {
  const rolledBack = async () => {
    const models = [offer('a', '1')];
    const made = registryOf(models);
    await made.registry.start();
    models[0] = offer('a', '1', '2');
    await made.registry.offer();
    await made.registry.decisions.rollback('a', 'x');
    assert.equal(made.last().routes.a!.champion, '1');
    return { ...made, models };
  };
  const newer = await rolledBack();
  newer.models[0] = offer('a', '1', '2', '3');
  await newer.registry.offer();
  assert.equal(newer.last().routes.a!.champion, '3');

  const changed = await rolledBack();
  const other = versionsOf(['1', '2']).map((one) => (one.version === '2' ? { ...one, revision: 'other' } : one));
  await settled();
  assert.equal(changed.log.at(-1), 'drain a@2');
  changed.models[0] = { ...offer('a', '1', '2'), wanted: other, known: other };
  await changed.registry.offer();
  assert.equal(changed.last().routes.a!.champion, '2');

  const released = await rolledBack();
  await released.registry.decisions.release('a', 'champion');
  assert.equal(released.last().routes.a!.champion, '2');
});

test('a rollback of a version that no longer answers does not happen', async () => {
  const { registry, last } = registryOf([offer('a', '1', '2')]);
  await registry.start();
  await registry.decisions.promote({ model: 'a', version: '1' }, 'champion', { prepare: false, allowBreaking: false });
  await assert.rejects(registry.decisions.rollback('a', 'guard: errors', '2'), {
    code: 'FAILED_PRECONDITION',
    message: "version 2 of model 'a' no longer answers",
  });
  assert.equal(last().routes.a!.champion, '1');
  assert.equal(await registry.decisions.rollback('a', 'guard: errors', '1'), '2');
});

test('a second rollback goes forward again', async () => {
  const models = [offer('a', '1')];
  const { registry, last } = registryOf(models, { keepPreviousMs: () => 60_000 });
  await registry.start();
  models[0] = offer('a', '1', '2');
  await registry.offer();
  await registry.decisions.rollback('a', 'x');
  assert.equal(await registry.decisions.rollback('a', 'x'), '2');
  assert.equal(last().routes.a!.champion, '2');
});

test('after a start the version before answers again although its source has it no more, and is kept until then', async () => {
  const remembered = {
    a: { champion: '2', previous: '1', labels: { champion: '2' }, choice: { aliases: {}, pins: [] } },
  };
  for (const policy of ['eager', 'lazy'] as const) {
    const { registry, last } = registryOf([offer('a', '2')], { remembered, policy });
    await registry.start();
    const kept = registry.kept();
    for (const version of ['1', '2']) assert.ok(kept.has(`stored ${version}`), `${policy}: ${[...kept].join()}`);
    assert.equal(await registry.decisions.rollback('a', 'too slow'), '1');
    assert.equal(last().routes.a!.champion, '1');
  }
});

test('a pinned version stays open and kept; unpinned, it goes', async () => {
  const models = [offer('a', '1')];
  const { registry, log, shown } = registryOf(models);
  await registry.start();
  await registry.decisions.pin({ model: 'a', version: '1' }, true);
  models[0] = { ...offer('a', '2'), known: versionsOf(['1', '2']) };
  await registry.offer();
  await settled();
  assert.ok(!log.includes('drain a@1'));
  assert.deepEqual(shown('a').choice.pins, ['1']);
  await registry.decisions.pin({ model: 'a', version: '1' }, false);
  await settled();
  assert.ok(log.includes('drain a@1'));
});

test('a version in quarantine is out at once, the one before answers, and it is not loaded again by itself', async () => {
  const models = [offer('a', '1')];
  const { registry, log, last } = registryOf(models);
  await registry.start();
  models[0] = { ...offer('a', '2'), known: versionsOf(['1', '2']) };
  await registry.offer();
  await settled();
  await registry.decisions.quarantine({ model: 'a', version: '2' }, 'crashed twice');
  assert.equal(last().routes.a!.champion, '1', 'although it had been retired');
  assert.equal(log.at(-1), 'drain a@2');
  await registry.offer();
  assert.equal(last().routes.a!.champion, '1');
  assert.deepEqual(registry.index(false)[1], {
    name: 'a',
    version: '2',
    state: 'UNAVAILABLE',
    reason: 'crashed twice',
  });
  const how = { prepare: true, allowBreaking: false };
  await assert.rejects(
    registry.decisions.promote({ model: 'a', version: '2' }, 'champion', how),
    /quarantined: crashed twice/,
  );
});

test('forgive lifts a quarantine, and has a refused version tried again', async () => {
  const broken = ['2'];
  const { registry, last } = registryOf([offer('a', '1', '2')], {
    admit: async (id) => {
      if (broken.includes(id.version)) throw new GatewayError('FAILED_PRECONDITION', 'broken');
      return { id } as VersionSpec;
    },
  });
  await registry.start();
  broken.length = 0;
  await registry.decisions.forgive({ model: 'a', version: '2' });
  assert.equal(last().routes.a!.champion, '2');
  await registry.decisions.quarantine({ model: 'a', version: '2' }, 'crashed twice');
  assert.equal(last().routes.a!.champion, '1');
  await registry.decisions.forgive({ model: 'a', version: '2' });
  assert.equal(last().routes.a!.champion, '2');
});

test('other content under the number of a quarantined version is tried', async () => {
  const models = [offer('a', '1', '2')];
  const { registry, last } = registryOf(models);
  await registry.start();
  await registry.decisions.quarantine({ model: 'a', version: '2' }, 'crashed twice');
  const other = versionsOf(['1', '2']).map((one) => (one.version === '2' ? { ...one, revision: 'other' } : one));
  models[0] = { ...offer('a', '1', '2'), wanted: other, known: other };
  await registry.offer();
  assert.equal(last().routes.a!.champion, '2');
});

test('a change that cannot be written down does not happen, and is due again', async () => {
  const models = [offer('a', '1')];
  let isFull = false;
  const { registry, last, tables, shown } = registryOf(models, {
    record: async () => {
      if (isFull) throw new GatewayError('UNAVAILABLE', 'the audit log cannot be written');
    },
    keepPreviousMs: () => 60_000,
  });
  await registry.start();
  models[0] = offer('a', '1', '2');
  await registry.offer();
  models[0] = offer('a', '1', '2', '3');
  isFull = true;
  const before = tables.length;
  await assert.rejects(registry.offer(), /cannot be written/);
  assert.equal(tables.length, before);
  assert.deepEqual([shown('a').champion, shown('a').previous, shown('a').labels], ['2', '1', { champion: '2' }]);
  const how = { prepare: false, allowBreaking: false };
  await assert.rejects(registry.decisions.promote({ model: 'a', version: '1' }, 'champion', how), /cannot be written/);
  await assert.rejects(registry.decisions.rollback('a', 'x'), /cannot be written/);
  assert.deepEqual([shown('a').champion, shown('a').previous], ['2', '1']);
  assert.deepEqual(shown('a').choice, { aliases: {}, pins: [] });
  isFull = false;
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(last().routes.a!.champion, '3');
});

test('what fails by itself, for which nobody waits, is reported: newer content, openings anew, retries, closings', async () => {
  const models = [offer('a', '1', '2')];
  let broken = '';
  const { registry, reported } = registryOf(models, {
    retriesMax: 1,
    admit: async (id) => {
      if (broken === 'admit') throw new GatewayError('UNAVAILABLE', 'connection refused');
      return { id } as VersionSpec;
    },
    drain: async () => {
      if (broken === 'drain') throw new Error('no answer');
    },
  });
  await registry.start();
  broken = 'admit';
  await registry.reopen(['a']);
  assert.deepEqual(reported.slice(0, 2), ['open a@1 anew: connection refused', 'open a@2 anew: connection refused']);
  models[0] = { ...offer('a', '1', '2'), wanted: versionsOf(['2']).map((one) => ({ ...one, revision: 'newer' })) };
  models[0] = { ...models[0], known: models[0].wanted };
  await registry.offer();
  assert.ok(reported.includes('take up newer content of a@2: connection refused'), reported.join('\n'));
  broken = 'drain';
  await settled();
  assert.ok(reported.includes('retire a@1: no answer'), reported.join('\n'));
  registry.close();
});

test('a start takes up what was decided before: champion, labels, holds and pins', async () => {
  const remembered = {
    a: {
      champion: '2',
      previous: '3',
      labels: { champion: '2', challenger: '1' },
      choice: { aliases: { challenger: '1' }, pins: ['1'], hold: { version: '3', revision: 'r3', to: '2' } },
    },
  };
  const models = [{ ...offer('a', '3'), known: versionsOf(['1', '2', '3', '4']) }];
  const { registry, log, last } = registryOf(models, { remembered });
  await registry.start();
  assert.deepEqual(log, ['admit a@1', 'open a@1', 'admit a@2', 'open a@2']);
  assert.deepEqual(last().routes.a!.labels, { challenger: '1', champion: '2' });
});

test('a start serves what answered last when the newest version is refused', async () => {
  const remembered = { a: { champion: '1', labels: { champion: '1' }, choice: { aliases: {}, pins: [] } } };
  const models = [{ ...offer('a', '2'), known: versionsOf(['1', '2']) }];
  const { registry, last } = registryOf(models, { remembered, ...refusing('2') });
  await registry.start();
  assert.equal(last().routes.a!.champion, '1');
  assert.equal(last().isReady, true);
});

test('a start with a newer version closes the one that answered before when nobody needs it', async () => {
  const remembered = { a: { champion: '1', labels: { champion: '1' }, choice: { aliases: {}, pins: [] } } };
  const models = [{ ...offer('a', '2'), known: versionsOf(['1', '2']) }];
  const { registry, log, last } = registryOf(models, { remembered });
  await registry.start();
  await settled();
  assert.equal(last().routes.a!.champion, '2');
  assert.equal(log.at(-1), 'drain a@1');
});

test('what answers is remembered after every change of it', async () => {
  const models = [offer('a', '1')];
  const kept: unknown[] = [];
  const { registry } = registryOf(models, { remember: async ({ a }) => void kept.push(a!.champion) });
  await registry.start();
  models[0] = offer('a', '1', '2');
  await registry.offer();
  await registry.decisions.rollback('a', 'x');
  assert.deepEqual(
    kept.filter((version, i) => version !== kept[i - 1]),
    ['1', '2', '1'],
  );
});

test('an unloaded model is not brought back by its source, nor by a promotion', async () => {
  const models = [offer('a', '1')];
  const { registry, log } = registryOf(models);
  await registry.start();
  await registry.unload('a');
  models[0] = offer('a', '1', '2');
  await registry.offer();
  assert.ok(!log.includes('admit a@2'));
  const how = { prepare: true, allowBreaking: false };
  await assert.rejects(
    registry.decisions.promote({ model: 'a', version: '2' }, 'champion', how),
    /was unloaded: load it first/,
  );
});

test('lazy: by which bytes it answers is written down when a version is opened', async () => {
  const { registry, published } = registryOf([offer('a', '1')], { policy: 'lazy' });
  await registry.start();
  assert.equal(published.at(-1)!.spec, undefined);
  await registry.want({ model: 'a', version: '1' });
  assert.deepEqual(published.at(-1)!.spec!.id, { model: 'a', version: '1' });
  assert.equal(published.length, 2);
});

test('a source that is down is told with every table, and the server stays ready', async () => {
  const { registry, last } = registryOf([offer('a', '1')]);
  await registry.start();
  await registry.degrade('source main does not answer');
  assert.deepEqual([last().isReady, last().isDegraded, last().reason], [true, true, 'source main does not answer']);
  await registry.degrade('');
  assert.equal(last().isDegraded, false);
});

test('after close nothing is loaded any more', async () => {
  const models = [offer('a', '1')];
  const { registry, log } = registryOf(models);
  await registry.start();
  registry.close();
  models[0] = offer('a', '2');
  await registry.offer();
  assert.deepEqual(log, ['admit a@1', 'open a@1']);
});

test('a load brings what an operator promoted as well, and it answers again', async () => {
  const models = [{ ...offer('a', '2'), known: versionsOf(['1', '2']) }];
  const { registry, last } = registryOf(models);
  await registry.start();
  await registry.decisions.promote({ model: 'a', version: '1' }, 'champion', { prepare: true, allowBreaking: false });
  await registry.unload('a');
  await registry.load('a');
  assert.equal(last().routes.a!.champion, '1');
});

test('a hold outlives the closing of what it holds back, and ends when the alias of the source moves', async () => {
  const aliased = (champion: string) => ({ ...offer('a', '1', '2'), aliases: { champion } });
  const models = [aliased('1')];
  const { registry, log, last, shown } = registryOf(models);
  await registry.start();
  models[0] = aliased('2');
  await registry.offer();
  await registry.decisions.rollback('a', 'x');
  await settled();
  assert.equal(log.at(-1), 'drain a@2');
  await registry.offer();
  await registry.offer();
  assert.equal(last().routes.a!.champion, '1');
  assert.ok(!log.includes('admit a@2', log.indexOf('drain a@2')));
  models[0] = aliased('1');
  await registry.offer();
  assert.equal(shown('a').choice.hold, undefined);
  models[0] = aliased('2');
  await registry.offer();
  assert.equal(last().routes.a!.champion, '2');
});

test('while a version is held back, another one that is open does not take its place', async () => {
  const models = [offer('a', '1', '2', '3')];
  const { registry, last } = registryOf(models);
  await registry.start();
  const how = { prepare: false, allowBreaking: false };
  await registry.decisions.promote({ model: 'a', version: '1' }, 'champion', how);
  await registry.decisions.release('a', 'champion');
  await registry.decisions.rollback('a', 'x');
  await settled();
  await registry.offer();
  assert.equal(last().routes.a!.champion, '1');
});

test('a start serves what answered last although its source has it no more, and tries that once', async () => {
  const remembered = { a: { champion: '2', labels: { champion: '2' }, choice: { aliases: {}, pins: [] } } };
  const models = [offer('a', '1')];
  const { registry, log, last } = registryOf(models, { remembered });
  await registry.start();
  assert.equal(last().routes.a!.champion, '2');
  const gone = registryOf(models, {
    remembered,
    retriesMax: 3,
    admit: async (id) => {
      gone.log.push(`admit ${nameOf(id)}`);
      if (id.version === '2') throw new GatewayError('NOT_FOUND', 'it is not in the store');
      return { id } as VersionSpec;
    },
  });
  await gone.registry.start();
  assert.equal(gone.last().routes.a!.champion, '1');
  await settled();
  await gone.registry.offer();
  assert.equal(gone.log.filter((line) => line === 'admit a@2').length, 1);
  assert.deepEqual(log, ['admit a@1', 'open a@1', 'admit a@2', 'open a@2']);
});

test('where a label leads is written down before it does, also when its source moves it', async () => {
  const models = [{ ...offer('m', '1', '2'), aliases: { champion: '1', challenger: '2' } }];
  let isFull = false;
  const { registry, relabelled, last } = registryOf(models, {
    recordLabel: async (one) => {
      if (isFull) throw new GatewayError('UNAVAILABLE', 'the disk is full');
      relabelled.push(one);
    },
  });
  await registry.start();
  const told = () => relabelled.map(({ label, previous, version, reason }) => [label, previous, version, reason]);
  assert.deepEqual(told(), [['challenger', undefined, '2', 'start']]);
  models[0] = { ...models[0]!, aliases: { champion: '1', challenger: '1' } };
  isFull = true;
  await assert.rejects(registry.offer(), { message: 'the disk is full' });
  assert.deepEqual(last().routes.m!.labels, { champion: '1', challenger: '2' });
  isFull = false;
  await registry.offer();
  assert.deepEqual(told().at(-1), ['challenger', '2', '1', 'source']);
  assert.deepEqual(last().routes.m!.labels, { champion: '1', challenger: '1' });
  await registry.offer();
  assert.equal(relabelled.length, 2);
  registry.close();
});

test('labels of the last life are no change, those that are gone since are', async () => {
  const kept = { champion: '2', labels: { champion: '2', a: '1', b: '2' }, choice: { aliases: { a: '1' }, pins: [] } };
  const { registry, relabelled } = registryOf([offer('m', '1', '2')], { remembered: { m: kept } });
  await registry.start();
  assert.deepEqual(
    relabelled.map(({ label, previous, version }) => [label, previous, version]),
    [['b', '2', undefined]],
  );
});

test('what was refused for want of memory is tried again when there is more, and nothing else is', async () => {
  let isTight = true;
  const { registry, log, shown } = registryOf([offer('m', '1', '2', '3')], {
    admit: async (id) => {
      log.push(`admit ${nameOf(id)}`);
      if (id.version === '2') throw new AdmissionRefusal('golden', 'wrong');
      if (id.version === '3' && isTight) throw new AdmissionRefusal('memory', 'no room');
      return { id } as VersionSpec;
    },
  });
  await registry.start();
  assert.deepEqual(
    [...shown('m').versions.values()].map(({ state }) => state),
    ['ready', 'refused', 'refused'],
  );
  isTight = false;
  log.length = 0;
  await registry.retryRefused('memory');
  assert.deepEqual(
    log.filter((line) => line.startsWith('admit')),
    ['admit m@3'],
  );
  assert.equal(shown('m').champion, '3');
  assert.equal(shown('m').versions.get('3')!.refusal, undefined);
});
