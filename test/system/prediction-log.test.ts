/** The prediction log on real processes: every request is a row, over HTTP and gRPC, and can be asked for. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gatewayPids, type Server, startServer } from './server.js';
import { admin, eventually, metric, sluice, stateFor } from './versions-fixture.js';

const models = fileURLToPath(new URL('../../../models', import.meta.url));

interface Answer {
  readonly columns: readonly { readonly name: string }[];
  readonly rows: readonly (readonly unknown[])[];
}

async function query(server: Server, sql: string): Promise<readonly (readonly unknown[])[]> {
  const { status, json } = await admin<Answer & { error: string }>(server, 'log/query', { sql });
  assert.equal(status, 200, json.error);
  return json.rows;
}

/** Asks for a class of cancer with a request id of its own. @returns the status */
async function ask(server: Server, id: string, rows = 1): Promise<number> {
  const data = Array.from({ length: 30 * rows }, (_, at) => at + 1);
  const body = JSON.stringify({ id, inputs: [{ name: 'features', shape: [rows, 30], datatype: 'FP32', data }] });
  const answer = await fetch(`${server.http}/v2/models/cancer/infer`, {
    method: 'POST',
    headers: { 'x-request-id': id },
    body,
  });
  await answer.text();
  return answer.status;
}

function filesBelow(path: string): string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true }).flatMap((entry) =>
    entry.isFile() ? [join(entry.parentPath, entry.name)] : [],
  );
}

test('every request is a row that says what was asked, who answered and how long it took', async (context) => {
  const state = stateFor(context);
  const path = join(state.directory, 'log');
  const flags = state.config(`
prediction_log:
  enabled: true
  path: ${path}
  sample: 1
  segment_age_ms: 300
  redact: { cancer: [{ target: "mean radius", how: drop }, { target: "mean area", how: hash }] }
  truncate: { cancer: [{ target: /outputs/probabilities, bytes: 0 }] }
`);
  const server = await startServer({ models, flags, env: state.env });
  context.after(() => server.kill('SIGKILL'));
  for (let at = 0; at < 20; at++) assert.equal(await ask(server, `one-${at}`), 200);
  assert.equal(await ask(server, 'three', 3), 200);
  assert.equal(await ask(server, 'three-times-three', 9), 200);

  await eventually(async () => {
    const [[count] = []] = await query(server, "SELECT count(*) FROM predictions WHERE model = 'cancer'");
    assert.equal(Number(count), 20 + 3 + 9);
  });
  const [row] = await query(
    server,
    `SELECT version, status, prediction, score, latency_us > 0, f_mean_texture, f_mean_radius, f_mean_area,
       outputs_json, truncated
     FROM predictions WHERE request_id = 'one-7'`,
  );
  const [version, status, prediction, score, isTimed, texture, radius, area, outputs, isTruncated] = row!;
  assert.deepEqual([version, Number(status), isTimed, texture, radius], ['2', 200, true, 2, null]);
  assert.match(String(prediction), /^[01]$/);
  assert.ok(Number(score) >= 0 && Number(score) <= 1);
  assert.match(String(area), /^k1:[0-9a-f]{32}$/);
  assert.deepEqual(JSON.parse(String(outputs)), { label: [Number(prediction)], probabilities: [] });
  assert.equal(isTruncated, true);

  const { stdout: explained } = await sluice('explain', 'one-7', '--url', server.admin);
  assert.match(explained, /answered by +cancer version 2/);
  assert.match(explained, /mean_texture +2/);
  assert.doesNotMatch(explained, /mean_radius/);
  const { stdout: tail } = await sluice('log', 'tail', '--last', '3', '--url', server.admin);
  assert.equal(tail.trim().split('\n').length, 4);
  const out = join(state.directory, 'rows.csv');
  const exported = await sluice(
    'log',
    'export',
    'SELECT request_id FROM predictions',
    '--out',
    out,
    '--url',
    server.admin,
  );
  assert.match(exported.stdout, /^32 rows written/);
  assert.equal(readFileSync(out, 'utf8').trim().split('\r\n').length, 33);

  for (const sql of [
    "COPY predictions TO '/tmp/stolen.csv'",
    "SELECT * FROM read_csv('/etc/passwd')",
    "ATTACH '/tmp/x.db'",
    'DROP VIEW predictions',
    'SELECT 1; SELECT 2',
    'SELEKT',
  ]) {
    const { status: refused, json } = await admin(server, 'log/query', { sql });
    assert.ok(refused >= 400 && refused < 500, `${sql}: ${refused}`);
    assert.ok(json.error.length > 0 && !json.error.includes(state.directory), json.error);
  }
  assert.equal((await admin(server, 'requests/nobody')).status, 404);
  assert.equal(await metric(server, 'sluice_prediction_log_events_total{sink="log",result="logged"}'), 22);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test('what a killed process had written is not lost, and the next life goes on', async (context) => {
  const state = stateFor(context);
  const path = join(state.directory, 'log');
  const flags = state.config(
    `prediction_log: { enabled: true, path: ${path}, flush_ms: 10, segment_age_ms: 300000 }\n`,
  );
  const server = await startServer({ models, flags, env: state.env, processes: 1 });
  context.after(() => server.kill('SIGKILL'));
  for (let at = 0; at < 50; at++) assert.equal(await ask(server, `before-${at}`), 200);
  await eventually(async () =>
    assert.equal(await metric(server, 'sluice_prediction_log_events_total{sink="log",result="logged"}'), 50),
  );
  const victim = gatewayPids(server).get(1)!;
  process.kill(victim, 'SIGKILL');
  await server.line(({ msg, gatewayPid }) => msg === 'gateway.ready' && gatewayPid !== victim);
  assert.equal(await ask(server, 'after'), 200);
  await eventually(async () => {
    const [[count] = []] = await query(server, "SELECT count(*) FROM predictions WHERE request_id LIKE 'before-%'");
    assert.equal(Number(count), 50);
  });
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  assert.deepEqual(
    filesBelow(path).filter((file) => file.endsWith('.open')),
    [],
  );
});

test('without a log the questions about it say how to get one', async (context) => {
  const server = await startServer({ models, processes: 1 });
  context.after(() => server.kill('SIGKILL'));
  const { status, json } = await admin(server, 'log/query', { sql: 'SELECT 1' });
  assert.equal(status, 409);
  assert.match(json.error, /prediction_log\.enabled/);
  const { code, stderr } = await sluice('log', 'tail', '--url', server.admin);
  assert.equal(code, 1);
  assert.match(stderr, /prediction_log\.enabled/);
});
