/** Labels on real processes: late, early, twice, out of order, unknown, wrong; what they say is shown, and outlives a restart. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { credentials, loadPackageDefinition, Metadata, type ServiceClientConstructor } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { QualityDocument } from '../../src/control/quality-document.js';
import type { LabelAnswer } from '../../src/labels/feedback.js';
import { type Server, startServer } from './server.js';
import { admin, eventually, metric, type State, sluice, stateFor } from './versions-fixture.js';

const models = fileURLToPath(new URL('../../../models', import.meta.url));

/** A benign case, and one that is not. */
const benign = [
  12.4, 17.68, 81.47, 467.8, 0.1054, 0.1316, 0.07741, 0.02799, 0.1811, 0.07102, 0.1767, 1.46, 2.204, 15.43, 0.01,
  0.03295, 0.04861, 0.01167, 0.02187, 0.006005, 12.88, 22.91, 89.61, 515.8, 0.145, 0.2629, 0.2403, 0.0737, 0.2556,
  0.09359,
];
const malignant = [
  17.99, 10.38, 122.8, 1001, 0.1184, 0.2776, 0.3001, 0.1471, 0.2419, 0.07871, 1.095, 0.9053, 8.589, 153.4, 0.006399,
  0.04904, 0.05373, 0.01587, 0.03003, 0.006193, 25.38, 17.33, 184.6, 2019, 0.1622, 0.6656, 0.7119, 0.2654, 0.4601,
  0.1189,
];

interface Told {
  readonly label: readonly number[];
  readonly score: readonly number[];
}

/** Asks for classes. @returns what was predicted */
async function ask(server: Server, id: string, cases: readonly (readonly number[])[]): Promise<Told> {
  const inputs = [{ name: 'features', shape: [cases.length, 30], datatype: 'FP32', data: cases.flat() }];
  const answer = await fetch(`${server.http}/v2/models/cancer/infer`, {
    method: 'POST',
    body: JSON.stringify({ id, inputs }),
  });
  assert.equal(answer.status, 200);
  const { outputs } = (await answer.json()) as { outputs: { name: string; data: number[] }[] };
  const label = outputs.find(({ name }) => name === 'label')!.data;
  const probabilities = outputs.find(({ name }) => name === 'probabilities')!.data;
  return { label, score: label.map((_, item) => probabilities[2 * item + 1]!) };
}

async function feedback(
  server: Server,
  body: unknown,
  model = 'cancer',
  token = '',
): Promise<{ status: number; results: readonly LabelAnswer[]; error: string }> {
  const answer = await fetch(`${server.http}/v2/models/${model}/feedback`, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers: {
      ...(typeof body === 'string' && { 'content-type': 'application/jsonlines' }),
      ...(token !== '' && { authorization: `Bearer ${token}` }),
    },
  });
  const { results = [], error = '' } = (await answer.json()) as { results?: LabelAnswer[]; error?: string };
  return { status: answer.status, results, error };
}

/** The same over gRPC. */
async function give(server: Server, request: object, token = ''): Promise<readonly LabelAnswer[]> {
  const proto = fileURLToPath(new URL('../../../proto/sluice.proto', import.meta.url));
  const loaded = loadPackageDefinition(loadSync(proto, { keepCase: true, defaults: true }));
  const { Feedback } = loaded.sluice as unknown as { readonly Feedback: ServiceClientConstructor };
  const client = new Feedback(server.grpc, credentials.createInsecure());
  try {
    return await new Promise((resolve, reject) => {
      const done = (error: Error | null, reply: { readonly results: readonly LabelAnswer[] }) =>
        error === null ? resolve(reply.results) : reject(error);
      const metadata = new Metadata();
      if (token !== '') metadata.set('authorization', `Bearer ${token}`);
      client.Give!(request, metadata, done);
    });
  } finally {
    client.close();
  }
}

async function statusesOf(server: Server, body: unknown, model?: string): Promise<string[]> {
  const { status, results, error } = await feedback(server, body, model);
  assert.equal(status, 200, error);
  return results.map((result) => result.status);
}

async function quality(server: Server): Promise<QualityDocument['versions'][number]> {
  const { status, json } = await admin<QualityDocument & { error: string }>(server, 'models/cancer/quality');
  assert.equal(status, 200, json.error);
  return json.versions.find(({ variant }) => variant === '')!;
}

function flagsOf(state: State, more = ''): string[] {
  return state.config(`
prediction_log: { enabled: true, path: ${join(state.directory, 'log')}, flush_ms: 10, segment_age_ms: 300 }
${more}`);
}

