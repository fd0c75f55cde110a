/** The retraining example, whole: a request of the gateway, a training, a version that answers it and answers callers. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { TriggersDocument } from '../../src/control/trigger-document.js';
import { receiver, secret } from '../triggers-fixture.js';
import { type Answer, post } from './load.js';
import { failStart, type Server, startServer } from './server.js';
import { admin, auditEntries, eventually, metric, type State, sluice, stateFor } from './versions-fixture.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const cli = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
/** Debian's, which has its packages; another one on the path would not. */
const python = '/usr/bin/python3';
const trainingMs = 120_000;

function canTrain(context: TestContext): boolean {
  if (spawnSync(python, ['-c', 'import sklearn, onnx, numpy']).status === 0) return true;
  assert.ok(!process.env.CI, 'CI must have python3-sklearn, python3-onnx and python3-numpy');
  context.skip('needs python3-sklearn, python3-onnx and python3-numpy');
  return false;
}

/** The receiver of the example on a free port. */
async function startTrainer(context: TestContext, models: string): Promise<{ url: string; said: string[] }> {
  const program = join(root, 'examples', 'retrain', 'receive.mjs');
  const child: ChildProcess = spawn(process.execPath, [program, '--models', models, '--port', '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, RETRAIN_SECRET: secret, PROFILE_CLI: cli },
  });
  context.after(() => void child.kill());
  const said: string[] = [];
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the receiver ended with ${code}`)));
    createInterface({ input: child.stdout! }).on('line', (line) => {
      said.push(line);
      const [, port] = /^listening on ([0-9]+)$/.exec(line) ?? [];
      if (port !== undefined) resolve({ url: `http://127.0.0.1:${port}/retrain`, said });
    });
  });
}

interface Place {
  readonly state: State;
  readonly models: string;
}

/** A folder of models with digits version 1 in it. */
function placeFor(context: TestContext): Place {
  const state = stateFor(context);
  const models = join(state.directory, 'models');
  mkdirSync(join(models, 'digits'), { recursive: true });
  cpSync(join(root, 'models', 'digits', '1'), join(models, 'digits', '1'), { recursive: true });
  return { state, models };
}

/** A gateway that tells `urls`. @param more lines of the configuration, under `triggers` */
async function startGateway(
  context: TestContext,
  { state, models }: Place,
  { urls, more = '' }: { readonly urls: Readonly<Record<string, string>>; readonly more?: string },
): Promise<Server> {
  const endpoints = Object.entries(urls).map(([name, url]) => `    ${name}: {url: "${url}", secret_env: HOOK_SECRET}`);
  const lines = ['triggers:', `  path: ${join(state.directory, 'outbox')}`, '  endpoints:', ...endpoints, more];
  const server = await startServer({
    models,
    processes: 1,
    env: { ...state.env, HOOK_SECRET: secret },
    flags: [...state.config(lines.join('\n')), '--models-poll-ms', '300'],
  });
  context.after(() => server.kill('SIGKILL'));
  return server;
}

async function digitsAnsweredBy(server: Server): Promise<string> {
  const body = readFileSync(join(root, 'models', 'examples', 'digit-7.json'), 'utf8');
  const answer = (await post(`${server.http}/v2/models/digits/infer`, body)) as Answer;
  assert.equal(answer.status, 200, answer.text);
  return JSON.parse(answer.text).model_version;
}

const triggersOf = async (server: Server) => (await admin<TriggersDocument>(server, 'triggers')).json;

test('a request leads to a training, to a version that names it, and to that version answering', {
  timeout: 240_000,
}, async (context) => {
  if (!canTrain(context)) return;
  const seen = await receiver(context);
  const place = placeFor(context);
  const trainer = await startTrainer(context, place.models);
  const server = await startGateway(context, place, { urls: { all: seen.url, trainer: trainer.url } });
  assert.equal(await digitsAnsweredBy(server), '1');

  const asked = await sluice('triggers', 'test', 'digits', '--reason', 'a new scanner', '--url', server.admin);
  assert.equal(asked.code, 0, asked.stderr);
  const [, id = ''] = /^raised as (.+)$/m.exec(asked.stdout) ?? [];
  assert.equal((await triggersOf(server)).retraining[0]?.open?.trigger_id, id);

  await eventually(async () => assert.equal(await digitsAnsweredBy(server), '2', trainer.said.join('\n')), trainingMs);
  const manifest = JSON.parse(readFileSync(join(place.models, 'digits', '2', 'manifest.json'), 'utf8'));
  assert.deepEqual(manifest.lineage, { trigger_id: id, parent: '1' });
  for (const { name, value } of manifest.metrics)
    if (name.startsWith('accuracy')) assert.ok(value > 0.93, `${name} ${value}`);
  await eventually(async () => assert.equal((await triggersOf(server)).retraining[0]?.open, null));
  const [fired] = await auditEntries(server, 'trigger.fired');
  const [closed] = await auditEntries(server, 'trigger.closed');
  assert.equal(fired?.detail.trigger_id, id);
  assert.deepEqual([closed?.detail.trigger_id, closed?.detail.reason], [id, 'version 2 answers it']);

  await eventually(async () => assert.equal(seen.received.length, 2));
  const [requested, promoted] = seen.received.map(({ body }) => JSON.parse(body));
  assert.deepEqual([requested.type, requested.data.trigger_id], ['io.sluice.retrain.requested', id]);
  assert.equal(seen.received[0]!.id, id);
  assert.deepEqual([promoted.type, promoted.subject], ['io.sluice.model.promoted', 'digits@2']);
  assert.match(promoted.data.audit_head.hash, /^[0-9a-f]{64}$/);
  assert.deepEqual(
    readdirSync(place.state.directory).filter((name) => name.startsWith('.retrain')),
    [],
  );
  assert.equal((await server.stop()).code, 0);
});

