/** A server to which everything happens that can be watched: what dashboards and the list of metrics are held against. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { garbage, slow, writeRepository } from '../fixtures.js';
import { FakeCollector } from '../servers/collector.js';
import { receiver, secret } from '../triggers-fixture.js';
import { post } from './load.js';
import { gatewayPids, type Server, startServer } from './server.js';
import {
  admin,
  eventually,
  isAnsweredBy,
  isInState,
  metric,
  modelOf,
  rowBody,
  type State,
  stateFor,
  wholeVersion,
} from './versions-fixture.js';

const shipped = fileURLToPath(new URL('../../../models', import.meta.url));
const digitBody = readFileSync(join(shipped, 'examples', 'digit-7.json'), 'utf8');

export interface Everything {
  readonly server: Server;
  /** The folder it serves. */
  readonly models: string;
}

function configOf(state: State, urls: { readonly collector: string; readonly hook: string }): string {
  return `
models: { version_policy: all, poll_ms: 200, keep_previous_ms: 600000 }
batching: { max_queue_size: 2 }
gateway: { beat_ms: 300 }
prediction_log: { enabled: true, path: ${join(state.directory, 'log')}, flush_ms: 20 }
drift: { minute_ms: 300 }
tracing: { endpoint: "${urls.collector}", sample: 0.1 }
cache: { enabled: true }
model_overrides: { kept: { response_cache: true } }
quotas: { key: [header:x-tenant], tenants: { acme: { ms_per_s: 1000 } } }
triggers:
  path: ${join(state.directory, 'outbox')}
  endpoints: { hook: { url: "${urls.hook}", secret_env: HOOK_SECRET } }
routes:
  split:
    key: [header:x-user]
    salt: everything
    default: a
    variants: { a: { version: "1", weight: 50 }, b: { version: "2", weight: 50 } }
    canary: { variant: b, interval: 1s, steps: [50, 100], min_duration: 1h, max_duration: 2h }
    shadows: [{ name: twin, model: kept, max_loop_lag: 10s }]
`;
}

/** With callers of every model, until the test is over. */
export async function startEverything(context: TestContext): Promise<Everything> {
  const state = stateFor(context);
  const { endpoint: collector } = await FakeCollector.open(context);
  const { url: hook } = await receiver(context);
  const models = writeRepository(join(state.directory, 'models'), {
    m: modelOf(1),
    kept: modelOf(3),
    split: { versions: { 1: modelOf(1), 2: modelOf(2) } },
    slow: slow(),
  });
  cpSync(join(shipped, 'digits', '1'), join(models, 'digits', '1'), { recursive: true });
  const server = await startServer({
    models,
    env: { ...state.env, HOOK_SECRET: secret },
    flags: state.config(configOf(state, { collector, hook })),
  });
  context.after(() => server.kill('SIGKILL'));
  const traffic = startTraffic(server);
  context.after(() => traffic.stop());
  return { server, models };
}

/** Callers of every model, until told to stop. */
function startTraffic(server: Server): { stop(): Promise<void> } {
  let isStopped = false;
  const ask = async (round: number) => {
    const send = (model: string, body: string, headers = {}) =>
      post(`${server.http}/v2/models/${model}/infer`, body, undefined, headers);
    await send('m', rowBody, { 'x-tenant': 'acme' });
    await send('kept', rowBody);
    await send('split', rowBody, { 'x-user': `u${round % 1000}` });
    const [input] = JSON.parse(digitBody).inputs;
    // No two windows are quite alike.
    const data = Array.from({ length: 20 }, (_, item) =>
      input.data.map((value: number, pixel: number) => Math.min(16, value + ((round + item + pixel) % 7))),
    ).flat();
    const id = `case-${round}`;
    await send('digits', JSON.stringify({ id, inputs: [{ ...input, shape: [20, 64], data }] }));
    const labels = [0, 1, 2].map((item) => ({ request_id: id, item_index: item, label: item }));
    await fetch(`${server.http}/v2/models/digits/feedback`, { method: 'POST', body: JSON.stringify(labels) });
  };
  const loop = (async () => {
    for (let round = 0; !isStopped; round++) await ask(round).catch(() => {});
  })();
  return {
    stop: () => {
      isStopped = true;
      return loop;
    },
  };
}

/** A version that is good, one that is not, one with a turned byte, a swap, a rollback, a refusal, a restart, a stranger. */
export async function liveThrough({ server, models }: Everything): Promise<void> {
  const put = (version: string, files: Readonly<Record<string, Buffer | string>>) => {
    mkdirSync(join(models, 'm', version), { recursive: true });
    for (const [name, bytes] of Object.entries(files)) writeFileSync(join(models, 'm', version, name), bytes);
  };
  put('2', wholeVersion(2));
  await isAnsweredBy(server, 'm', '2');
  put('3', { 'model.onnx': garbage() });
  await isInState(server, 'm@3', 'refused');
  const { 'manifest.json': manifest } = wholeVersion(4);
  put('4', { 'model.onnx': modelOf(5), 'manifest.json': manifest! });
  await isInState(server, 'm@4', 'refused');
  assert.equal((await admin(server, 'models/m/rollback', { reason: 'test' })).status, 200);
  const foreign = await fetch(`${server.admin}/admin/me`, { headers: { origin: 'https://evil.example' } });
  assert.equal(foreign.status, 403);
  const tested = await admin(server, 'triggers/test', { model: 'm' });
  assert.equal(tested.status, 200, tested.json.error);
  const body = JSON.stringify({ inputs: [{ name: 'INPUT0', shape: [1, 2], datatype: 'FP32', data: [3000, 1] }] });
  await eventually(async () => {
    await Promise.all(Array.from({ length: 24 }, () => post(`${server.http}/v2/models/slow/infer`, body)));
    assert.ok((await metric(server, 'sluice_rejected_total{model="slow",reason="queue_full"}')) > 0);
  });
  const victim = gatewayPids(server).get(1)!;
  process.kill(victim, 'SIGKILL');
  await server.line(
    ({ msg, gatewayPid }) =>
      msg === 'gateway.ready' && Number(gatewayPid) !== victim && gatewayPids(server).get(1) !== victim,
  );
}
