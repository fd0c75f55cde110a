/** Which version answers, and the one event of each request. Versions are stand-ins that say when they are asked. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../src/core/errors.js';
import type { InferenceEvent } from '../src/core/events.js';
import { type CallTerms, Cancellation, type InferenceReply, type InferenceRequest } from '../src/core/inference.js';
import type { ModelConfig, Version } from '../src/core/model.js';
import { murmur3 } from '../src/core/murmur3.js';
import type { Route, RouteTable, VersionEntry } from '../src/core/route.js';
import { type DrainableVersion, Router } from '../src/routing/router.js';
import { batchPolicy } from './batch-fixture.js';
import { experimentOf } from './experiment-fixture.js';

function versionOf(model: string, version: string, infer?: Version['infer']): DrainableVersion & { drained: number } {
  const id = { model, version };
  const timing = { queueMs: 1, inputMs: 0, inferMs: 2, outputMs: 0, batchRows: 1 };
  return {
    id,
    signature: { inputs: [{ name: 'x', datatype: 'FP32', shape: [-1] }], outputs: [] },
    batch: batchPolicy({ rowsMax: 1 }),
    config: { platform: 'onnxruntime_onnx' } as ModelConfig,
    labels: {},
    properties: {},
    depth: 0,
    inFlight: 0,
    drained: 0,
    infer: infer ?? (async (): Promise<InferenceReply> => ({ version: id, outputs: [], timing })),
    async drain() {
      this.drained++;
    },
  };
}

const entry = (version: string, state: VersionEntry['state'] = 'ready', reason = ''): VersionEntry => ({
  version,
  state,
  reason,
});

function tableOf(...routes: Route[]): RouteTable {
  const byModel = Object.fromEntries(routes.map((route) => [route.model, route]));
  return { generation: 1, routes: byModel, isReady: true, reason: '', isDegraded: false };
}

function routerOf(want: (router: Router, model: string, version: string) => Promise<void> = async () => {}) {
  const events: InferenceEvent[] = [];
  const router: Router = new Router({
    observe: (event) => events.push(event as InferenceEvent),
    now: () => 10,
    want: ({ model, version }) => want(router, model, version),
  });
  return { router, events };
}

function requestTo(version: Version): InferenceRequest {
  return {
    id: 'r1',
    model: version.id.model,
    version,
    inputs: [],
    rows: 3,
    outputs: undefined,
    parameters: new Map(),
    priority: 0,
    timeoutMs: 0,
    receivedAt: 4,
    deadlineAt: Number.POSITIVE_INFINITY,
    cancellation: new Cancellation(),
    protocol: 'grpc',
  };
}

const textOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return `${(error as GatewayError).code} ${(error as Error).message}`;
  }
  return 'no error';
};

test('without a version the champion answers, with one that version does', async () => {
  const { router } = routerOf();
  const [one, two] = [versionOf('m', '1'), versionOf('m', '2')];
  router.add(one);
  router.add(two);
  router.publish(tableOf({ model: 'm', versions: [entry('1'), entry('2')], champion: '2', labels: { stable: '1' } }));
  assert.equal(router.find('m', {}), two);
  assert.equal(router.find('m', { version: '1' }), one);
  assert.equal(router.find('m', { label: 'stable' }), one);
});

test('what is not there is said in the words that clients compare', () => {
  const { router } = routerOf();
  router.add(versionOf('m', '1'));
  router.publish(
    tableOf(
      { model: 'm', versions: [entry('1'), entry('2', 'loading')], champion: '1', labels: {} },
      { model: 'empty', versions: [entry('1', 'unavailable', 'unloaded')], champion: undefined, labels: {} },
    ),
  );
  assert.equal(
    textOf(() => router.find('x', {})),
    "NOT_FOUND Request for unknown model: 'x' is not found",
  );
  assert.equal(
    textOf(() => router.find('m', { version: '9' })),
    "NOT_FOUND Request for unknown model: 'm' version 9 is not found",
  );
  assert.equal(
    textOf(() => router.find('m', { version: '2' })),
    "UNAVAILABLE Request for unknown model: 'm' version 2 is not at ready state",
  );
  assert.equal(
    textOf(() => router.find('empty', {})),
    "NOT_FOUND Request for unknown model: 'empty' has no available versions",
  );
  assert.match(
    textOf(() => router.find('m', { version: 'abc' })),
    /^INVALID_ARGUMENT failed to get model version from specified version string 'abc'/,
  );
  assert.match(
    textOf(() => router.find('__proto__', {})),
    /^INVALID_ARGUMENT invalid model name/,
  );
  assert.equal(
    textOf(() => router.find('constructor', {})),
    "NOT_FOUND Request for unknown model: 'constructor' is not found",
  );
});

test('a lazy version is asked for once it is wanted, and the request waits for it', async () => {
  const wanted: string[] = [];
  const { router } = routerOf(async (self, model, version) => {
    wanted.push(`${model}@${version}`);
    self.add(versionOf(model, version));
  });
  router.publish(tableOf({ model: 'm', versions: [entry('1', 'lazy')], champion: '1', labels: {} }));
  const found = await router.find('m', {});
  assert.equal(found.id.version, '1');
  assert.equal((await router.find('m', {})).id.version, '1');
  assert.deepEqual(wanted, ['m@1']);
  assert.deepEqual(router.readiness('m', {}), { isReady: true, reason: '' });
});

test('a request keeps its version when the table changes meanwhile, and the reply names it', async () => {
  const { router } = routerOf();
  let finish: ((reply: InferenceReply) => void) | undefined;
  const old = versionOf(
    'm',
    '1',
    () =>
      new Promise((resolve) => {
        finish = resolve;
      }),
  );
  router.add(old);
  router.publish(tableOf({ model: 'm', versions: [entry('1')], champion: '1', labels: {} }));
  const pending = router.infer(requestTo(router.find('m', {}) as Version));
  router.add(versionOf('m', '2'));
  router.publish(tableOf({ model: 'm', versions: [entry('2')], champion: '2', labels: {} }));
  finish!({ version: old.id, outputs: [], timing: { queueMs: 0, inputMs: 0, inferMs: 0, outputMs: 0, batchRows: 1 } });
  assert.equal((await pending).version.version, '1');
  assert.equal((router.find('m', {}) as Version).id.version, '2');
});

test('each request is one event, answered, failed or refused', async () => {
  const { router, events } = routerOf();
  const good = versionOf('m', '1');
  const bad = versionOf('m', '2', async () => {
    throw new GatewayError('RESOURCE_EXHAUSTED', 'Exceeds maximum queue size', { reason: 'queue_full' });
  });
  router.add(good);
  router.publish(tableOf({ model: 'm', versions: [entry('1')], champion: '1', labels: {} }));
  await router.infer(requestTo(good));
  await assert.rejects(router.infer(requestTo(bad)));
  router.refuse({ model: 'm', protocol: 'http', receivedAt: 1, error: new GatewayError('INVALID_ARGUMENT', 'no') });
  router.refuse({
    model: 'never heard of',
    protocol: 'http',
    receivedAt: 1,
    error: new GatewayError('NOT_FOUND', 'no'),
  });
  assert.deepEqual(
    events.map(({ model, version, code, reason, rows, durationMs }) => [
      model,
      version?.version,
      code,
      reason,
      rows,
      durationMs,
    ]),
    [
      ['m', '1', 'OK', undefined, 3, 6],
      ['m', '2', 'RESOURCE_EXHAUSTED', 'queue_full', 3, 6],
      ['m', '1', 'INVALID_ARGUMENT', undefined, 0, 9],
      ['_other', undefined, 'NOT_FOUND', undefined, 0, 9],
    ],
  );
});

test('an error that is not ours becomes INTERNAL and says nothing', async () => {
  const { router } = routerOf();
  const broken = versionOf('m', '1', async () => {
    throw new TypeError('secret of /etc/passwd');
  });
  await assert.rejects(router.infer(requestTo(broken)), (error: GatewayError) => {
    assert.equal(error.code, 'INTERNAL');
    assert.equal(error.message, 'internal error');
    return true;
  });
});

test('a version opened again takes the place of the one before it, which is handed back', () => {
  const { router } = routerOf();
  const [before, after] = [versionOf('m', '1'), versionOf('m', '1')];
  assert.equal(router.add(before), undefined);
  router.publish(tableOf({ model: 'm', versions: [entry('1')], champion: '1', labels: {} }));
  assert.equal(router.add(after), before);
  assert.equal(router.find('m', {}), after);
});

test('metadata names all ready versions, or only the one asked for', async () => {
  const { router } = routerOf();
  router.add(versionOf('m', '1'));
  router.add(versionOf('m', '2'));
  router.publish(
    tableOf({ model: 'm', versions: [entry('1'), entry('2'), entry('3', 'loading')], champion: '2', labels: {} }),
  );
  assert.deepEqual((await router.metadata('m', {})).versions, ['1', '2']);
  assert.deepEqual((await router.metadata('m', { version: '1' })).versions, ['1']);
  assert.deepEqual(router.models(), ['m']);
});

const experiment = experimentOf({ phase: 3, overrides: { header: '', allowed: ['new', 'old'], keys: {} } });

function termsOf(user: string | undefined, variant = ''): CallTerms {
  return {
    requestId: 'r1',
    variant,
    header: (name) => (name === 'x-user-id' ? user : undefined),
    parameter: () => undefined,
  };
}

function routed(states: { one?: VersionEntry['state']; two?: VersionEntry['state'] } = {}) {
  const made = routerOf(async (self, model, version) => void self.add(versionOf(model, version)));
  const [one, two, three] = [versionOf('m', '1'), versionOf('m', '2'), versionOf('m', '3')];
  if ((states.one ?? 'ready') === 'ready') made.router.add(one);
  if ((states.two ?? 'ready') === 'ready') made.router.add(two);
  made.router.add(three);
  made.router.add(versionOf('plain', '1'));
  made.router.publish(
    tableOf(
      {
        model: 'm',
        versions: [entry('1', states.one), entry('2', states.two), entry('3')],
        champion: '3',
        labels: { stable: '1' },
        experiment,
      },
      { model: 'plain', versions: [entry('1')], champion: '1', labels: {} },
    ),
  );
  const assign = (user: string | undefined, variant?: string, selector = {}) => {
    const { version, assignment } = made.router.assign('m', selector, termsOf(user, variant))!;
    const { variant: served, assigned, reason } = assignment;
    return [(version as Version).id.version, served, assigned, reason];
  };
  return { ...made, assign };
}

test('a model with a route answers each key by its variant, others know no route', () => {
  const { router, assign } = routed();
  assert.deepEqual(assign('user-3'), ['1', 'old', 'old', 'weight']);
  assert.deepEqual(assign('user-1'), ['2', 'new', 'new', 'weight']);
  assert.deepEqual(assign(undefined), ['1', 'old', 'old', 'no_key']);
  assert.deepEqual(assign(undefined, 'new'), ['2', 'new', 'new', 'override']);
  assert.equal(router.assign('plain', {}, termsOf('user-1')), undefined);
  assert.equal(router.assign('unknown', {}, termsOf('user-1')), undefined);
});

test('who says nothing more than the name of a routed model finds the variant of those who take no part', () => {
  assert.equal((routed().router.find('m', {}) as Version).id.version, '1');
  assert.equal((routed({ one: 'loading' }).router.find('m', {}) as Version).id.version, '3');
});

test('a version or label that is named is never rerouted, whatever variant is asked for', () => {
  const { assign } = routed();
  assert.deepEqual(assign('user-1', 'new', { version: '3' }), ['3', '', '', 'explicit']);
  assert.deepEqual(assign('user-1', '', { label: 'stable' }), ['1', '', '', 'explicit']);
});

test('a variant that is not ready is answered by the champion, and what was assigned is still said', () => {
  assert.deepEqual(routed({ two: 'loading' }).assign('user-1'), ['1', 'old', 'new', 'fallback']);
  assert.deepEqual(routed({ two: 'unavailable' }).assign('user-3'), ['1', 'old', 'old', 'weight']);
  assert.deepEqual(routed({ one: 'loading' }).assign('user-3'), ['3', '', 'old', 'fallback']);
  assert.deepEqual(routed({ one: 'loading' }).assign(undefined), ['3', '', 'old', 'fallback']);
});

test('a variant that was asked for by name and is not ready is refused', () => {
  assert.equal(
    textOf(() => routed({ two: 'loading' }).assign('user-1', 'new')),
    "INVALID_ARGUMENT variant 'new' of model 'm' is not ready",
  );
});

test('a variant that is opened on demand is waited for', async () => {
  const { router } = routed({ two: 'lazy' });
  const first = router.assign('m', {}, termsOf('user-1'))!;
  assert.ok(first.version instanceof Promise);
  assert.equal((await first.version).id.version, '2');
  assert.equal((router.assign('m', {}, termsOf('user-1'))!.version as Version).id.version, '2');
});

test('a key has one number in an experiment, and the event of its request tells it', async () => {
  const { router, events } = routed();
  const { version, assignment } = router.assign('m', {}, termsOf('user-1'))!;
  await router.infer({ ...requestTo(version as Version), assignment });
  assert.deepEqual(events[0]!.assignment, {
    experiment: 'spring',
    phase: 3,
    variant: 'new',
    assigned: 'new',
    reason: 'weight',
    isSticky: true,
    keyHash: murmur3('spring:analysis:user-1'),
    key: 'user-1',
  });
});

test('a table without the experiment ends it at once', () => {
  const { router } = routed();
  router.publish(tableOf({ model: 'm', versions: [entry('3')], champion: '3', labels: {} }));
  assert.equal(router.assign('m', {}, termsOf('user-1')), undefined);
  assert.equal((router.find('m', {}) as Version).id.version, '3');
});
