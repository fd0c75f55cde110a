/** The sinks of the prediction log on real processes: rows arrive, secrets do not, and a wrong sink is refused by its key. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { natsSkip, startNats, streamOf } from '../servers/nats.js';
import { type Received, receiverOf } from '../sinks-fixture.js';
import { failStart, type Server, startServer } from './server.js';
import { eventually, metric, sluice, stateFor } from './versions-fixture.js';

const models = fileURLToPath(new URL('../../../models', import.meta.url));
/** Of one feature, so odd that it would be found anywhere. */
const secret = 8_675_309.25;

async function ask(server: Server, id: string): Promise<void> {
  const data = Array.from({ length: 30 }, (_, at) => (at === 0 ? secret : at));
  const body = JSON.stringify({ inputs: [{ name: 'features', shape: [1, 30], datatype: 'FP32', data }] });
  const headers = { 'x-request-id': id };
  const answer = await fetch(`${server.http}/v2/models/cancer/infer`, { method: 'POST', headers, body });
  assert.equal(answer.status, 200, await answer.text());
}

const requestsIn = (received: readonly Received[]) =>
  received.flatMap(({ body }) =>
    (JSON.parse(body) as { type: string; requestid: string }[])
      .filter(({ type }) => type.endsWith('.request'))
      .map(({ requestid }) => requestid),
  );

const rowsTaken = (sink: string) => `sluice_prediction_log_sink_rows_total{sink="${sink}"}`;
const lag = (sink: string) => `sluice_prediction_log_sink_lag_seconds{sink="${sink}"}`;

test('rows reach a sink that works, wait for one that does not, and go on after a restart; a dropped feature reaches none', async (context) => {
  const state = stateFor(context);
  let isDead = true;
  const hub = await receiverOf(context, () => 202);
  const away = await receiverOf(context, () => (isDead ? 500 : 202));
  const flags = state.config(`
prediction_log:
  enabled: true
  path: ${join(state.directory, 'log')}
  sample: 1
  segment_age_ms: 300
  redact: { cancer: [{ target: "mean radius", how: drop }] }
  sinks:
    - { name: hub, type: http, url: "${hub.url}", auth: { token_env: HUB_TOKEN }, max_batch_rows: 8 }
    - { name: away, type: http, url: "${away.url}", max_retry_ms: 200 }
`);
  const env = { ...state.env, HUB_TOKEN: 'token-of-the-hub' };
  const first = await startServer({ models, flags, env });
  context.after(() => first.kill('SIGKILL'));
  const ids = Array.from({ length: 20 }, (_, at) => `sunk-${at}`);
  for (const id of ids) await ask(first, id);
  await eventually(async () => {
    assert.equal(await metric(first, rowsTaken('hub')), 20);
    assert.equal(await metric(first, lag('hub')), 0);
    assert.ok((await metric(first, lag('away'))) > 0);
  });
  assert.equal(await metric(first, rowsTaken('away')), 0);
  const { error } = await first.line(({ msg }) => msg === 'predictions.sink.failing');
  assert.match(String(error), /500/);
  assert.equal((await first.stop()).code, 0);

  isDead = false;
  const second = await startServer({ models, flags, env });
  context.after(() => second.kill('SIGKILL'));
  await eventually(async () => assert.equal(await metric(second, rowsTaken('away')), 20));
  assert.equal(await metric(second, rowsTaken('hub')), 0, 'it had all of them');
  assert.equal((await second.stop()).code, 0);
  assert.deepEqual(requestsIn(hub.accepted).sort(), [...ids].sort());
  assert.deepEqual(requestsIn(away.accepted).sort(), [...ids].sort());
  assert.ok(hub.accepted.every(({ headers }) => headers.authorization === 'Bearer token-of-the-hub'));
  const told = [...hub.accepted, ...away.accepted].map(({ body }) => body).join();
  assert.match(told, /mean_texture/);
  assert.ok(!told.includes(String(secret)));
});

test('rows reach a stream of NATS', { skip: natsSkip }, async (context) => {
  const state = stateFor(context);
  const nats = await startNats(context);
  const stream = await streamOf(nats, 'rows');
  const server = await startServer({
    models,
    env: state.env,
    flags: state.config(`
prediction_log:
  enabled: true
  path: ${join(state.directory, 'log')}
  segment_age_ms: 300
  sinks: [{ name: bus, type: nats, url: "${nats.url}", subject: rows }]
`),
  });
  context.after(() => server.kill('SIGKILL'));
  for (const id of ['one', 'two', 'three']) await ask(server, id);
  await eventually(async () => assert.equal(await metric(server, rowsTaken('bus')), 3));
  const messages = await stream.messages();
  assert.deepEqual(messages.map(({ row }) => row.request_id).sort(), ['one', 'three', 'two']);
  assert.ok(messages.every(({ subject }) => subject === 'rows.cancer'));
  assert.equal((await server.stop()).code, 0);
});

test('a sink that is wrong is refused by the path of its key', async (context) => {
  const state = stateFor(context);
  const file = join(state.directory, 'wrong.yaml');
  const wrongs = [
    ['{ name: a, type: kafka }', '0.type: expected one of nats, http, s3'],
    ['{ name: a, type: http, url: "ftp://x" }', '0.url: expected a URL such as https://hub.example.com/events'],
    ['{ name: a, type: http, url: "https://me:pass@x/" }', '0.url: expected a URL such as'],
    ['{ name: A, type: http, url: "https://x/" }', '0.name: expected a letter'],
    ['{ name: a, type: http, url: "https://x/", max_batch_rws: 1 }', '0.max_batch_rws: unknown option'],
    ['{ name: a, type: http, url: "https://x/", max_batch_rows: 0 }', '0.max_batch_rows: expected rows'],
    ['{ name: a, type: nats, url: "nats://x", subject: "a.>" }', '0.subject: expected parts of letters'],
    ['{ name: a, type: s3, url: "s3://b/p", auth: { user_env: K } }', '0.auth: expected both of'],
    ['{ name: a, type: s3, url: "s3://b/p", allow_private: 10.0.0.0/33 }', '0.allow_private.0: expected a range'],
    ['{ name: a, type: s3, url: "s3://b" }, { name: a, type: s3, url: "s3://c" }', '1.name: expected a name that no'],
  ] as const;
  for (const [sinks, complaint] of wrongs) {
    writeFileSync(file, `prediction_log: { sinks: [${sinks}] }\n`);
    const { code, stdout, stderr } = await sluice('check', '--config', file, '--models', models);
    assert.notEqual(code, 0, sinks);
    assert.ok(`${stdout}${stderr}`.includes(`prediction_log.sinks: ${complaint}`), `${sinks}: ${stdout}${stderr}`);
  }
  const { code, stderr } = await failStart({
    models,
    env: state.env,
    flags: state.config(
      `prediction_log: { enabled: true, path: ${join(state.directory, 'log')}, sinks: [{ name: hub, type: http, url: "https://x/", auth: { token_env: NOT_THERE } }] }\n`,
    ),
  });
  assert.equal(code, 1);
  assert.match(stderr, /prediction_log\.sinks\.hub: the environment variable NOT_THERE is not set/);
});
