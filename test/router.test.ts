/** Which version answers, and the one event of each request. Versions are stand-ins that say when they are asked. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../src/core/errors.js';
import type { InferenceEvent } from '../src/core/events.js';
import { Cancellation, type InferenceReply, type InferenceRequest } from '../src/core/inference.js';
import type { ModelConfig, Version } from '../src/core/model.js';
import type { Route, RouteTable, VersionEntry } from '../src/core/route.js';
import { type DrainableVersion, Router } from '../src/routing/router.js';

function versionOf(model: string, version: string, infer?: Version['infer']): DrainableVersion & { drained: number } {
  const id = { model, version };
  const timing = { queueMs: 1, inputMs: 0, inferMs: 2, outputMs: 0, batchRows: 1 };
  const queue = { sizeMax: 1, timeoutMs: 0, timeoutAction: 'REJECT' as const, allowTimeoutOverride: true };
  return {
    id,
    signature: { inputs: [{ name: 'x', datatype: 'FP32', shape: [-1] }], outputs: [] },
    batch: {
      rowsMax: 1,
      isContract: false,
      preferredRows: [],
      delayUs: 0,
      queue,
      priorityLevels: 0,
      defaultPriority: 0,
      levels: {},
    },
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