/** What is accepted has found its prediction, which takes the observer thread a moment. */
async function accepted(server: Server, labels: readonly object[]): Promise<void> {
  await eventually(async () => {
    const statuses = await statusesOf(server, labels);
    assert.ok(
      statuses.every((status) => status === 'accepted' || status === 'duplicate'),
      String(statuses),
    );
  });
}

test('labels of all kinds are joined, counted exactly, shown, and still there after a restart', async (context) => {
  const state = stateFor(context);
  const flags = flagsOf(state);
  let server = await startServer({ models, flags, env: state.env });
  context.after(() => server.kill('SIGKILL'));

  // Before the prediction, then the prediction.
  assert.deepEqual(await statusesOf(server, { request_id: 'early', label: 1, ts: 5000 }), ['pending']);
  assert.deepEqual(await statusesOf(server, { request_id: 'early', label: 1, ts: 5000 }), ['pending']);
  const rows: { truth: number; predicted: number; score: number }[] = [];
  const note = ({ label, score }: Told, item: number, truth: number) =>
    rows.push({ truth, predicted: label[item]!, score: score[item]! });
  note(await ask(server, 'early', [benign]), 0, 1);
  await eventually(async () => assert.equal((await quality(server)).n, 1));

  // Singles over both processes, and one batch.
  const cases = [benign, malignant, benign, malignant, benign, benign];
  for (const [at, one] of cases.entries())
    note(await ask(server, `one-${at}`, [one]), 0, at === 4 ? 0 : rows.length % 2);
  const batch = await ask(server, 'batch', [benign, malignant, benign]);
  for (const [item, truth] of [1, 0, 0].entries()) note(batch, item, truth);
  const singles = cases.map((_, at) => ({ request_id: `one-${at}`, label: rows[1 + at]!.truth, ts: 1000 }));
  const items = [1, 0, 0].map((label, item) => ({ request_id: 'batch', item_index: item, label, ts: 1000 }));
  await accepted(server, [...singles, ...items]);

  const given = await give(server, { model_name: 'cancer', labels: [{ request_id: 'one-0', label: 'x', ts: 1 }] });
  assert.deepEqual([given[0]!.status, given[0]!.request_id], ['invalid', 'one-0']);
  const same = { request_id: 'one-0', label: String(rows[1]!.truth), ts: 1000 };
  assert.equal((await give(server, { model_name: 'cancer', labels: [same] }))[0]!.status, 'duplicate');

  // Twice; corrected there and back; an older one; by name; wrong ones; nobody's.
  assert.deepEqual(
    await statusesOf(server, singles),
    cases.map(() => 'duplicate'),
  );
  const first = rows[1]!;
  assert.deepEqual(await statusesOf(server, { request_id: 'one-0', label: 1 - first.truth, ts: 3000 }), ['accepted']);
  assert.deepEqual(await statusesOf(server, { request_id: 'one-0', label: first.truth, ts: 2000 }), ['accepted']);
  first.truth = 1 - first.truth;
  const answered = await feedback(server, [
    { request_id: 'one-1', label: 'perhaps', ts: 9000 },
    { request_id: 'batch', item_index: 3, label: 1, ts: 9000 },
    { request_id: 'one-1', label: { is: 1 } },
    { request_id: 'nobody', label: 1 },
    'text',
  ]);
  assert.deepEqual(
    answered.results.map(({ status }) => status),
    ['invalid', 'invalid', 'invalid', 'pending', 'invalid'],
  );
  assert.match(answered.results[0]!.reason!, /expected 0 or 1/);
  assert.deepEqual(
    await statusesOf(server, singles, 'nothing'),
    cases.map(() => 'unknown_model'),
  );
  const line = (id: string, data: string) =>
    JSON.stringify({ groundTruthData: { data, encoding: 'CSV' }, eventMetadata: { eventId: id }, eventVersion: '0' });
  const second = rows[2]!;
  second.truth = 1 - second.truth;
  assert.deepEqual(await statusesOf(server, `${line('one-1', String(second.truth))}\n${line('nobody', '0')}\n`), [
    'accepted',
    'pending',
  ]);

  const isRight = ({ truth, predicted }: (typeof rows)[number]) => truth === predicted;
  const brier = rows.reduce((sum, { truth, score }) => sum + (score - truth) ** 2, 0) / rows.length;
  const check = async () => {
    const shown = await quality(server);
    assert.deepEqual([shown.version, shown.task, shown.n, shown.served], ['2', 'binary', rows.length, rows.length]);
    assert.equal(shown.metrics.accuracy!.value, rows.filter(isRight).length / rows.length);
    assert.ok(Math.abs(shown.metrics.brier!.value! - brier) < 1e-6);
    assert.equal(shown.label_coverage, 1);
    assert.equal(shown.state, 'insufficient_data');
  };
  await check();
  assert.equal(
    await metric(server, 'sluice_quality{model="cancer",version="2",metric="accuracy"}'),
    rows.filter(isRight).length / rows.length,
  );
  assert.equal(await metric(server, 'sluice_label_coverage_ratio{model="cancer",version="2"}'), 1);
  const { stdout } = await sluice('quality', 'cancer', '--url', server.admin);
  assert.match(stdout, /insufficient data +10 +100 %/);
  assert.match(stdout, /accuracy/);

  // Beside the rows that they belong to: of each name the label that counts.
  const joined = async () => {
    const sql = `SELECT request_id, item_index, prediction, label, labels.source FROM predictions
      JOIN labels USING (request_id, item_index) ORDER BY request_id, item_index`;
    const { status, json } = await admin<{ rows: unknown[][]; error: string }>(server, 'log/query', { sql });
    assert.equal(status, 200, json.error);
    const ids = ['batch', 'batch', 'batch', 'early', ...cases.map((_, at) => `one-${at}`)];
    assert.deepEqual(
      json.rows.map(([id, item]) => [id, item]),
      ids.map((id, at) => [id, id === 'batch' ? at : 0]),
    );
    const [early, ...others] = rows;
    const truths = [...others.slice(cases.length), early!, ...others.slice(0, cases.length)];
    assert.deepEqual(
      json.rows.map(([, , , label]) => label),
      truths.map(({ truth }) => String(truth)),
    );
    assert.equal(json.rows.find(([id]) => id === 'one-1')![4], 'groundTruthData');
  };
  await eventually(joined);

  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  server = await startServer({ models, flags, env: state.env });
  await eventually(check);
  await eventually(joined);
  // What it knew of labels it still knows, and who waited still waits.
  assert.deepEqual(await statusesOf(server, singles[2]), ['duplicate']);
  assert.deepEqual(await statusesOf(server, { ...singles[2], label: 1 - rows[3]!.truth, ts: 1 }), ['accepted']);
  await check();
  note(await ask(server, 'nobody', [malignant]), 0, 0);
  await eventually(async () => assert.equal((await quality(server)).n, rows.length));
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test('a version that labels call worse than the champion is degraded, and a flood is told to wait', async (context) => {
  const state = stateFor(context);
  const flags = flagsOf(
    state,
    `models: { path: ${models}, version_policy: all }
labels: { window: 20, min_labels: 20, max_per_second: 200 }`,
  );
  const server = await startServer({ models, flags, env: state.env, processes: 1 });
  context.after(() => server.kill('SIGKILL'));
  const label = async (version: string, from: number, isWrong: boolean) => {
    const labels = [];
    for (let at = from; at < from + 20; at++) {
      const id = `v${version}-${at}`;
      const body = JSON.stringify({
        id,
        inputs: [{ name: 'features', shape: [1, 30], datatype: 'FP32', data: benign }],
      });
      const answer = await fetch(`${server.http}/v2/models/cancer/versions/${version}/infer`, { method: 'POST', body });
      const { outputs } = (await answer.json()) as { outputs: { name: string; data: number[] }[] };
      const [predicted = 0] = outputs.find(({ name }) => name === 'label')!.data;
      labels.push({ request_id: id, label: isWrong ? 1 - predicted : predicted, ts: 1000 });
    }
    await accepted(server, labels);
  };
  await label('2', 0, false);
  await label('1', 0, true);
  await label('1', 20, true);
  await server.line(({ msg, model }) => msg === 'quality.degraded' && model === 'cancer@1');
  assert.equal(await metric(server, 'sluice_quality_degraded{model="cancer",version="1"}'), 1);
  assert.equal(await metric(server, 'sluice_quality_degraded{model="cancer",version="2"}'), 0);

  const many = Array.from({ length: 1000 }, (_, at) => ({ request_id: `x-${at}`, label: 1 }));
  const answers = await Promise.all([many, many, many].map((labels) => feedback(server, labels)));
  assert.ok(answers.some(({ status }) => status === 429));
  assert.equal((await feedback(server, [...many, ...many])).status, 400);
  assert.equal((await feedback(server, '{')).status, 400);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test('a canary whose answers labels call wrong goes back by itself', { timeout: 120_000 }, async (context) => {
  const state = stateFor(context);
  const flags = flagsOf(
    state,
    `models: { path: ${models}, version_policy: all }
gateway: { beat_ms: 200, beat_timeout_ms: 5000 }
routes:
  cancer:
    key: [header:x-user]
    default: old
    variants: { old: { version: "2", weight: 90 }, new: { version: "1", weight: 10 } }
    canary:
      variant: new
      interval: 500ms
      steps: [50, 100]
      min_duration: 1h
      max_duration: 2h
      min_labels: 50
      guardrails: [{ metric: accuracy, margin: 0.05 }]`,
  );
  const server = await startServer({ models, flags, env: state.env });
  context.after(() => server.kill('SIGKILL'));
  const labels = await Promise.all(
    Array.from({ length: 400 }, async (_, at) => {
      const inputs = [{ name: 'features', shape: [1, 30], datatype: 'FP32', data: benign }];
      const answer = await fetch(`${server.http}/v2/models/cancer/infer`, {
        method: 'POST',
        headers: { 'x-user': `user-${at}` },
        body: JSON.stringify({ id: `user-${at}`, inputs }),
      });
      const { outputs } = (await answer.json()) as { outputs: { name: string; data: number[] }[] };
      const [predicted = 0] = outputs.find(({ name }) => name === 'label')!.data;
      const isWrong = answer.headers.get('x-sluice-variant') === 'new';
      return { request_id: `user-${at}`, label: isWrong ? 1 - predicted : predicted, ts: 1000 };
    }),
  );
  await accepted(server, labels);
  await eventually(async () => {
    const { json } = await admin<{ status: string; reason: string }>(server, 'models/cancer/canary');
    assert.equal(json.status, 'rolled_back', JSON.stringify(json));
    assert.match(json.reason, /accuracy/);
  }, 30_000);
  const { json } = await admin<QualityDocument>(server, 'models/cancer/quality');
  assert.deepEqual(
    json.versions.map(({ version, variant, metrics }) => [version, variant, metrics.accuracy!.value]),
    [
      ['1', '', 0],
      ['1', 'new', 0],
      ['2', '', 1],
      ['2', 'old', 1],
    ],
  );
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test('without a log there is nothing to label, and the answer says how to change that', async (context) => {
  const server = await startServer({ models, processes: 1 });
  context.after(() => server.kill('SIGKILL'));
  const { status, error } = await feedback(server, { request_id: 'x', label: 1 });
  assert.equal(status, 409);
  assert.match(error, /prediction_log\.enabled/);
  assert.equal((await admin(server, 'models/cancer/quality')).status, 409);
});

test('where a role is asked for, labels need a token that has it, over HTTP and gRPC, one and many', async (context) => {
  const state = stateFor(context);
  const flags = flagsOf(
    state,
    `labels: { role: operator }
admin:
  tokens:
    looks: { role: viewer, token_env: LOOKS }
    labels: { role: operator, token_env: LABELS }
`,
  );
  const env = { ...state.env, LOOKS: 'looks-0123456789abcdef', LABELS: 'labels-0123456789abcdef' };
  const server = await startServer({ models, flags, env });
  context.after(() => server.kill('SIGKILL'));
  await ask(server, 'a', [benign]);
  const one = { request_id: 'a', label: 1, ts: 1 };
  for (const body of [one, [one, one], JSON.stringify(one)]) {
    assert.deepEqual(
      [(await feedback(server, body)).status, (await feedback(server, body, 'cancer', 'no')).status],
      [401, 401],
    );
    const viewer = await feedback(server, body, 'cancer', env.LOOKS);
    assert.equal(viewer.status, 403);
    assert.match(viewer.error, /role operator.*role viewer/);
  }
  const message = { model_name: 'cancer', labels: [{ request_id: 'a', label: '1', ts: 1 }] };
  await assert.rejects(give(server, message), { code: 16 });
  await assert.rejects(give(server, message, env.LOOKS), { code: 7 });
  await eventually(async () => {
    const [first] = (await feedback(server, one, 'cancer', env.LABELS)).results;
    assert.ok(first?.status === 'accepted' || first?.status === 'duplicate', first?.status);
  });
  const many = { model_name: 'cancer', labels: [message.labels[0], { request_id: 'b', label: '1' }] };
  assert.deepEqual(
    (await give(server, many, env.LABELS)).map(({ status }) => status),
    ['duplicate', 'pending'],
  );
  // Nobody's word but the token's counts: inference needs none.
  await ask(server, 'c', [benign]);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});
