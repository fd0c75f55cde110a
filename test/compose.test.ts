/** docker-compose.yml, as far as it can be held against what it puts together without running containers. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { loadConfig } from '../src/config/load.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');

interface Service {
  readonly build?: string;
  readonly image?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports: readonly string[];
  readonly volumes: readonly string[];
  readonly depends_on?: readonly string[];
}

const compose: { services: Record<string, Service>; volumes: Record<string, unknown> } = parse(
  read('docker-compose.yml'),
);
const { gateway, prometheus, grafana } = compose.services as Record<'gateway' | 'prometheus' | 'grafana', Service>;
const dockerfile = read('Dockerfile');
const word = (name: string) => new RegExp(`^${name} (.*)$`, 'm').exec(dockerfile)![1]!.split(' ');

test('the gateway is built here and publishes what its image exposes, the control port to this machine only', () => {
  assert.ok(existsSync(join(root, gateway.build!, 'Dockerfile')));
  const published = gateway.ports.map((port) => port.split(':'));
  assert.deepEqual(published.map((parts) => parts.at(-1)).sort(), word('EXPOSE').sort());
  assert.equal(published.find((parts) => parts.at(-1) === '8002')!.at(0), '127.0.0.1');
  const [[, kept] = []] = gateway.volumes.map((volume) => volume.split(':'));
  assert.equal(kept, word('VOLUME')[0]);
});

test("the gateway's variables are options that it has, and agree with one another", () => {
  const env = Object.fromEntries(
    Object.entries(gateway.environment!).map(([name, value]) => [name, value.replace(/^\$\{.*\}$/, 'x'.repeat(32))]),
  );
  const { config } = loadConfig({ env });
  assert.deepEqual([config.admin.host, config.admin.metrics_open], ['0.0.0.0', true]);
});

test('other images are named with their versions, and nothing but the gateway is open to others', () => {
  for (const { image, ports } of [prometheus, grafana]) {
    assert.match(image!, /^[a-z]+\/[a-z]+:v?[0-9]+\.[0-9]+\.[0-9]+$/);
    for (const port of ports) assert.match(port, /^127\.0\.0\.1:/);
  }
});

test('every file that is mounted is there, every volume is declared, every service that is waited for exists', () => {
  for (const { volumes, depends_on = [] } of Object.values(compose.services)) {
    for (const volume of volumes) {
      const [from = '', , mode] = volume.split(':');
      if (!from.startsWith('.')) assert.ok(from in compose.volumes, volume);
      else assert.ok(existsSync(join(root, from)) && mode === 'ro', volume);
    }
    for (const other of depends_on) assert.ok(other in compose.services, other);
  }
});

test('Prometheus scrapes the service by its name, and Grafana finds Prometheus and the dashboards where they are mounted', () => {
  const { scrape_configs } = parse(read('config/prometheus/prometheus.yml'));
  assert.deepEqual(scrape_configs[0].static_configs[0].targets, ['gateway:8002']);
  const provisioning = 'config/grafana/provisioning';
  const only = (folder: string) => {
    const [file] = readdirSync(join(root, provisioning, folder));
    return parse(read(join(provisioning, folder, file!)));
  };
  assert.equal(only('datasources').datasources[0].url, 'http://prometheus:9090');
  const { path } = only('dashboards').providers[0].options;
  assert.ok(grafana.volumes.some((volume) => volume === `./config/grafana/dashboards:${path}:ro`));
});

test('panels of a dashboard have ids of their own, lie side by side, and dashboards have uids of their own', () => {
  const folder = 'config/grafana/dashboards';
  interface Panel {
    readonly id: number;
    readonly title: string;
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  }
  const boards: { uid: string; title: string; panels: Panel[] }[] = readdirSync(join(root, folder)).map((file) =>
    JSON.parse(read(join(folder, file))),
  );
  assert.equal(new Set(boards.map(({ uid }) => uid)).size, boards.length);
  for (const { title, panels } of boards) {
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length, title);
    const taken = new Map<string, string>();
    for (const { title: panel, gridPos } of panels) {
      const { x, y, w, h } = gridPos;
      assert.ok(x + w <= 24, panel);
      for (let column = x; column < x + w; column++)
        for (let line = y; line < y + h; line++) {
          const place = `${column} ${line}`;
          assert.equal(taken.get(place), undefined, `${title}: ${panel} lies on ${taken.get(place)}`);
          taken.set(place, panel);
        }
    }
  }
});
