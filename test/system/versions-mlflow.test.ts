/** Versions that follow the aliases of an MLflow registry, on real processes: moves, hooks, lies, outages, cold starts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeMlflow } from '../servers/mlflow.js';
import { hookHeadersOf } from '../servers/mlflow-hooks.js';
import { getJson } from './load.js';
import { startServer } from './server.js';
import {
  admin,
  answeredBy,
  eventually,
  isAnsweredBy,
  isInState,
  metric,
  modelOf,
  type ShownModel,
  sluice,
  stateFor,
} from './versions-fixture.js';

const secret = 'a secret of hooks';

/** A registered model `m`; `add` makes its next version. */
async function mlflow() {
  const fake = new FakeMlflow();
  const url = await fake.listen();
  fake.registry.createModel('m');
  const add = (): string => {
    const number = String(fake.registry.model('m').numbered + 1);
    fake.artifacts.put(`1/m${number}/MLmodel`, 'flavors: {onnx: {data: model.onnx}}\n');
    fake.artifacts.put(`1/m${number}/model.onnx`, modelOf(Number(number)));
    return fake.registry.createVersion('m', { source: `mlflow-artifacts:/1/m${number}` }).version;
  };
  const point = (alias: string, version: string) => fake.registry.setAlias('m', alias, version);
  return { fake, url: url.href.replace(/\/$/, ''), add, point };
}

const configOf = (url: string, pollMs: number) => `
registry:
  sources:
    - name: mlflow
      type: mlflow
      url: ${url}
      poll_ms: ${pollMs}
      models: { m: { aliases: [champion, challenger] } }
      webhook: { secret_env: HOOK_SECRET }
models: { keep_previous_ms: 500 }
`;

test('an alias is followed, and whatever it does wrong the last good version answers', {
  timeout: 120_000,
}, async (context) => {
  const state = stateFor(context);
  const { fake, url, add, point } = await mlflow();
  for (let versions = 0; versions < 3; versions++) add();
  point('champion', '1');
  const env = { ...state.env, HOOK_SECRET: secret };
  const start = () => startServer({ models: state.directory, env, flags: state.config(configOf(url, 300)) });
  let server = await start();
  context.after(() => server.kill('SIGKILL'));
  const polls = async () =>
    (await metric(server, 'sluice_registry_polls_total{source="mlflow",result="same"}')) +
    (await metric(server, 'sluice_registry_polls_total{source="mlflow",result="changed"}'));

  await context.test('an alias that is moved is served within one poll', async () => {
    assert.equal(await answeredBy(server, 'm'), '1');
    point('champion', '2');
    point('challenger', '1');
    const [before, since] = [await polls(), performance.now()];
    await isAnsweredBy(server, 'm', '2');
    const asked = (await polls()) - before;
    // Every 300 ms less a fifth, once more before the version answers, and once at each end.
    const askedMax = (performance.now() - since) / 240 + 3;
    assert.ok(asked <= askedMax, `it is not asked more often than it should be: ${asked} of ${askedMax}`);
    assert.equal(await answeredBy(server, 'm', 'labels/challenger'), '1');
  });

  await context.test('an alias to a version that is not there keeps the current one', async () => {
    fake.registry.model('m').aliases.set('champion', '99');
    const before = await polls();
    await eventually(async () => assert.ok((await polls()) > before + 1));
    assert.equal(await answeredBy(server, 'm'), '2');
  });

  await context.test('an alias that is not set any more keeps the current one', async () => {
    fake.registry.deleteAlias('m', 'champion');
    const before = await polls();
    await eventually(async () => assert.ok((await polls()) > before + 1));
    assert.equal(await answeredBy(server, 'm'), '2');
    point('champion', '2');
  });

  await context.test(
    'an alias that flaps a hundred times a second ends in its last value, after few loads',
    async () => {
      const loads = () => metric(server, 'sluice_model_loads_total{model="m"}');
      const [loadsBefore, pollsBefore] = [await loads(), await polls()];
      let turn = 0;
      await new Promise<void>((resolve) => {
        const timer = setInterval(() => {
          point('champion', String(1 + (turn++ % 3)));
          if (turn === 200) resolve(clearInterval(timer));
        }, 10);
      });
      point('champion', '3');
      await isAnsweredBy(server, 'm', '3');
      const [loaded, polled] = [(await loads()) - loadsBefore, (await polls()) - pollsBefore];
      context.diagnostic(`${turn} moves, ${polled} polls, ${loaded} loads`);
      assert.ok(loaded <= polled, `${loaded} loads for ${polled} polls`);
      assert.ok(polled <= 20, `${polled} polls`);
    },
  );

  await context.test('the version that serves is deleted in the registry, and goes on serving', async () => {
    fake.registry.deleteVersion('m', '3');
    const before = await polls();
    await eventually(async () => assert.ok((await polls()) > before + 1));
    assert.equal(await answeredBy(server, 'm'), '3');
  });

  await context.test('while the registry is down everything goes on, and how old its word is can be seen', async () => {
    const lastSuccess = () => metric(server, 'sluice_registry_last_success_timestamp_seconds{source="mlflow"}');
    await fake.close();
    await eventually(async () => assert.equal(await metric(server, 'sluice_registry_degraded'), 1), 60_000);
    assert.equal(await answeredBy(server, 'm'), '3');
    assert.ok(Date.now() / 1000 - (await lastSuccess()) < 60);
    const ready = await getJson(`${server.http}/v2/health/ready`);
    assert.deepEqual(ready, { status: 200, json: { ready: true, degraded: true } });
    const { stdout } = await sluice('models', '--url', server.admin);
    assert.match(stdout, /source mlflow \(mlflow\) does not answer: .*; it last answered at 20/);
    assert.equal(server.log.filter(({ msg }) => msg === 'source.down').length, 1);
  });

  await context.test('a start while it is down serves the last good version from the store', async () => {
    assert.equal((await server.stop()).code, 0);
    const startedAt = performance.now();
    server = await start();
    context.diagnostic(`cold start without the registry: ${Math.round(performance.now() - startedAt)} ms`);
    await isAnsweredBy(server, 'm', '3');
    const ready = await getJson(`${server.http}/v2/health/ready`);
    assert.deepEqual(ready, { status: 200, json: { ready: true, degraded: true } });
    const { stdout } = await sluice('models', '--url', server.admin);
    assert.match(stdout, /it has not answered since the start/);
  });
  assert.equal((await server.stop()).code, 0);
});

