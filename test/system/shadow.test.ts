/** Shadows on real processes: copies are compared, nobody waits for them, and a hung one goes by itself. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ShadowDocument } from '../../src/control/shadow-document.js';
import { slow, writeRepository } from '../fixtures.js';
import { post } from './load.js';
import { freshDirectory, gatewayPids, type Server, startServer } from './server.js';
import { admin, answeredBy, eventually, metric, modelOf, rowBody, sluice, stateFor } from './versions-fixture.js';

async function shadowOf(server: Server, name: string): Promise<ShadowDocument> {
  const { status, json } = await admin<{ shadows: ShadowDocument[] }>(server, 'shadows');
  assert.equal(status, 200);
  const found = json.shadows.find(({ shadow }) => shadow === name);
  assert.ok(found, `there is no shadow ${name}`);
  return found;
}

const requests = 40;

/** Sends so many requests and resolves with their statuses. */
async function send(server: Server, model: string, body = rowBody): Promise<Set<number>> {
  const statuses = new Set<number>();
  for (let sent = 0; sent < requests; sent++) {
    const answer = await post(`${server.http}/v2/models/${model}/infer`, body);
    assert.notEqual(answer, 'refused');
    statuses.add((answer as { status: number }).status);
  }
  return statuses;
}

test('a shadow sees every request, its answers are compared, and callers see only the primary', async (context) => {
  const state = stateFor(context);
  const models = writeRepository(freshDirectory(context), {
    m: { versions: { 1: modelOf(1), 2: modelOf(1), 3: modelOf(7) } },
  });
  const config = state.config(`
routes:
  m:
    shadows:
      - { name: same, version: "2", max_loop_lag: 10s, compare: { output: OUTPUT0, rule: match } }
      - { name: other, version: "3", percent: 50, max_loop_lag: 10s, compare: { rule: match } }
`);
  const server = await startServer({ models, flags: [...config, '--models-version-policy', 'all'], env: state.env });
  context.after(() => server.kill('SIGKILL'));

  assert.equal(await answeredBy(server, 'm'), '1', 'the newest versions are shadows, so the one before answers');
  assert.deepEqual(await send(server, 'm'), new Set([200]));

  const same = await eventually(async () => {
    const found = await shadowOf(server, 'same');
    assert.equal(found.pairs, requests + 1);
    return found;
  });
  assert.equal(same.outcomes.ok, requests + 1);
  assert.equal(same.mismatched_pairs, 0);
  assert.equal(same.outputs[0]!.match_rate, 1);
  assert.deepEqual(same.worst, []);

  const other = await eventually(async () => {
    const found = await shadowOf(server, 'other');
    assert.equal(found.outcomes.ok + found.outcomes.sampled_out, requests + 1);
    return found;
  });
  assert.ok(other.outcomes.sampled_out > 0 && other.outcomes.ok > 0, 'about half');
  assert.equal(other.mismatched_pairs, other.pairs, 'other weights give other answers');
  assert.ok(other.worst[0]!.max_abs_diff! >= other.worst.at(-1)!.max_abs_diff!);
  assert.match(other.worst[0]!.request_id, /./);
  assert.ok((await metric(server, 'sluice_shadow_requests_total{model="m",shadow="same",result="ok"}')) > requests);

  const shown = await sluice('shadow', 'show', 'm', '--url', server.admin);
  assert.match(shown.stdout, /m ⇢ same \(m version 2\)/);
  assert.match(shown.stdout, /WORST REQUEST/);
  const listed = await sluice('shadow', 'ls', '--url', server.admin);
  assert.match(listed.stdout, /^m +other +m@3 /m);
  const missing = await sluice('shadow', 'show', 'nothing', '--url', server.admin);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /route 'nothing' has no shadow/);

  // Promoted, the shadow answers like any other version, and is a shadow no longer.
  assert.equal((await admin(server, 'models/m/promote', { version: '3' })).status, 200);
  assert.equal(await answeredBy(server, 'm'), '3');
  await send(server, 'm');
  const promoted = await shadowOf(server, 'other');
  assert.ok(promoted.outcomes.same_version > 0, JSON.stringify(promoted.outcomes));
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test('a shadow that never ends costs no caller an answer, and is dropped by itself', async (context) => {
  const state = stateFor(context);
  const models = writeRepository(freshDirectory(context), { m: modelOf(1), hung: slow(['batch', 4]) });
  const config = state.config(`
routes:
  m:
    shadows:
      - { name: hung, model: hung, timeout: 300ms, max_loop_lag: 10s }
engine:
  hard_run_timeout_ms: 2000
`);
  const server = await startServer({ models, flags: config, env: state.env });
  context.after(() => server.kill('SIGKILL'));
  const before = gatewayPids(server);
  // The loop turns as often as the largest number says.
  const body = JSON.stringify({
    inputs: [{ name: 'INPUT0', shape: [1, 4], datatype: 'FP32', data: [1e9, 2, 3, 4] }],
  });
  assert.deepEqual(await send(server, 'm', body), new Set([200]));
  await eventually(async () => {
    const { outcomes } = await shadowOf(server, 'hung');
    assert.ok(outcomes.timeout > 0, JSON.stringify(outcomes));
  });
  await server.line(({ msg }) => msg === 'shadow.dropped');
  const dropped = await eventually(async () => {
    await send(server, 'm', body);
    const { outcomes } = await shadowOf(server, 'hung');
    assert.ok(outcomes.not_ready > 0, JSON.stringify(outcomes));
    return outcomes;
  });
  assert.equal(dropped.ok, 0);
  assert.deepEqual(await send(server, 'm', body), new Set([200]));
  assert.deepEqual(gatewayPids(server), before, 'no process was lost');
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test('what a shadow cannot be is refused by check with the path of the key', async (context) => {
  const state = stateFor(context);
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: modelOf(1), 2: modelOf(2) } } });
  const check = (shadows: string) => {
    writeFileSync(join(state.directory, 'sluice.yaml'), `routes:\n  m:\n    shadows: ${shadows}\n`);
    return sluice('check', '--config', join(state.directory, 'sluice.yaml'), '--models', models);
  };
  for (const [shadows, expected] of [
    ['[{ name: s, version: "9" }]', /routes\.m\.shadows\.0\.version: expected a version of 'm'/],
    ['[{ name: s, alias: champion }]', /routes\.m\.shadows\.0.*itself|another version/],
    ['[{ name: s, version: "1" }, { name: s, version: "1" }]', /routes.*shadows.*name/],
    ['[{ name: s, version: "1", percent: 101 }]', /percent/],
  ] as const) {
    const { code, stderr } = await check(shadows);
    assert.equal(code, 2, stderr);
    assert.match(stderr, expected);
  }
  assert.equal((await check('[{ name: s, version: "1" }]')).code, 0);
});

test('a start with a route that cannot be is told of, and serves', async (context) => {
  const state = stateFor(context);
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: modelOf(1), 2: modelOf(2) } } });
  const flags = state.config('routes:\n  m:\n    shadows: [{ name: s, alias: champion }]\n');
  const server = await startServer({ models, flags, env: state.env });
  context.after(() => server.kill('SIGKILL'));
  const { problem } = await server.line(({ msg }) => msg === 'routes.problem');
  assert.match(String(problem), /^routes\.m\.shadows\.0: expected another version than 2 of 'm'/);
  assert.deepEqual(await send(server, 'm'), new Set([200]));
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});
