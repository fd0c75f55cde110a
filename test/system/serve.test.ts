/** The server as a whole, on real processes: it starts, serves, survives, and ends. */
import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { dense, divInt, garbage, identity, slow, writeRepository } from '../fixtures.js';
import { type Answer, getJson, post, postOrAgain, startLoad } from './load.js';
import { failStart, freshDirectory, gatewayPids, startServer } from './server.js';

const shipped = fileURLToPath(new URL('../../../models', import.meta.url));

function denseRequest(value = 0.5): string {
  return JSON.stringify({
    inputs: [{ name: 'INPUT0', shape: [1, 30], datatype: 'FP32', data: new Array(30).fill(value) }],
  });
}

function intRequest(a: number, b: number): string {
  const tensor = (name: string, value: number) => ({ name, shape: [1, 1], datatype: 'INT32', data: [value] });
  return JSON.stringify({ inputs: [tensor('INPUT0', a), tensor('INPUT1', b)] });
}

const answerOf = (answer: Answer | 'refused'): Answer => {
  assert.notEqual(answer, 'refused');
  return answer as Answer;
};

test('the shipped models answer a real image with its digit', async (context) => {
  const server = await startServer({ models: shipped });
  context.after(() => server.kill('SIGKILL'));
  const body = JSON.stringify({
    inputs: [{ name: 'image', shape: [1, 64], datatype: 'FP32', data: new Array(64).fill(0) }],
  });
  const answer = answerOf(await post(`${server.http}/v2/models/digits/infer`, body));
  assert.equal(answer.status, 200);
  assert.equal(JSON.parse(answer.text).model_version, '2');
  assert.equal(answer.headers['x-sluice-version'], '2');
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test('SIGTERM under full load: not ready at once, no request fails, exit code 0', async (context) => {
  const models = writeRepository(freshDirectory(context), { dense: dense() });
  const server = await startServer({ models, flags: ['--drain-delay-ms', '1000', '--drain-timeout-ms', '10000'] });
  context.after(() => server.kill('SIGKILL'));
  const readyUrl = `${server.http}/v2/health/ready`;
  const load = startLoad({ url: `${server.http}/v2/models/dense/infer`, body: denseRequest(), clients: 16, readyUrl });
  while (load.answered() < 500) await new Promise((resolve) => setTimeout(resolve, 10));
  server.kill('SIGTERM');
  await server.line(({ msg }) => msg === 'stopping');
  const before = load.answered();
  let ready = await getJson(readyUrl);
  for (let tries = 0; ready.status === 200 && tries < 20; tries++) ready = await getJson(readyUrl);
  assert.equal(ready.status, 503);
  assert.equal((await getJson(`${server.http}/v2/health/live`)).status, 200);
  assert.deepEqual(await server.exited, { code: 0, signal: null });
  const { failures } = await load.stop();
  assert.ok(load.answered() > before, 'it went on serving while it drained');
  assert.deepEqual(failures, []);
});

test('SIGTERM while clients go on knocking: exit code 0, and whoever had a request read has its answer', async (context) => {
  const models = writeRepository(freshDirectory(context), { dense: dense() });
  const server = await startServer({ models, flags: ['--drain-delay-ms', '200', '--drain-timeout-ms', '10000'] });
  context.after(() => server.kill('SIGKILL'));
  const load = startLoad({ url: `${server.http}/v2/models/dense/infer`, body: denseRequest(), clients: 16 });
  while (load.answered() < 500) await new Promise((resolve) => setTimeout(resolve, 10));
  server.kill('SIGTERM');
  assert.deepEqual(await server.exited, { code: 0, signal: null });
  const { failures } = await load.stop();
  // A connection in the kernel's queue when the listener closes is reset by the kernel: nobody had read its request.
  const answered = failures.filter((text) => !text.startsWith('0 ECONNRESET'));
  assert.deepEqual(answered, []);
  assert.ok(failures.length <= 32, `${failures.length} resets: ${failures[0]}`);
});

test('a second signal ends the server without waiting', async (context) => {
  const models = writeRepository(freshDirectory(context), { dense: dense() });
  const server = await startServer({ models, flags: ['--drain-delay-ms', '60000'] });
  context.after(() => server.kill('SIGKILL'));
  server.kill('SIGTERM');
  await server.line(({ msg }) => msg === 'stopping');
  server.kill('SIGTERM');
  assert.deepEqual(await server.exited, { code: 0, signal: null });
});

test('kill -9 of one gateway process: the other answers, and it comes back', async (context) => {
  const models = writeRepository(freshDirectory(context), { dense: dense() });
  const server = await startServer({ models });
  context.after(() => server.kill('SIGKILL'));
  const victim = gatewayPids(server).get(1)!;
  const killedAt = performance.now();
  process.kill(victim, 'SIGKILL');
  const exit = await server.line(({ msg, process: number }) => msg === 'gateway.exit' && number === 1);
  assert.equal(exit.reason, 'SIGKILL');
  const answer = answerOf(await post(`${server.http}/v2/models/dense/infer`, denseRequest()));
  assert.equal(answer.status, 200);
  await server.line(
    ({ msg, process: number, gatewayPid }) => msg === 'gateway.ready' && number === 1 && gatewayPid !== victim,
  );
  const backMs = performance.now() - killedAt;
  context.diagnostic(`back after ${Math.round(backMs)} ms`);
  const metrics = await (await fetch(`${server.admin}/metrics`)).text();
  assert.match(metrics, /sluice_process_restarts_total\{reason="SIGKILL"\} 1/);
  assert.match(metrics, /sluice_worker_restarts_total\{reason="SIGKILL"\} 0/, 'a small model has no threads');
  assert.equal((await server.stop()).code, 0);
});

test('a model that crashes natively costs one process, not the service', async (context) => {
  const models = writeRepository(freshDirectory(context), { dense: dense(), div: divInt() });
  const server = await startServer({ models });
  context.after(() => server.kill('SIGKILL'));
  const good = answerOf(await post(`${server.http}/v2/models/div/infer`, intRequest(7, 2)));
  assert.equal(good.status, 200);
  await post(`${server.http}/v2/models/div/infer`, intRequest(-2147483648, -1));
  const exit = await server.line(({ msg }) => msg === 'gateway.exit');
  assert.equal(exit.reason, 'SIGFPE');
  assert.equal(answerOf(await post(`${server.http}/v2/models/dense/infer`, denseRequest())).status, 200);
  await server.line(({ msg, process: number, gatewayPid }) => {
    return msg === 'gateway.ready' && number === exit.process && gatewayPid !== exit.gatewayPid;
  });
  assert.equal((await server.stop()).code, 0);
});

test('a model that never returns costs one process, not the service, and the server still stops', async (context) => {
  const models = writeRepository(freshDirectory(context), { dense: dense(), loop: slow() });
  const server = await startServer({
    models,
    flags: ['--engine-hard-run-timeout-ms', '1000', '--drain-delay-ms', '0', '--drain-timeout-ms', '2000'],
  });
  context.after(() => server.kill('SIGKILL'));
  const body = JSON.stringify({ inputs: [{ name: 'INPUT0', shape: [1, 1], datatype: 'FP32', data: [1e18] }] });
  const hung = post(`${server.http}/v2/models/loop/infer`, body, undefined, { 'x-sluice-timeout-ms': '300' });
  const late = answerOf(await hung);
  assert.equal(late.status, 504);
  const overdue = await server.line(({ msg }) => msg === 'run.overdue');
  assert.equal(overdue.model, 'loop@1');
  for (let i = 0; i < 20; i++) {
    const { status, text } = answerOf(await postOrAgain(`${server.http}/v2/models/dense/infer`, denseRequest()));
    assert.equal(status, 200, `request ${i}: ${text}`);
  }
  await server.line(
    ({ msg, process: number }) =>
      msg === 'gateway.ready' && number === overdue.process && server.log.indexOf(overdue) >= 0,
  );
  await post(`${server.http}/v2/models/loop/infer`, body, undefined, { 'x-sluice-timeout-ms': '100' });
  assert.equal((await server.stop()).code, 0);
});

test('an empty HOME stays empty', async (context) => {
  const home = freshDirectory(context);
  const temporary = freshDirectory(context);
  const models = writeRepository(freshDirectory(context), { dense: dense() });
  const server = await startServer({ models, env: { HOME: home, TMPDIR: temporary, ORT_DISABLE_TELEMETRY: '' } });
  context.after(() => server.kill('SIGKILL'));
  await post(`${server.http}/v2/models/dense/infer`, denseRequest());
  assert.equal((await server.stop()).code, 0);
  assert.deepEqual(readdirSync(home), []);
  assert.deepEqual(readdirSync(temporary), []);
});

test('a taken port is one line that names it', async (context) => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  context.after(() => taken.close());
  const { port } = taken.address() as { port: number };
  const models = writeRepository(freshDirectory(context), { dense: dense() });
  const { code, stderr } = await failStart({ models, flags: ['--http-port', String(port)] });
  assert.equal(code, 1);
  assert.equal(stderr.trim().split('\n').length, 1);
  assert.match(stderr, new RegExp(`port ${port} .* in use.*--http-port`));
});

test('a second server on the same ports does not start', async (context) => {
  const models = writeRepository(freshDirectory(context), { dense: dense() });
  const first = await startServer({ models });
  context.after(() => first.kill('SIGKILL'));
  const port = new URL(first.http).port;
  const { code, stderr } = await failStart({ models, flags: ['--http-port', port] });
  assert.equal(code, 1);
  assert.match(stderr, new RegExp(`port ${port} .* in use`));
  assert.equal((await first.stop()).code, 0);
});

test('a folder that is not there, or holds no model, is one line that names it', async (context) => {
  const missing = join(freshDirectory(context), 'nothing');
  const absent = await failStart({ models: missing });
  assert.notEqual(absent.code, 0);
  assert.equal(absent.stderr.trim().split('\n').length, 1);
  assert.match(absent.stderr, /nothing' does not exist/);
  const empty = await failStart({ models: freshDirectory(context) });
  assert.notEqual(empty.code, 0);
  assert.match(empty.stderr, /no models found, expected <model>\/<version>\/model\.onnx/);
});

test('one broken model among others: they are served, it is listed with its reason, and the server is not ready', async (context) => {
  const models = writeRepository(freshDirectory(context), { dense: dense(), broken: garbage() });
  const server = await startServer({ models });
  context.after(() => server.kill('SIGKILL'));
  assert.equal(answerOf(await post(`${server.http}/v2/models/dense/infer`, denseRequest())).status, 200);
  const index = JSON.parse(answerOf(await post(`${server.http}/v2/repository/index`, '')).text);
  const broken = index.find(({ name }: { name: string }) => name === 'broken');
  assert.equal(broken.state, 'UNAVAILABLE');
  assert.notEqual(broken.reason, '');
  const ready = await getJson(`${server.http}/v2/health/ready`);
  assert.equal(ready.status, 503);
  assert.match(JSON.stringify(ready.json), /broken/);
  assert.equal((await server.stop()).code, 0);
});

test('only broken models: no start, one line, the reasons', async (context) => {
  const models = writeRepository(freshDirectory(context), { broken: garbage() });
  const { code, stderr } = await failStart({ models });
  assert.equal(code, 1);
  assert.match(stderr, /no model could be loaded: broken@1: /);
  assert.equal(stderr.trim().split('\n').length, 1);
});

test('a thousand models start lazily, and any of them answers its first request', async (context) => {
  const file = identity('FP32');
  const names = Array.from({ length: 1000 }, (_, i) => `m${i}`);
  const models = writeRepository(freshDirectory(context), Object.fromEntries(names.map((name) => [name, file])));
  const startedAt = performance.now();
  const server = await startServer({ models, flags: ['--load', 'lazy', '--models-lazy-max-open', '3'] });
  context.after(() => server.kill('SIGKILL'));
  context.diagnostic(`ready after ${Math.round(performance.now() - startedAt)} ms`);
  const body = JSON.stringify({ inputs: [{ name: 'INPUT0', shape: [1, 2], datatype: 'FP32', data: [1, 2] }] });
  for (const name of ['m0', 'm999', 'm500', 'm1', 'm2', 'm0']) {
    const answer = answerOf(await post(`${server.http}/v2/models/${name}/infer`, body));
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(JSON.parse(answer.text).outputs[0].data, [1, 2]);
  }
  assert.equal((await server.stop()).code, 0);
});

test('with load policy explicit a model is served from its load to its unload', async (context) => {
  const directory = freshDirectory(context);
  const models = writeRepository(directory, { dense: dense() });
  const server = await startServer({ models, flags: ['--load', 'explicit'] });
  context.after(() => server.kill('SIGKILL'));
  const infer = () =>
    post(`${server.http}/v2/models/dense/infer`, denseRequest()).then((answer) => answerOf(answer).status);
  const call = async (path: string) => answerOf(await post(`${server.http}/v2/repository/${path}`, ''));
  assert.deepEqual(JSON.parse((await call('index')).text), [{ name: 'dense', version: '', state: '', reason: '' }]);
  assert.equal(await infer(), 404);
  assert.equal((await call('models/dense/load')).status, 200);
  assert.equal(await infer(), 200);
  assert.equal((await call('models/dense/load')).status, 200, 'loading again reloads');
  assert.equal(await infer(), 200);
  assert.equal((await call('models/dense/unload')).status, 200);
  assert.equal(await infer(), 404);
  const [entry] = JSON.parse((await call('index')).text);
  assert.deepEqual(entry, { name: 'dense', version: '1', state: 'UNAVAILABLE', reason: 'unloaded' });
  assert.equal((await call('models/nothing/load')).status, 404);
  writeFileSync(join(directory, 'dense', '1', 'model.onnx'), garbage());
  const refused = await call('models/dense/load');
  assert.equal(refused.status, 409);
  assert.match(refused.text, /load failed for model 'dense': version 1: /);
  assert.equal((await server.stop()).code, 0);
});

test('without it, load and unload are not allowed', async (context) => {
  const models = writeRepository(freshDirectory(context), { dense: dense() });
  const server = await startServer({ models, processes: 1 });
  context.after(() => server.kill('SIGKILL'));
  const answer = answerOf(await post(`${server.http}/v2/repository/models/dense/unload`, ''));
  assert.equal(answer.status, 503);
  assert.match(answer.text, /explicit model load \/ unload is not allowed/);
  assert.equal((await server.stop()).code, 0);
});

test('statistics are those of all processes and of every request answered before', async (context) => {
  const models = writeRepository(freshDirectory(context), { dense: dense() });
  const server = await startServer({ models });
  context.after(() => server.kill('SIGKILL'));
  const load = startLoad({ url: `${server.http}/v2/models/dense/infer`, body: denseRequest(), clients: 8 });
  while (load.answered() < 200) await new Promise((resolve) => setTimeout(resolve, 5));
  const { ok } = await load.stop();
  const { json } = await getJson(`${server.http}/v2/models/dense/stats`);
  const [stats] = (
    json as { model_stats: { inference_count: number; inference_stats: { success: { count: number } } }[] }
  ).model_stats;
  assert.equal(stats!.inference_count, ok);
  assert.equal(stats!.inference_stats.success.count, ok);
  assert.equal((await server.stop()).code, 0);
});
