/** The latency buckets of a real gateway name a traced request, and a real Prometheus reads and keeps that. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeRepository } from '../fixtures.js';
import { FakeCollector } from '../servers/collector.js';
import { freePort, skipWithout, startProcess } from '../servers/debian.js';
import { freshDirectory, startServer } from './server.js';
import { eventually, modelOf, rowBody } from './versions-fixture.js';

const skip = skipWithout(['/usr/bin/prometheus'], 'prometheus');
const duration = 'sluice_request_duration_seconds_bucket';

test('a traced request is found from its latency bucket', { skip, timeout: 120_000 }, async (context) => {
  const collector = await FakeCollector.open(context);
  const models = writeRepository(freshDirectory(context), { m: modelOf(1) });
  const flags = ['--tracing-endpoint', collector.endpoint, '--tracing-sample', '0'];
  const server = await startServer({ models, flags });
  context.after(() => server.kill('SIGKILL'));
  const url = `${server.http}/v2/models/m/infer`;
  const traceId = 'c'.repeat(32);
  await (await fetch(url, { method: 'POST', body: rowBody })).text();
  const headers = { traceparent: `00-${traceId}-${'d'.repeat(16)}-01` };
  await (await fetch(url, { method: 'POST', body: rowBody, headers })).text();

  const textAs = async (accept: string) => (await fetch(`${server.admin}/metrics`, { headers: { accept } })).text();
  const lines = await eventually(async () => {
    const text = await textAs('application/openmetrics-text');
    const found = text.split('\n').filter((line) => line.includes(' # {'));
    assert.ok(found.length > 0);
    return found;
  });
  assert.equal(lines.length, 1, 'one request was traced');
  assert.match(
    lines[0]!,
    new RegExp(`^${duration}\\{.*\\} \\d+ # \\{trace_id="${traceId}"\\} [\\d.e-]+ \\d+\\.?\\d*$`),
  );
  assert.doesNotMatch(await textAs('text/plain'), / # \{/);

  const directory = freshDirectory(context);
  const target = new URL(server.admin).host;
  const config = `scrape_configs: [{job_name: g, scrape_interval: 1s, static_configs: [{targets: ["${target}"]}]}]`;
  writeFileSync(join(directory, 'prometheus.yml'), config);
  const port = await freePort();
  const prometheus = await startProcess({
    command: '/usr/bin/prometheus',
    parameters: [
      '--enable-feature=exemplar-storage',
      `--config.file=${join(directory, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(directory, 'storage')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    port,
  });
  context.after(() => prometheus.stop());
  await eventually(async () => {
    const now = Date.now() / 1000;
    const asked = new URLSearchParams({ query: duration, start: `${now - 600}`, end: `${now + 60}` });
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/query_exemplars?${asked}`);
    const { data } = (await answer.json()) as {
      data: { seriesLabels: { model: string }; exemplars: { labels: { trace_id: string } }[] }[];
    };
    assert.deepEqual(
      data.map(({ seriesLabels, exemplars }) => [seriesLabels.model, exemplars.map(({ labels }) => labels.trace_id)]),
      [['m', [traceId]]],
    );
  });
});
