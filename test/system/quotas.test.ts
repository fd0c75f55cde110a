/** Quotas on a real process, over HTTP and gRPC: a tenant beyond its own is refused by name, others are not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { slow, writeRepository } from '../fixtures.js';
import { freshDirectory, startServer } from './server.js';
import { metric, stateFor } from './versions-fixture.js';

test('a tenant that uses more than its quota gets 429 with its name and a time, and others go on', async (context) => {
  const state = stateFor(context);
  const models = writeRepository(freshDirectory(context), { slow: slow() });
  const config = state.config(`
quotas:
  key: [header:x-tenant, param:tenant]
  tenants: { acme: { ms_per_s: 1, burst_ms: 1, weight: 2 } }
`);
  const server = await startServer({ models, flags: config, env: state.env, processes: 1 });
  context.after(() => server.kill('SIGKILL'));
  const ask = (headers: Record<string, string>, parameters = {}) =>
    fetch(`${server.http}/v2/models/slow/infer`, {
      method: 'POST',
      headers,
      body: JSON.stringify({
        parameters,
        inputs: [{ name: 'INPUT0', shape: [1, 2], datatype: 'FP32', data: [20_000, 1] }],
      }),
    });
  assert.equal((await ask({ 'x-tenant': 'acme' })).status, 200);
  const refused = await ask({ 'x-tenant': 'acme' });
  assert.equal(refused.status, 429);
  assert.match(((await refused.json()) as { error: string }).error, /tenant 'acme' has used its quota of 1 ms/);
  assert.ok(Number(refused.headers.get('retry-after')) >= 1);
  assert.equal((await ask({}, { tenant: 'acme' })).status, 429, 'a parameter says it as well');
  assert.equal((await ask({ 'x-tenant': 'other' })).status, 200);
  assert.equal((await ask({})).status, 200);
  assert.equal(await metric(server, 'sluice_tenant_refused_total{tenant="acme"}'), 2);
  assert.equal(await metric(server, 'sluice_rejected_total{model="slow",reason="quota"}'), 2);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});
