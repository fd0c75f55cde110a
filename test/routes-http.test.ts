/** A routed model over HTTP, from the head of a request to its answer and its event, on every engine that loads. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { InferenceEvent } from '../src/core/events.js';
import type { DataPlane } from '../src/core/inference.js';
import type { Version } from '../src/core/model.js';
import { createApi } from '../src/http/api.js';
import { type Door, type Engine, listenHttp } from '../src/http/transport.js';
import { loadUws } from '../src/http/uws-build.js';
import { createMetrics } from '../src/observe/metrics.js';
import { Router } from '../src/routing/router.js';
import { experimentOf, headerOrParameter, oldAndNew } from './experiment-fixture.js';
import { createTestPlane, testApiOptions, testHttpOptions } from './http-plane.js';
import { type Called, call } from './raw-http.js';

const engines: readonly Engine[] = [
  ...(['uws', 'uws-glibc227'] as const).filter((engine) => loadUws(engine) !== undefined),
  'node',
];

const doors: Door[] = [];
after(() => Promise.all(doors.map((door) => door.close())));

const experiment = experimentOf({
  key: headerOrParameter,
  variants: [
    ...oldAndNew('simple'),
    { name: 'broken', model: 'broken', version: '1', weight: 0 },
    { name: 'away', model: 'simple', version: '3', weight: 0 },
  ],
  overrides: { header: '', allowed: ['new', 'broken'], keys: { lost: 'away' } },
});

const events: InferenceEvent[] = [];
const metrics = createMetrics(Date.now);

function routedPlane(): DataPlane {
  const plane = createTestPlane();
  const router = new Router({
    observe: (event) => {
      events.push(event as InferenceEvent);
      metrics.observe(event);
    },
    now: () => performance.now(),
    want: async () => {},
  });
  const models = { simple: ['1', '2'], broken: ['1'], echo_FP32: ['1'] };
  for (const [model, versions] of Object.entries(models)) {
    for (const version of versions) {
      const found = plane.find(model, { version }) as Version;
      router.add({ ...found, properties: {}, depth: 0, inFlight: 0, drain: async () => {} });
    }
  }
  const entries = (versions: readonly string[]) =>
    versions.map((version) => ({ version, state: 'ready' as const, reason: '' }));
  const routes = Object.entries(models).map(([model, versions]) => ({
    model,
    versions: entries(versions),
    champion: versions.at(-1),
    labels: { stable: '1' },
    ...(model === 'simple' ? { experiment } : {}),
  }));
  router.publish({
    generation: 1,
    routes: Object.fromEntries(routes.map((route) => [route.model, route])),
    isReady: true,
    reason: '',
    isDegraded: false,
  });
  return {
    ...plane,
    find: (model, selector) => router.find(model, selector),
    assign: (model, selector, terms) => router.assign(model, selector, terms),
    infer: router.infer,
    refuse: router.refuse,
  };
}

const zeros = JSON.stringify(Array(16).fill(0));
const inputs = ['INPUT0', 'INPUT1'].map(
  (name) => `{"name":"${name}","shape":[1,16],"datatype":"INT32","data":${zeros}}`,
);
const bodyWith = (parameters: object = {}) =>
  `{"parameters":${JSON.stringify(parameters)},"inputs":[${inputs.join(',')}]}`;

interface Case {
  readonly name: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly parameters?: object;
  readonly path?: string;
  readonly status?: number;
  /** Version, variant, reason of the answer. */
  readonly answer?: readonly [string, string | undefined, string | undefined];
  readonly error?: RegExp;
}

const routedPath = '/v2/models/simple/infer';

