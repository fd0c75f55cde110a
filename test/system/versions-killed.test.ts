/** Versions when the machine does not play along: control killed in the middle of it, a store that is full, a thousand models. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { type ModelFiles, writeRepository } from '../fixtures.js';
import { getJson } from './load.js';
import { freshDirectory, gatewayPids, type Server, startServer } from './server.js';
import {
  answeredBy,
  isAnsweredBy,
  isInState,
  manifestOf,
  metric,
  modelOf,
  type State,
  sluice,
  stateFor,
  wholeVersion,
} from './versions-fixture.js';

const ballast = (bytes: number) => {
  const files = { 'model.onnx': modelOf(9), 'ballast.bin': Buffer.alloc(bytes, 7) };
  return { ...files, 'manifest.json': manifestOf(files) };
};

/** Pulls that are under way, or were. */
const incoming = ({ store }: State) => readdirSync(join(store, 'incoming')).filter((name) => name !== 'trash');

/** Kills control and whatever it started. */
async function killAll(server: Server): Promise<void> {
  const pids = [...gatewayPids(server).values()];
  server.kill('SIGKILL');
  await server.exited;
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It had ended with control.
    }
  }
}

test('control is killed at any point of a pull or a load, and a restart ends where it should', {
  timeout: 120_000,
}, async (context) => {
  const state = stateFor(context);
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: wholeVersion(1) } } });
  const start = () =>
    startServer({
      models,
      processes: 1,
      env: state.env,
      flags: ['--models-poll-ms', '100', '--models-keep-previous-ms', '0'],
    });
  for (const [version, afterMs] of [
    [2, 120],
    [3, 400],
  ] as const) {
    const server = await start();
    context.after(() => server.kill('SIGKILL'));
    assert.equal(await answeredBy(server, 'm'), String(version - 1));
    const files = { 'model.onnx': modelOf(version), 'ballast.bin': Buffer.alloc(32 * 2 ** 20, version) };
    writeRepository(models, { m: { versions: { [version]: { ...files, 'manifest.json': manifestOf(files) } } } });
    await wait(afterMs);
    await killAll(server);
    const again = await start();
    context.after(() => again.kill('SIGKILL'));
    await isAnsweredBy(again, 'm', String(version));
    assert.equal((await again.stop()).code, 0);
  }
  assert.deepEqual(incoming(state), [], 'nothing half-pulled is left');
  assert.equal((await sluice('audit', 'verify', '--path', state.audit)).code, 0);
});

test('a version that does not fit into the store is refused with a clear reason, and the one before serves', {
  timeout: 60_000,
}, async (context) => {
  const state = stateFor(context);
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: wholeVersion(1) } } });
  const flags = ['--models-poll-ms', '300', '--registry-store-max-bytes', '4MiB'];
  const server = await startServer({ models, processes: 1, env: state.env, flags });
  context.after(() => server.kill('SIGKILL'));
  writeRepository(models, { m: { versions: { 2: ballast(8 * 2 ** 20) } } });
  const { reason } = await isInState(server, 'm@2', 'failed');
  assert.match(reason, /store.*(MiB|bytes)/);
  assert.equal(await answeredBy(server, 'm'), '1');
  assert.ok((await metric(server, 'sluice_pull_failures_total{source="local",reason="resource_exhausted"}')) >= 1);
  assert.deepEqual(incoming(state), []);
  writeRepository(models, { m: { versions: { 3: wholeVersion(3) } } });
  await isAnsweredBy(server, 'm', '3');
  assert.equal((await server.stop()).code, 0);
});

/** Milliseconds of processor time that a process has used. */
function cpuMsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

test('a thousand models: ready at once when they are lazy, and watching them costs next to nothing', {
  timeout: 120_000,
}, async (context) => {
  const all: Record<string, ModelFiles> = {};
  for (let number = 0; number < 1000; number++) all[`m${number}`] = { versions: { 1: modelOf(number) } };
  const models = writeRepository(freshDirectory(context), all);
  const state = stateFor(context);
  const startedAt = performance.now();
  const server = await startServer({ models, env: state.env, flags: ['--models-load', 'lazy'] });
  context.after(() => server.kill('SIGKILL'));
  const startMs = performance.now() - startedAt;
  assert.equal((await getJson(`${server.http}/v2/health/ready`)).status, 200);
  assert.equal(await answeredBy(server, 'm777'), '1');
  // The two listings right after the start are not idle time; which windows they fall into is a matter of chance.
  const windowMs = 5000;
  const shares: number[] = [];
  for (let window = 0; window < 4; window++) {
    const before = cpuMsOf(server.pid);
    await wait(windowMs);
    shares.push((cpuMsOf(server.pid) - before) / windowMs);
  }
  const share = shares.sort((x, y) => x - y)[1]!;
  context.diagnostic(`ready after ${Math.round(startMs)} ms, control used ${(share * 100).toFixed(2)} % of a core`);
  assert.ok(share < 0.03, `${share}`);
  assert.equal((await server.stop()).code, 0);
});
