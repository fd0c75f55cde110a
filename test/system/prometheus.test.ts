/** A real Prometheus scrapes a real gateway to which everything happens that the dashboards show. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePort, skipWithout, startProcess } from '../servers/debian.js';
import { liveThrough, startEverything } from './everything.js';
import { freshDirectory, type Server } from './server.js';
import { eventually } from './versions-fixture.js';

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
  readonly annotations: { readonly list: readonly { readonly name: string; readonly expr: string }[] };
}

interface Query {
  readonly place: string;
  readonly expr: string;
}

const labelValues = /^label_values\((.+), (\w+)\)$/;

/** Everything that a dashboard asks Prometheus, with all values chosen. */
function queriesOf({ title, panels, templating, annotations }: Dashboard): Query[] {
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
  const marks = annotations.list.map(({ name, expr }) => ({ place: `${title} / ${name}`, expr: chosen(expr) }));
  return [...asked, ...values, ...marks];
}

const all = readdirSync(dashboards).flatMap((file) =>
  queriesOf(JSON.parse(readFileSync(join(dashboards, file), 'utf8'))),
);

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
  const everything = await startEverything(context);
  const { server } = everything;
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
  await liveThrough(everything);

  await eventually(async () => {
    const empty: string[] = [];
    for (const query of all)
      if ((await numbersOf(url, query)).length === 0) empty.push(`${query.place}: ${query.expr}`);
    assert.deepEqual(empty, [], 'these queries find nothing');
  }, 60_000);
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