const cases: readonly Case[] = [
  { name: 'a header is the key', headers: { 'X-User-Id': 'user-1' }, answer: ['2', 'new', 'weight'] },
  { name: 'another key has the other variant', headers: { 'X-User-Id': 'user-3' }, answer: ['1', 'old', 'weight'] },
  { name: 'a parameter is the key', parameters: { user_id: 'user-1' }, answer: ['2', 'new', 'weight'] },
  {
    name: 'the first place that has one gives the key',
    headers: { 'x-user-id': 'user-3' },
    parameters: { user_id: 'user-1' },
    answer: ['1', 'old', 'weight'],
  },
  { name: 'without a key the champion answers', answer: ['1', 'old', 'no_key'] },
  { name: 'a key that is too long is none', headers: { 'x-user-id': 'x'.repeat(300) }, answer: ['1', 'old', 'no_key'] },
  { name: 'a variant asked for by header', headers: { 'x-sluice-variant': 'new' }, answer: ['2', 'new', 'override'] },
  {
    name: 'a variant asked for by parameter',
    parameters: { sluice_variant: 'spring/new' },
    answer: ['2', 'new', 'override'],
  },
  {
    name: 'a variant that may not be asked for',
    headers: { 'x-sluice-variant': 'old' },
    status: 400,
    error: /^variant 'old' of model 'simple' cannot be asked for: expected one of new, broken$/,
  },
  {
    name: 'a version in the path',
    path: '/v2/models/simple/versions/2/infer',
    headers: { 'x-user-id': 'user-3' },
    answer: ['2', undefined, 'explicit'],
  },
  {
    name: 'a label as a parameter',
    parameters: { sluice_label: 'stable' },
    headers: { 'x-user-id': 'user-1' },
    answer: ['1', undefined, 'explicit'],
  },
  {
    name: 'a variant that is not ready',
    headers: { 'x-user-id': 'lost' },
    status: 400,
    error: /'away' .* is not ready/,
  },
];

const reasonsOf = () =>
  Object.fromEntries(
    metrics
      .snapshot({ versions: [], families: [] })
      .families.find(({ name }) => name === 'sluice_assignments_total')!
      .series.map(({ labels, value }) => [`${labels.route} ${labels.variant} ${labels.reason}`, value]),
  );

for (const engine of engines) {
  const opened = listenHttp(createApi(routedPlane(), testApiOptions), { ...testHttpOptions, engine }).then((door) => {
    doors.push(door);
    return door.port;
  });
  const ask = async (called: Called) => {
    const reply = await call(await opened, { method: 'POST', ...called });
    return { ...reply, json: JSON.parse(reply.body.toString()) as Record<string, unknown> };
  };

  for (const { name, headers = {}, parameters, path = routedPath, status = 200, answer, error } of cases) {
    test(`${name} (${engine})`, async () => {
      const before = events.length;
      const reply = await ask({ path, headers, body: bodyWith(parameters) });
      assert.equal(reply.status, status);
      assert.equal(events.length, before + 1);
      if (error !== undefined) assert.match(String(reply.json.error), error);
      if (answer === undefined) return;
      const [version, variant, reason] = answer;
      const of = (header: string) => reply.headers.get(header);
      assert.deepEqual(
        [of('x-sluice-model'), of('x-sluice-version'), of('x-sluice-variant'), of('x-sluice-reason')],
        ['simple', version, variant, reason],
      );
      assert.equal(of('x-sluice-experiment'), 'spring');
      assert.equal(reply.json.model_version, version);
      assert.deepEqual(reply.json.parameters, {
        ...(variant === undefined ? {} : { sluice_variant: variant }),
        sluice_experiment: 'spring',
        sluice_reason: reason,
      });
      const event = events.at(-1)!;
      assert.deepEqual([event.version?.version, event.assignment?.variant], [version, variant ?? '']);
    });
  }

  test(`a model without a route says nothing of one (${engine})`, async () => {
    const body = '{"inputs":[{"name":"X","shape":[1],"datatype":"FP32","data":[1]}]}';
    const path = '/v2/models/echo_FP32/infer';
    const reply = await ask({ path, body, headers: { 'x-user-id': 'user-1' } });
    assert.equal(reply.headers.get('x-sluice-reason'), undefined);
    assert.equal(reply.json.parameters, undefined);
    assert.equal(events.at(-1)!.assignment, undefined);
    const refused = await ask({ path, body, headers: { 'x-sluice-variant': 'new' } });
    assert.equal(refused.status, 400);
  });

  test(`a failure of the model still says which variant it was, and is counted there (${engine})`, async () => {
    const before = reasonsOf()['simple broken override'] ?? 0;
    const body = '{"inputs":[{"name":"X","shape":[1],"datatype":"FP32","data":[1]}]}';
    const reply = await ask({ path: routedPath, body, headers: { 'x-sluice-variant': 'broken' } });
    assert.equal(reply.status, 500);
    assert.equal(reply.headers.get('x-sluice-variant'), 'broken');
    assert.equal(reasonsOf()['simple broken override'], before + 1);
  });
}
