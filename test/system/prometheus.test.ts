/** A real Prometheus scrapes a real gateway to which everything happens that the dashboards show. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { garbage, slow, writeRepository } from '../fixtures.js';
import { freePort, skipWithout, startProcess } from '../servers/debian.js';
import { post, startLoad } from './load.js';
import { freshDirectory, gatewayPids, type Server, startServer } from './server.js';
import {
  admin,
  eventually,
  isAnsweredBy,
  isInState,
  metric,
  modelOf,
  rowBody,
  wholeVersion,
} from './versions-fixture.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const dashboards = join(root, 'config', 'grafana', 'dashboards');
const skip = skipWithout(['/usr/bin/prometheus', '/usr/bin/promtool'], 'prometheus');

interface Variable {
  readonly name: string;
  readonly type: string;
  readonly query: string | { readonly query: string };
}

interface Dashboard {
  readonly title: string;
  readonly panels: readonly { readonly title: string; readonly targets: readonly { readonly expr: string }[] }[];
  readonly templating: { readonly list: readonly Variable[] };
}

interface Query {
  readonly place: string;
  readonly expr: string;
}

const labelValues = /^label_values\((.+), (\w+)\)$/;

/** Everything that a dashboard asks Prometheus, with all values chosen. */
function queriesOf({ title, panels, templating }: Dashboard): Query[] {
  const variables = templating.list.filter(({ type }) => type === 'query');
  const chosen = (expr: string) =>
    variables.reduce((text, { name }) => text.replaceAll(`$${name}`, '.*'), expr.replaceAll('$__rate_interval', '1m'));
  const asked = panels.flatMap((panel) =>
    panel.targets.map(({ expr }) => ({ place: `${title} / ${panel.title}`, expr: chosen(expr) })),
  );
  const values = variables.map(({ name, query }) => {
    const [, series, label] = labelValues.exec(typeof query === 'string' ? query : query.query)!;
    return { place: `${title} / $${name}`, expr: `count by (${label}) (${chosen(series!)})` };
  });
  return [...asked, ...values];
}

const all = readdirSync(dashboards).flatMap((file) =>
  queriesOf(JSON.parse(readFileSync(join(dashboards, file), 'utf8'))),
);

/** A version that is good, one that is not, one with a turned byte, a swap, a rollback, a refusal and a restart. */
async function liveThrough(server: Server, models: string): Promise<void> {
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

/** The shipped rules and scrape configuration, with every interval a second and this gateway as the target. */
function writeConfig(directory: string, server: Server): void {
  cpSync(join(root, 'config', 'prometheus'), directory, { recursive: true });
  const shipped = readFileSync(join(directory, 'prometheus.yml'), 'utf8');
  const text = shipped.replaceAll('15s', '1s').replace('gateway:8002', new URL(server.admin).host);
  assert.notEqual(text, shipped);
  writeFileSync(join(directory, 'prometheus.yml'), text);
}

/** What Prometheus answers. A quotient of nothing by nothing is no answer. @throws what it says of a query that is wrong */
async function numbersOf(url: string, { place, expr }: Query): Promise<number[]> {
  const answer = await fetch(`${url}/api/v1/query`, { method: 'POST', body: new URLSearchParams({ query: expr }) });
  const { error, data } = (await answer.json()) as {
    error?: string;
    data?: { result: { value: [number, string] }[] };
  };
  assert.ok(data, `${place}: ${error}: ${expr}`);
  return data.result.map(({ value }) => Number(value[1])).filter((value) => !Number.isNaN(value));
}

test('every query of the dashboards finds something, and promtool finds nothing wrong with the metrics', {
  skip,
  timeout: 180_000,
}, async (context) => {
  const models = writeRepository(freshDirectory(context), { m: modelOf(1), slow: slow() });
  const server = await startServer({
    models,
    flags: ['--models-poll-ms', '200', '--batching-max-queue-size', '2', '--models-keep-previous-ms', '600000'],
  });
  context.after(() => server.kill('SIGKILL'));
  const load = startLoad({ url: `${server.http}/v2/models/m/infer`, body: rowBody, clients: 2 });
  context.after(() => load.stop());

  const directory = freshDirectory(context);
  writeConfig(directory, server);
  const port = await freePort();
  const prometheus = await startProcess({
    command: '/usr/bin/prometheus',
    parameters: [
      `--config.file=${join(directory, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(directory, 'storage')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    port,
  });
  context.after(() => prometheus.stop());
  const url = `http://127.0.0.1:${port}`;

  await eventually(async () => assert.deepEqual(await numbersOf(url, { place: 'up', expr: 'up' }), [1]));
  await liveThrough(server, models);

  await eventually(async () => {
    const empty: string[] = [];
    for (const query of all)
      if ((await numbersOf(url, query)).length === 0) empty.push(`${query.place}: ${query.expr}`);
    assert.deepEqual(empty, [], 'these queries find nothing');
  });
  context.diagnostic(`${all.length} queries`);

  const text = await (await fetch(`${server.admin}/metrics`)).text();
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
  assert.equal(status, 0, `${stdout}${stderr}`);

  const rules = (await (await fetch(`${url}/api/v1/rules`)).json()) as {
    data: { groups: { rules: { name: string; health: string; lastError?: string }[] }[] };
  };
  for (const { name, health, lastError } of rules.data.groups.flatMap((group) => group.rules))
    assert.equal(health, 'ok', `${name}: ${lastError}`);
  const targets = (await (await fetch(`${url}/api/v1/targets`)).json()) as {
    data: { activeTargets: { health: string; lastError: string }[] };
  };
  assert.deepEqual(
    targets.data.activeTargets.map(({ health, lastError }) => [health, lastError]),
    [['up', '']],
  );
});
