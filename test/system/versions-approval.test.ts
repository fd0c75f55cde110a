/** A model that needs approvals: who may give them, what they are for, and what the log says of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeRepository } from '../fixtures.js';
import { type Answer, post } from './load.js';
import { freshDirectory, type Server, startServer } from './server.js';
import {
  answeredBy,
  type Entry,
  eventually,
  isAnsweredBy,
  manifestOf,
  modelOf,
  rowBody,
  type ShownVersion,
  stateFor,
  wholeVersion,
} from './versions-fixture.js';

const people = { ann: 'operator', bob: 'operator', eve: 'viewer', zoe: 'admin' } as const;
const tokenOf = (name: string) => `token-of-${name}-0123456789abcdef`;
const tokens = Object.entries(people).map(([name, role]) => `    ${name}: { role: ${role}, token_env: TOKEN_${name} }`);
const tokensText = `admin:\n  tokens:\n${tokens.join('\n')}\n`;
const tokenEnv = Object.fromEntries(Object.keys(people).map((name) => [`TOKEN_${name}`, tokenOf(name)]));

async function asPerson<Json>(server: Server, name: string, path: string, body?: object) {
  const response = await fetch(`${server.admin}/admin/${path}`, {
    headers: { authorization: `Bearer ${tokenOf(name)}` },
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
  });
  return { status: response.status, json: (await response.json()) as Json & { readonly error: string } };
}

async function entriesOf(server: Server, action: string): Promise<Entry[]> {
  const { json } = await asPerson<{ entries: { entry: Entry }[] }>(server, 'eve', 'audit?last=1000');
  return json.entries.map(({ entry }) => entry).filter((entry) => entry.action === action);
}

test('a version of a model that needs two approvals answers when two others have agreed, over a restart, once', {
  timeout: 90_000,
}, async (context) => {
  const state = stateFor(context);
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: wholeVersion(1) } } });
  const flags = state.config(`${tokensText}
models: { poll_ms: 300, keep_previous_ms: 600000 }
model_overrides: { m: { approvals: { required: 2 } } }
`);
  const start = () => startServer({ models, env: { ...state.env, ...tokenEnv }, flags, processes: 1 });
  let server = await start();
  context.after(() => server.kill('SIGKILL'));
  const does = (name: string, path: string, body?: object) =>
    asPerson<{ champion: string | null; versions: ShownVersion[] }>(server, name, path, body);
  const reasonOf = async (version: string) =>
    (await does('eve', 'models/m')).json.versions.find((one) => one.version === version)?.reason ?? '';
  const approve = (name: string, version: string, more: object = {}) =>
    does(name, 'models/m/approve', { version, ...more });

  await context.test('the first version waits as well', async () => {
    await eventually(async () => assert.match(await reasonOf('1'), /needs 2 approvals by reviewer or owner.*, got 0/));
    assert.equal((await approve('eve', '1')).status, 403);
    assert.equal((await approve('ann', '1')).status, 200);
    assert.equal((await approve('ann', '1')).json.champion, null, 'one person counts once');
    assert.equal((await approve('bob', '1', { reason: 'tests are green' })).json.champion, '1');
    assert.equal(await answeredBy(server, 'm'), '1');
  });

  await context.test('approvals given outlive a restart, and what answered goes on answering without any', async () => {
    writeRepository(models, { m: { versions: { 2: wholeVersion(2) } } });
    await eventually(async () => assert.match(await reasonOf('2'), /waits for approval/));
    assert.equal((await approve('ann', '2')).status, 200);
    assert.equal((await server.stop()).code, 0);
    server = await start();
    assert.equal(await answeredBy(server, 'm'), '1');
    await eventually(async () => assert.match(await reasonOf('2'), /got 1/));
  });

  await context.test('whoever asks for it does not count among those who agree', async () => {
    assert.match(
      (await does('ann', 'models/m/promote', { version: '2' })).json.error,
      /other than operator:ann, got 0/,
    );
    assert.equal((await approve('zoe', '2')).json.champion, '2');
    await isAnsweredBy(server, 'm', '2');
  });

  await context.test('glass is broken by an owner with a reason, and the log says so', async () => {
    writeRepository(models, { m: { versions: { 3: wholeVersion(3) } } });
    await eventually(async () => assert.match(await reasonOf('3'), /waits for approval/));
    assert.equal((await approve('ann', '3', { break_glass: true, reason: 'now' })).status, 403);
    assert.equal((await approve('zoe', '3', { break_glass: true })).status, 400);
    assert.equal((await approve('zoe', '3', { break_glass: true, reason: 'the shop is down' })).json.champion, '3');
  });

  await context.test(
    'other content under its number waits, over a restart, while the content before answers',
    async () => {
      const answer = async () => JSON.parse(((await post(`${server.http}/v2/models/m/infer`, rowBody)) as Answer).text);
      const before = await answer();
      writeRepository(models, { m: { versions: { 3: wholeVersion(4) } } });
      const waits = /^goes on as it is, newer content \([0-9a-f]{12}\) is not opened: .* needs 2 approvals .*, got 0/;
      await eventually(async () => assert.match(await reasonOf('3'), waits));
      assert.deepEqual(await answer(), before);
      assert.equal((await server.stop()).code, 0);
      server = await start();
      assert.match(await reasonOf('3'), waits);
      assert.deepEqual(await answer(), before);
      await approve('ann', '3');
      assert.deepEqual(await answer(), before);
      await approve('bob', '3');
      assert.equal(await reasonOf('3'), '');
      assert.notDeepEqual(await answer(), before);
    },
  );

  const entries = (action: string) => entriesOf(server, action);
  assert.deepEqual(
    (await entries('approval.given')).map(({ actor }) => actor),
    ['ann', 'ann', 'bob', 'ann', 'zoe', 'ann', 'bob'].map((name) => `operator:${name}`),
  );
  assert.equal((await entries('approval.used')).length, 3);
  const published = (await entries('version.published')).at(-1)!;
  assert.deepEqual([published.subject, published.detail.previous], ['m@3', '3']);
  const [glass] = await entries('break_glass');
  assert.deepEqual((glass!.detail as { reason: string }).reason, 'the shop is down');
  assert.equal((await server.stop()).code, 0);
});

interface ShownStages {
  readonly stage: string;
  readonly stages: readonly { readonly stage: string; readonly by: string; readonly reason: string }[];
}

test('a version gets a share of a route when people have agreed and it has a profile, or an owner passes over both', {
  timeout: 90_000,
}, async (context) => {
  const state = stateFor(context);
  const files = { 'model.onnx': modelOf(3), 'profile.json': '{}' };
  const profiled = { ...files, 'manifest.json': manifestOf(files, { profile: 'profile.json' }) };
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: wholeVersion(1) } } });
  const flags = state.config(`${tokensText}
models: { poll_ms: 300, version_policy: all }
model_overrides: { m: { approvals: { required: 1, canary: require, profile: require } } }
`);
  const server = await startServer({ models, env: { ...state.env, ...tokenEnv }, flags, processes: 1 });
  context.after(() => server.kill('SIGKILL'));
  const does = <Json>(name: string, path: string, body?: object) => asPerson<Json>(server, name, path, body);
  const approve = async (name: string, body: object) =>
    assert.equal((await does(name, 'models/m/approve', body)).status, 200);
  const stagesOf = async (version: string) => (await does<ShownStages>('eve', `models/m/versions/${version}`)).json;
  const isReady = (version: string) =>
    eventually(async () => {
      const { json } = await does<{ versions: ShownVersion[] }>('eve', 'models/m');
      assert.equal(json.versions.find((one) => one.version === version)?.state, 'ready');
    });
  const canaryIs = (status: string) =>
    eventually(async () => {
      const { json } = await does<{ status: string; percent: number; reason: string }>('eve', 'models/m/canary');
      assert.equal(json.status, status, json.reason);
      return json;
    });
  const routeTo = (version: string, more: object = {}) => ({
    ...{ key: ['header:x-user'], default: 'old', ...more },
    variants: { old: { version: '1', weight: 50 }, new: { version, weight: 50 } },
  });
  const answering = async () => {
    const asked = Array.from({ length: 40 }, (_, user) =>
      post(`${server.http}/v2/models/m/infer`, rowBody, undefined, { 'x-user': `u${user}` }),
    );
    return [...new Set((await Promise.all(asked)).map((answer) => (answer as Answer).headers['x-sluice-version']))];
  };
  await isReady('1');
  await approve('ann', { version: '1' });
  writeRepository(models, { m: { versions: { 2: wholeVersion(2), 3: profiled } } });
  await isReady('2');
  await isReady('3');

  await context.test('a canary waits, is not begun by hand, and says what is missing and how it is given', async () => {
    const canary = { variant: 'new', steps: [50, 100], interval: '1h', min_duration: '1h', max_duration: '2h' };
    assert.equal((await does('bob', 'routes/m', { route: routeTo('2', { canary }), reason: 'try 2' })).status, 200);
    const { percent, reason } = await canaryIs('waiting');
    assert.equal(percent, 0);
    assert.match(
      reason,
      /needs a reference profile .*; canary of m@2 needs 1 approvals .*other than operator:bob, got 0/,
    );
    const begun = await does('zoe', 'models/m/canary/start', {});
    assert.equal(begun.status, 409);
    assert.match(begun.json.error, /^m@2 must not get a share of 'm': .*: sluice models approve m@2 --canary$/);
    await approve('ann', { version: '2', canary: true });
    assert.doesNotMatch((await canaryIs('waiting')).reason, /needs 1 approvals/);
    assert.deepEqual(await answering(), ['1']);
  });

  await context.test('an owner waives the profile, and it begins; its way is told', async () => {
    const waiver = { version: '2', canary: true, break_glass: true };
    assert.equal((await does('ann', 'models/m/approve', { ...waiver, reason: 'now' })).status, 403);
    await approve('zoe', { ...waiver, reason: 'no data yet' });
    assert.equal((await canaryIs('running')).percent, 50);
    assert.deepEqual((await answering()).sort(), ['1', '2']);
    assert.equal((await does('bob', 'models/m/canary/rollback', { reason: 'slow' })).status, 200);
    const { stage, stages } = await stagesOf('2');
    assert.equal(stage, 'registered');
    assert.deepEqual(
      stages.slice(1).map(({ stage: to, by, reason }) => `${to} by ${by}: ${reason}`),
      ['canary by system:canary: on the route of operator:bob: try 2', 'registered by operator:bob: slow'],
    );
    assert.equal((await entriesOf(server, 'break_glass'))[0]!.detail.action, 'canary');
  });

  await context.test('weights are refused to whoever has nobody who agrees, and set once somebody does', async () => {
    const asked = { route: routeTo('3'), reason: 'by halves' };
    const refused = await does('bob', 'routes/m', asked);
    assert.equal(refused.status, 409);
    assert.equal(
      refused.json.error,
      "m@3 must not get a share of 'm': it waits for approval: canary of m@3 needs 1 approvals by reviewer or owner other than operator:bob, got 0: sluice models approve m@3 --canary",
    );
    await approve('ann', { version: '3', canary: true });
    assert.equal((await does('bob', 'routes/m', asked)).status, 200);
    assert.deepEqual((await answering()).sort(), ['1', '3']);
    const { stage, stages } = await stagesOf('3');
    assert.equal(stage, 'canary');
    assert.deepEqual(
      [stages.at(-1)!.by, stages.at(-1)!.reason],
      ['operator:bob', "canary on the route of 'm': by halves"],
    );
    const used = (await entriesOf(server, 'approval.used')).map(({ subject }) => subject);
    assert.deepEqual(used, ['m@1', 'm@2', 'm@3']);
  });
  assert.equal((await server.stop()).code, 0);
});