test('a hook has the registry asked at once, and whoever cannot sign is turned away', {
  timeout: 60_000,
}, async (context) => {
  const state = stateFor(context);
  const { fake, url, add, point } = await mlflow();
  add();
  point('champion', '1');
  const server = await startServer({
    models: state.directory,
    processes: 1,
    env: { ...state.env, HOOK_SECRET: secret },
    flags: state.config(configOf(url, 3_600_000)),
  });
  context.after(() => server.kill('SIGKILL'));
  const tell = async (key: string, path = 'mlflow/mlflow') => {
    const body = JSON.stringify({ entity: 'model_version_alias', action: 'created', data: { name: 'm' } });
    const headers = hookHeadersOf(key, body, Math.floor(Date.now() / 1000));
    return (await fetch(`${server.admin}/hooks/${path}`, { method: 'POST', headers, body })).status;
  };
  point('champion', add());
  const asked = fake.requests.length;
  assert.equal(await tell('another secret'), 403);
  assert.equal(await tell(secret, 'mlflow/nobody'), 404);
  assert.equal(await metric(server, 'sluice_security_events_total{kind="webhook"}'), 1);
  assert.equal(fake.requests.length, asked, 'nobody was asked because of them');
  assert.equal(await answeredBy(server, 'm'), '1');
  assert.equal(await tell(secret), 202);
  await isAnsweredBy(server, 'm', '2');
  assert.equal((await server.stop()).code, 0);
  await fake.close();
});

test('a version is published only when somebody has approved it', { timeout: 60_000 }, async (context) => {
  const state = stateFor(context);
  const { fake, url, add, point } = await mlflow();
  add();
  const tag = (version: string, tags: Record<string, string>) => {
    for (const [name, value] of Object.entries(tags)) fake.registry.version('m', version).tags.set(name, value);
  };
  tag('1', { approved: 'yes', approved_by: 'ada', approved_at: '2026-06-14T10:30:00Z' });
  point('champion', '1');
  const text = configOf(url, 300).replace('      webhook:', '      approval: { tag: approved }\n      webhook:');
  const env = { ...state.env, HOOK_SECRET: secret };
  const server = await startServer({ models: state.directory, processes: 1, env, flags: state.config(text) });
  context.after(() => server.kill('SIGKILL'));
  point('champion', add());
  await eventually(async () => {
    const { json } = await admin<ShownModel>(server, 'models/m');
    const { state, reason } = json.versions.find(({ version }) => version === '2')!;
    assert.deepEqual([state, /^waits for approval: it has no tag 'approved'/.test(reason)], ['known', true], reason);
  });
  assert.equal(await answeredBy(server, 'm'), '1');
  tag('2', { approved: 'yes', approved_by: 'ada', approved_at: '2026-06-15T10:30:00Z' });
  await isAnsweredBy(server, 'm', '2');
  await isInState(server, 'm@2', 'ready');
  assert.equal((await server.stop()).code, 0);
  await fake.close();
});
