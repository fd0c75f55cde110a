/** Versions that are no good in ways that only reading or trying them can tell, and calls that come while one is on its way. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
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
  sha256,
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

test('what was stored unsigned is refused when signatures are asked for, also while its source does not answer', {
  timeout: 60_000,
}, async (context) => {
  const state = stateFor(context);
  const model = modelOf(1);
  const listed = { files: [{ path: 'model.onnx', size: model.length, sha256: sha256(model) }] };
  const index = JSON.stringify({ schema: 1, serial: 1, models: { m: { versions: { 1: listed } } } });
  const web = createServer((request, response) => response.end(request.url?.endsWith('.onnx') ? model : index));
  web.listen(0, '127.0.0.1');
  await once(web, 'listening');
  context.after(() => web.close());
  const { port } = web.address() as AddressInfo;
  const start = async (signature: string) => {
    const source = `{ name: web, type: http, url: "http://127.0.0.1:${port}/index.json", poll_ms: 300, signature: ${signature} }`;
    const flags = state.config(`registry: { sources: [${source}] }\n`);
    const server = await startServer({ models: state.directory, processes: 1, env: state.env, flags });
    context.after(() => server.kill('SIGKILL'));
    return server;
  };
  const careless = await start('warn');
  assert.equal(await answeredBy(careless, 'm'), '1');
  assert.equal((await careless.stop()).code, 0);
  web.close();
  web.closeAllConnections();
  const careful = await start('require');
  assert.match((await isInState(careful, 'm@1', 'refused')).reason, /a signature is required.*unsigned/);
  assert.ok((await metric(careful, 'sluice_security_events_total{kind="signature"}')) >= 1);
  assert.equal((await careful.stop()).code, 0);
});
