/** Everything that is told to the world outside, from what really happened on a server to a signed call: each kind once. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { assignVariant } from '../../src/monitor/stats/assigned.js';
import { identity, refusesShape, writeRepository } from '../fixtures.js';
import { type Received, receiver, secret } from '../triggers-fixture.js';
import { post } from './load.js';
import { freshDirectory, type Server, startServer } from './server.js';
import { admin, eventually, stateFor } from './versions-fixture.js';

const shipped = fileURLToPath(new URL('../../../models/cancer', import.meta.url));
const columns = 30;

interface Told {
  readonly type: string;
  readonly subject: string;
  readonly id: string;
  readonly data: Readonly<Record<string, unknown>>;
}

function isSigned({ headers, body, id }: Received): boolean {
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  const signed = createHmac('sha256', key).update(`${id}.${headers['webhook-timestamp']}.${body}`).digest('base64');
  return headers['webhook-signature'] === `v1,${signed}`;
}

const rowOfThree = JSON.stringify({ inputs: [{ name: 'INPUT0', shape: [1, 3], datatype: 'FP32', data: [1, 2, 3] }] });

async function ask(server: Server, model: string, users: readonly string[]): Promise<void> {
  for (const user of users)
    await post(`${server.http}/v2/models/${model}/infer`, rowOfThree, undefined, { 'x-user': user });
}

/** Rows that no tumour has: each feature always the same. */
async function sendOddRows(server: Server, rows: number): Promise<void> {
  const inputs = [
    { name: 'features', shape: [rows, columns], datatype: 'FP32', data: new Array(rows * columns).fill(1) },
  ];
  const answer = await fetch(`${server.http}/v2/models/cancer/infer`, {
    method: 'POST',
    body: JSON.stringify({ inputs }),
  });
  assert.equal(answer.status, 200, await answer.text());
}

/** One prediction that is said to be wrong. */
async function mislabel(server: Server, id: string): Promise<void> {
  const inputs = [{ name: 'features', shape: [1, columns], datatype: 'FP32', data: new Array(columns).fill(1) }];
  const answer = await fetch(`${server.http}/v2/models/cancer/infer`, {
    method: 'POST',
    body: JSON.stringify({ id, inputs }),
  });
  const { outputs } = (await answer.json()) as { outputs: { name: string; data: number[] }[] };
  const [predicted = 0] = outputs.find(({ name }) => name === 'label')!.data;
  const label = JSON.stringify({ request_id: id, label: 1 - predicted });
  const given = await fetch(`${server.http}/v2/models/cancer/feedback`, { method: 'POST', body: label });
  assert.equal(given.status, 200, await given.text());
}

const route = (more: string) => `
    key: [header:x-user]
    default: old
    variants: { old: { version: "1", weight: 50 }, new: { version: "2", weight: 50 } }
${more}`;

