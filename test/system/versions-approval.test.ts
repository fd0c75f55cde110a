/** A model that needs approvals: who may give them, what they are for, and what the log says of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeRepository } from '../fixtures.js';
import { freshDirectory, startServer } from './server.js';
import { answeredBy, eventually, isAnsweredBy, type ShownVersion, stateFor, wholeVersion } from './versions-fixture.js';

const people = { ann: 'operator', bob: 'operator', eve: 'viewer', zoe: 'admin' } as const;
const tokenOf = (name: string) => `token-of-${name}-0123456789abcdef`;

test('a version of a model that needs two approvals answers when two others have agreed, over a restart, once', {
  timeout: 90_000,
}, async (context) => {
  const state = stateFor(context);
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: wholeVersion(1) } } });
  const tokens = Object.entries(people).map(
    ([name, role]) => `    ${name}: { role: ${role}, token_env: TOKEN_${name} }`,
  );
  const flags = state.config(`
admin:
  tokens:
${tokens.join('\n')}
models: { poll_ms: 300, keep_previous_ms: 600000 }
model_overrides: { m: { approvals: { required: 2 } } }
`);
  const env = {
    ...state.env,
    ...Object.fromEntries(Object.keys(people).map((name) => [`TOKEN_${name}`, tokenOf(name)])),
  };
  const start = () => startServer({ models, env, flags, processes: 1 });
  let server = await start();
  context.after(() => server.kill('SIGKILL'));
  const does = async (name: string, path: string, body?: object) => {
    const response = await fetch(`${server.admin}/admin/${path}`, {
      headers: { authorization: `Bearer ${tokenOf(name)}` },
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    });
    const json = (await response.json()) as { error: string; champion: string | null; versions: ShownVersion[] };
    return { status: response.status, json };
  };
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

  const entries = async (action: string) => {
    const { json } = await does('eve', 'audit?last=1000');
    const all = (json as unknown as { entries: { entry: { action: string; actor: string; detail: object } }[] })
      .entries;
    return all.map(({ entry }) => entry).filter((entry) => entry.action === action);
  };
  assert.deepEqual(
    (await entries('approval.given')).map(({ actor }) => actor),
    ['operator:ann', 'operator:ann', 'operator:bob', 'operator:ann', 'operator:zoe'],
  );
  assert.equal((await entries('approval.used')).length, 2);
  const [glass] = await entries('break_glass');
  assert.deepEqual((glass!.detail as { reason: string }).reason, 'the shop is down');
  assert.equal((await server.stop()).code, 0);
});
