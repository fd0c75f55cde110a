/** Versions that are no good in ways that only reading or trying them can tell, and calls that come while one is on its way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loopForever, sequenceOut, truncated, writeRepository } from '../fixtures.js';
import { startLoad } from './load.js';
import { freshDirectory, startServer } from './server.js';
import {
  admin,
  answeredBy,
  eventually,
  isInState,
  metric,
  modelOf,
  rowBody,
  type ShownModel,
  shown,
  stateFor,
} from './versions-fixture.js';

test('what cannot be read, opened or tried in time is refused with its reason, and nobody notices', {
  timeout: 120_000,
}, async (context) => {
  const state = stateFor(context);
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: modelOf(1) } } });
  const flags = ['--models-poll-ms', '200', '--admission-timeout-ms', '1500'];
  const server = await startServer({ models, processes: 1, env: state.env, flags });
  context.after(() => server.kill('SIGKILL'));
  const load = startLoad({ url: `${server.http}/v2/models/m/infer`, body: rowBody, clients: 2 });
  const hostile = [
    { version: '2', model: truncated(), reason: /ONNX|protobuf|truncated|ends/i, verdict: 'parse' },
    { version: '3', model: sequenceOut(), reason: /sequence|tensor/i, verdict: 'unsupported' },
    { version: '4', model: loopForever(), reason: /did not finish its trial within 1500 ms/, verdict: 'timeout' },
  ];
  for (const { version, model, reason, verdict } of hostile) {
    await context.test(`version ${version}: ${verdict}`, async () => {
      writeRepository(models, { m: { versions: { [version]: model } } });
      const found = await isInState(server, `m@${version}`, 'refused');
      assert.match(found.reason, reason);
      assert.equal(await answeredBy(server, 'm'), '1');
      assert.ok((await metric(server, `sluice_admission_total{verdict="${verdict}"}`)) >= 1);
    });
  }
  await context.test('none of them is tried again by itself', async () => {
    const tried = () => metric(server, 'sluice_admission_total{verdict="timeout"}');
    const [before, polls] = [
      await tried(),
      await metric(server, 'sluice_registry_polls_total{source="local",result="same"}'),
    ];
    await eventually(async () =>
      assert.ok((await metric(server, 'sluice_registry_polls_total{source="local",result="same"}')) > polls + 3),
    );
    assert.equal(await tried(), before);
  });
  const { failures } = await load.stop();
  assert.deepEqual(failures, []);
  assert.equal((await server.stop()).code, 0);
});

test('a stop while a version is tried that never ends is over in time, with exit code 0', {
  timeout: 60_000,
}, async (context) => {
  const state = stateFor(context);
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: modelOf(1) } } });
  const flags = ['--models-poll-ms', '200', '--admission-timeout-ms', '50000', '--drain-delay-ms', '0'];
  const server = await startServer({ models, processes: 1, env: state.env, flags });
  context.after(() => server.kill('SIGKILL'));
  writeRepository(models, { m: { versions: { 2: loopForever() } } });
  await isInState(server, 'm@2', 'admitting');
  assert.equal(await answeredBy(server, 'm'), '1');
  const since = performance.now();
  assert.equal((await server.stop()).code, 0);
  const tookMs = performance.now() - since;
  assert.ok(tookMs < 20_000, `it took ${tookMs} ms`);
});

test('loads and unloads of one model that come all at once follow one another, and the last one counts', {
  timeout: 60_000,
}, async (context) => {
  const state = stateFor(context);
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: modelOf(1) } } });
  const server = await startServer({ models, processes: 1, env: state.env, flags: ['--models-poll-ms', '0'] });
  context.after(() => server.kill('SIGKILL'));
  const call = (verb: string) => admin<ShownModel & { error?: string }>(server, `models/m/${verb}`, {});
  const all = async (verbs: readonly string[]) => {
    for (const { status, json } of await Promise.all(verbs.map(call))) assert.equal(status, 200, json.error);
  };
  await all(Array.from({ length: 12 }, (_, index) => (index % 2 === 0 ? 'unload' : 'load')));
  await all(['unload', 'unload']);
  assert.equal((await shown(server, 'm', '1')).state, 'unloaded');
  await all(['load', 'load', 'load']);
  assert.equal((await shown(server, 'm', '1')).state, 'ready');
  assert.equal(await answeredBy(server, 'm'), '1');
  assert.equal((await server.stop()).code, 0);
});