test('one command goes from drifted traffic over a canary to a version that answers, and clean traffic asks for nothing', {
  timeout: 240_000,
}, async (context) => {
  if (!canTrain(context)) return;
  const child = spawn(process.execPath, [join(root, 'examples', 'retrain', 'run.mjs')], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, RETRAIN_CLI: cli },
  });
  context.after(() => void child.kill());
  const said: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => said.push(line.replace(/^ *[0-9.]+ s +/, '')));
  const code = await new Promise((resolve) => child.once('close', resolve));
  assert.equal(code, 0, said.join('\n'));
  assert.match(said[1]!, /^[0-9]+ images as the model knows them: no drift; /);
  assert.ok(said.includes('drift detected'));
  assert.ok(said.some((line) => line.startsWith('a training is asked for: drift_share >=0.3')));
  assert.ok(said.some((line) => line.startsWith('trained for ')));
  const canary = said.filter((line) => line.startsWith('canary: '));
  const steps = [20, 60, 100].map((percent) => `canary: version 2 gets ${percent} % of the users, `);
  assert.deepEqual(
    canary.map((line) => line.replace(/\w+$/, '')).filter((line, at, lines) => line !== lines[at - 1]),
    steps,
  );
  assert.deepEqual(said.slice(-3), [
    `${steps[2]}promoted`,
    'the request is closed: version 2 answers it',
    'digits version 2 answers',
  ]);
});

test('what could not be delivered before a kill -9 comes after the next start, with the same id', {
  timeout: 120_000,
}, async (context) => {
  let isAnswering = false;
  const { url, received, count } = await receiver(context, (response) => {
    if (isAnswering) response.writeHead(204).end();
  });
  const place = placeFor(context);
  const more = '  retrain: {digits: {when: {cron: "0 3 * * 1"}}}';
  const first = await startGateway(context, place, { urls: { ops: url }, more });
  const type = 'io.sluice.drift.detected';
  const { json: raised } = await admin<{ id: string }>(first, 'triggers/test', { model: 'digits', type });
  await count(1);
  assert.equal(await metric(first, 'sluice_outbox_pending{endpoint="ops"}'), 1);
  first.kill('SIGKILL');
  await first.exited;
  isAnswering = true;
  const second = await startGateway(context, place, { urls: { ops: url }, more });
  await count(2);
  assert.deepEqual(
    received.map(({ id }) => id),
    [raised.id, raised.id],
  );
  await eventually(async () =>
    assert.equal(await metric(second, 'sluice_webhook_deliveries_total{result="delivered"}'), 1),
  );
  assert.equal(await metric(second, 'sluice_outbox_pending{endpoint="ops"}'), 0);
  const shown = await triggersOf(second);
  assert.deepEqual([shown.pending, shown.dead], [[], []]);
  assert.equal(shown.retraining[0]?.policy, 'retrain');

  const unknown = await admin(second, 'triggers/test', { model: 'nobody' });
  assert.equal(unknown.status, 404);
  assert.equal((await admin(second, 'triggers/test', { model: 'digits', type: 'io.other' })).status, 400);
  assert.equal((await admin(second, 'triggers/digits/close', {})).status, 404);
  const closed = await sluice('triggers', 'close', 'digits', '--url', second.admin);
  assert.deepEqual([closed.code, /no request/.test(closed.stderr)], [1, true]);
  const listed = await sluice('triggers', '--url', second.admin);
  assert.match(listed.stdout, /^ops +127\.0\.0\.1:\d+ +cloudevents +0 +on +all$/m);
  assert.equal((await second.stop()).code, 0);
});

test('a start without the secret of an endpoint, or with a cron that is none, says which', async (context) => {
  const place = placeFor(context);
  const start = (text: string, env: Readonly<Record<string, string>> = {}) =>
    failStart({
      models: place.models,
      processes: 1,
      env: { ...place.state.env, ...env },
      flags: place.state.config(text),
    });
  const path = `path: ${join(place.state.directory, 'outbox')}`;
  const unset = await start(
    `triggers: {${path}, endpoints: {ops: {url: "https://a.example/", secret_env: UNSET_SECRET}}}`,
  );
  assert.match(unset.stderr, /triggers\.endpoints\.ops: the environment variable UNSET_SECRET is not set/);
  const cron = await start(`triggers: {${path}, retrain: {digits: {when: {cron: "61 * * * *"}}}}`);
  assert.match(cron.stderr, /triggers\.retrain\.digits\.when: cron: minute: expected numbers from 0 to 59, got '61'/);
});

test('a gateway without triggers says so', async (context) => {
  const place = placeFor(context);
  const server = await startServer({ models: place.models, processes: 1, env: place.state.env });
  context.after(() => server.kill('SIGKILL'));
  const { status, json } = await admin(server, 'triggers');
  assert.equal(status, 409, json.error);
  assert.match(json.error, /set triggers\.endpoints/);
  assert.equal((await server.stop()).code, 0);
});