test('drift, less accuracy, unequal arms, a canary taken back, a new version and a time of day are told, each signed', {
  timeout: 240_000,
}, async (context) => {
  const hook = await receiver(context);
  const directory = freshDirectory(context);
  const versions = { 1: identity(), 2: refusesShape() };
  const models = writeRepository(directory, {
    canaried: { versions },
    split: { versions: { 1: identity(), 2: identity() } },
  });
  mkdirSync(join(models, 'cancer'));
  cpSync(join(shipped, '1'), join(models, 'cancer', '1'), { recursive: true });
  const state = stateFor(context);
  const flags = state.config(`
models: { version_policy: all, poll_ms: 300 }
gateway: { beat_ms: 200, beat_timeout_ms: 5000 }
prediction_log: { enabled: true, path: ${join(state.directory, 'log')}, flush_ms: 10 }
drift: { minute_ms: 300, min_rows: 400 }
labels: { window: 20, min_labels: 20 }
routes:
  canaried:${route('    canary: { variant: new, interval: 500ms, steps: [50, 100], min_duration: 1h, max_duration: 2h }')}
  split:${route('    salt: even')}
triggers:
  path: ${join(state.directory, 'outbox')}
  endpoints: { ops: { url: "${hook.url}", secret_env: HOOK_SECRET } }
  retrain:
    cancer: { when: { all: [ { drift_share: ">=0.9" } ] }, for_windows: 2 }
    split: { when: { cron: "* * * * *" } }
`);
  const server = await startServer({ models, flags, env: { ...state.env, HOOK_SECRET: secret }, processes: 1 });
  context.after(() => server.kill('SIGKILL'));
  const told = () => hook.received.map(({ body }): Told => JSON.parse(body));
  const until = (type: string, isIt: (one: Told) => boolean = () => true, withinMs = 30_000) =>
    eventually(() => {
      const found = told().find((one) => one.type === `io.sluice.${type}` && isIt(one));
      assert.ok(found, `${type} among ${told().map((one) => one.type)}`);
      return found;
    }, withinMs);

  await context.test('an experiment whose keys all go one way', async () => {
    const names = Array.from({ length: 1500 }, (_, i) => `user-${i}`);
    await ask(
      server,
      'split',
      names.filter((name) => assignVariant('even', name, { old: 50, new: 50 }) === 'old').slice(0, 600),
    );
    await eventually(async () => {
      const { json } = await admin<{ srm: { is_mismatch: boolean }; variants: unknown[] }>(server, 'experiments/split');
      assert.deepEqual([json.srm.is_mismatch, json.variants], [true, []]);
    });
    const { subject, data } = await until('experiment.srm');
    assert.equal(subject, 'split');
    assert.ok((data.srm as { p_seq: number }).p_seq < 0.001);
    await server.line(({ msg }) => msg === 'experiment.srm');
  });

  await context.test('a canary that fails', async () => {
    let isBack = false;
    const asking = (async () => {
      for (let round = 0; !isBack && round < 200; round++)
        await ask(
          server,
          'canaried',
          Array.from({ length: 50 }, (_, i) => `c-${round}-${i}`),
        );
    })();
    const { subject, data } = await until('canary.rolled_back');
    isBack = true;
    await asking;
    assert.equal(subject, 'canaried@2');
    assert.match(JSON.stringify(data.numbers), /error_rate/);
  });

  await context.test('drift, and a request for a training only when it has held for two windows more', async () => {
    const judged = async () => {
      const { json } = await admin<{ versions: { windows_judged: number }[] }>(server, 'models/cancer/drift');
      return json.versions[0]!.windows_judged;
    };
    const window = async () => {
      const before = await judged();
      await sendOddRows(server, 500);
      await eventually(async () => assert.ok((await judged()) > before));
    };
    const requests = () =>
      told().filter(({ type, subject }) => type.endsWith('retrain.requested') && subject === 'cancer');
    await window();
    await window();
    const { subject, data } = await until('drift.detected');
    assert.equal(subject, 'cancer@1');
    assert.equal(data.drifted_weight_share, 1);
    await until('data_quality.detected');
    await window();
    assert.deepEqual(requests(), [], 'two windows are not two more');
    await window();
    const request = await until('retrain.requested', (one) => one.subject === 'cancer');
    assert.deepEqual(request.data.reasons, ['drift_share >=0.9']);
    assert.equal((request.data.window as { rows: number }).rows >= 400, true);
    assert.equal(requests().length, 1);
  });

  await context.test('labels that say otherwise', async () => {
    for (let i = 0; i < 45; i++) await mislabel(server, `wrong-${i}`);
    const { subject, data } = await until('quality.degraded', (one) => one.data.is_estimate === undefined);
    assert.deepEqual([subject, data.metric, data.verdict], ['cancer@1', 'accuracy', 'degraded']);
  });

  await context.test('a new version that answers', async () => {
    cpSync(join(shipped, '2'), join(models, 'cancer', '2'), { recursive: true });
    assert.equal((await until('model.promoted')).subject, 'cancer@2');
  });

  await context.test('a time of day', async () => {
    const { data } = await until('retrain.requested', (one) => one.subject === 'split', 70_000);
    assert.deepEqual(data.reasons, ['cron * * * * *']);
  });

  assert.ok(hook.received.every(isSigned), 'each is signed');
  const ids = told().map(({ id }) => id);
  assert.deepEqual(
    hook.received.map(({ id }) => id),
    ids,
  );
  assert.equal((await server.stop()).code, 0);
});
