/** Names that callers choose – tenants, models, versions, labels, headers – in every form that could break a text of metrics or a log. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { GatewayError } from '../../src/core/errors.js';
import type { GatewayEvent } from '../../src/core/events.js';
import { createMetrics } from '../../src/observe/metrics.js';
import { Router } from '../../src/routing/router.js';
import { dense, writeRepository } from '../fixtures.js';
import { exchange, requestBytes } from '../raw-http.js';
import { freshDirectory, startServer } from './server.js';
import { eventually, rowBody, sizes, stateFor } from './versions-fixture.js';

const promtool = '/usr/bin/promtool';

test('100,000 models that nobody serves are one series', () => {
  const metrics = createMetrics(() => 0);
  const router = new Router({
    observe: (event: GatewayEvent) => metrics.observe(event),
    now: () => 0,
    want: async () => {},
    expose: () => undefined,
  });
  const error = new GatewayError('NOT_FOUND', 'no');
  for (let i = 0; i < 100_000; i++) router.refuse({ model: `"\n\\${i}`, protocol: 'http', receivedAt: 0, error });
  const { families } = metrics.snapshot({ versions: [], families: [] });
  const requests = families.find(({ name }) => name === 'sluice_requests_total')!.series;
  assert.deepEqual(
    requests.map(({ labels, value }) => [labels.model, value]),
    [['_other', 100_000]],
  );
});

const texts = [
  'plain',
  'with "quotes"',
  'back\\slash',
  'line\nfeed',
  'line\r\nfeed',
  'a} 1\nevil_total 7',
  '\u0000',
  '\u001b[31mred\u001b[0m',
  '\u202eright to left',
  '\u2028',
  '<img src=x onerror=alert(1)>',
  '😀'.repeat(64),
  '😀'.repeat(65),
  'x'.repeat(10_000),
  '__proto__',
  'constructor',
  '_other',
];
/** As a body spells it: half of a character, which no text of ours can hold. */
const half = '"\\ud800"';

test('whatever callers call themselves and ask for, metrics can be read, their number is bounded, and a log line is one', {
  timeout: 90_000,
}, async (context) => {
  const state = stateFor(context);
  const models = writeRepository(freshDirectory(context), { m: dense(sizes) });
  const flags = state.config(`
log: { access: 1 }
metrics: { series_max: 600 }
quotas: { key: [param:tenant, header:x-tenant] }
routes: { m: { key: [param:user, header:x-user], default: a, variants: { a: { version: "1", weight: 1 } } } }
`);
  const server = await startServer({ models, processes: 1, env: state.env, flags });
  context.after(() => server.kill('SIGKILL'));
  const { port } = new URL(server.http);
  const ask = async (path: string, headers: Record<string, string> = {}, body = rowBody) => {
    const reply = await exchange({
      port: Number(port),
      packets: [requestBytes({ path, headers, body })],
    });
    return reply.status;
  };
  const infer = '/v2/models/m/infer';
  const as = (parameter: string, text: string) => rowBody.replace('{', `{"parameters":{"${parameter}":${text}},`);

  await context.test('as parameters of a request', async () => {
    for (const text of [...texts.map((one) => JSON.stringify(one)), half])
      for (const parameter of ['tenant', 'user']) {
        const status = await ask(infer, {}, as(parameter, text));
        assert.ok(status === 200 || status === 400, `${parameter} ${text.slice(0, 40)}: ${status}`);
      }
  });

  await context.test('as names, versions and labels in a path', async () => {
    for (const text of texts.map(encodeURIComponent).concat('%ff%fe', '%00', '%'))
      for (const path of [
        `/v2/models/${text}/infer`,
        `/v2/models/m/versions/${text}/infer`,
        `/v2/models/m/labels/${text}/infer`,
      ]) {
        const status = await ask(path);
        assert.ok([400, 404, 414, 431].includes(status), `${path.slice(0, 60)}: ${status}`);
      }
  });

  await context.test('as headers', async () => {
    const values = ['"; drop', '\\', 'x'.repeat(4000), 'Ã©\u00ff', '\t', '%0a', '{{7*7}}'];
    for (const value of values)
      for (const name of [
        'x-tenant',
        'x-user',
        'x-sluice-variant',
        'x-request-id',
        'traceparent',
        'tracestate',
        'user-agent',
      ]) {
        const status = await ask(infer, { [name]: value });
        assert.ok([200, 400, 431].includes(status), `${name}: ${value.slice(0, 20)}: ${status}`);
      }
  });

  await context.test('in such numbers', async () => {
    const many = async (from: number) => {
      for (let i = from; i < from + 400; i++) {
        await ask(infer, { 'x-tenant': `made-up-${i}` });
        await ask(`/v2/models/made-up-${i}/infer`);
      }
    };
    await Promise.all([0, 400, 800].map(many));
  });

  const text = await (await fetch(`${server.admin}/metrics`)).text();
  assert.ok(text.length < 2_000_000, `${text.length}`);
  assert.doesNotMatch(text, /^evil_total/m);
  const seriesOf = (name: string) => text.split('\n').filter((line) => line.startsWith(`${name}{`));
  assert.ok(seriesOf('sluice_tenant_seconds_total').length <= 601);
  assert.ok(seriesOf('sluice_tenant_seconds_total').some((line) => line.includes('with \\"quotes\\"')));
  const named = new Set(seriesOf('sluice_requests_total').map((line) => /model="(.*?)"/.exec(line)?.[1]));
  assert.deepEqual([...named].sort(), ['_other', 'm']);
  for (const line of text.split('\n')) assert.ok(line.length < 3000, line.slice(0, 100));
  if (existsSync(promtool)) {
    const { status, stdout, stderr } = spawnSync(promtool, ['check', 'metrics'], { input: text, encoding: 'utf8' });
    assert.equal(status, 0, `${stdout}${stderr}`);
  } else {
    assert.equal(process.env.CI, undefined, 'CI has promtool');
    context.diagnostic('promtool is missing: apt-get install prometheus');
  }

  await eventually(() => assert.ok(server.log.some(({ msg }) => msg === 'access')));
  for (const line of server.log) {
    assert.equal(typeof line.level, 'string', `no line of ours: ${line.msg.slice(0, 100)}`);
    assert.ok(JSON.stringify(line).length < 4000, line.msg);
  }
  assert.equal((await fetch(`${server.http}/v2/health/live`)).status, 200);
});
