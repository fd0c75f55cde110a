/** Whatever may be asked of a server that changes something is in its audit log, with who asked, over whichever port. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { urlTable } from '../../src/admin/url-table.js';
import { verifyAudit } from '../../src/audit/verify.js';
import { writeRepository } from '../fixtures.js';
import { FakePlane, Rig } from '../grpc-fixture.js';
import { receiver, secret } from '../triggers-fixture.js';
import { freshDirectory, type Server, startServer } from './server.js';
import { type Entry, eventually, rowBody, stateFor, wholeVersion } from './versions-fixture.js';

const token = 'token-of-ada-0123456789';

/** Each change with its action, in an order in which all of them can be made. */
const changes: readonly (readonly [path: string, body: object, action: string])[] = [
  ['/v2/repository/models/{model}/load', {}, 'load'],
  ['/admin/models/{model}/load', { reason: 'again' }, 'load'],
  ['/admin/requests/{request}/replay', { reason: 'a complaint' }, 'request.replayed'],
  ['/admin/models/{model}/canary/hold', { reason: 'wait' }, 'canary.held'],
  ['/admin/models/{model}/canary/resume', {}, 'canary.resumed'],
  ['/admin/models/{model}/canary/advance', {}, 'canary.advanced'],
  ['/admin/models/{model}/canary/rollback', {}, 'canary.rolled_back'],
  ['/admin/routes/{model}', { weights: { old: 50, new: 50 } }, 'route.changed'],
  ['/admin/routes/{model}/revert', {}, 'route.changed'],
  ['/admin/models/{model}/canary/start', {}, 'canary.started'],
  ['/admin/models/{model}/promote', { version: '1' }, 'promote'],
  ['/admin/models/{model}/promote', { version: '2' }, 'promote'],
  ['/admin/models/{model}/rollback', { reason: 'worse' }, 'rollback'],
  ['/admin/models/{model}/release', {}, 'version.released'],
  ['/admin/models/{model}/pin', { version: '1' }, 'pin'],
  ['/admin/models/{model}/unpin', { version: '1' }, 'unpin'],
  ['/admin/models/{model}/forgive', { version: '1' }, 'version.unquarantined'],
  ['/admin/models/{approved}/approve', { version: '1' }, 'approval.given'],
  ['/admin/sources/{source}/poll', {}, 'source.polled'],
  ['/admin/sources/{source}/poll', { accept_older: true }, 'serial.forced'],
  ['/admin/gc', {}, 'gc'],
  ['/admin/triggers/test', { model: 'm', type: 'io.sluice.drift.detected' }, 'trigger.tested'],
  ['/admin/triggers/test', { model: 'm' }, 'trigger.fired'],
  ['/admin/triggers/{model}/close', {}, 'trigger.closed'],
  ['/admin/triggers/replay', {}, 'trigger.replayed'],
  ['/v2/logging', { log_verbose_level: 1 }, 'settings.changed'],
  ['/v2/trace/setting', { trace_rate: '7' }, 'settings.changed'],
  ['/v2/models/{model}/trace/setting', { trace_level: ['TIMESTAMPS'] }, 'settings.changed'],
  ['/admin/apply', {}, 'config.applied'],
  ['/admin/models/{model}/unload', {}, 'unload'],
  ['/v2/repository/models/{model}/unload', {}, 'unload'],
];

/** Only looks at something, is never done, or is a word of a source about itself. */
const looks = [
  '/admin/plan',
  '/admin/log/query',
  '/v2/repository/index',
  '/v2/repository/{repository}/index',
  '/v2/repository/{repository}/models/{model}/load',
  '/v2/repository/{repository}/models/{model}/unload',
  '/hooks/{source}',
  '/hooks/mlflow/{source}',
];

const names: Readonly<Record<string, string>> = {
  model: 'm',
  approved: 'guarded',
  source: 'local',
  request: 'asked-once',
};
const filled = (path: string) => path.replace(/\{(\w+)\}/g, (_, name: string) => names[name]!);

async function ask(server: Server, path: string, body?: object): Promise<{ status: number; text: string }> {
  const response = await fetch(server.admin + path, {
    headers: { authorization: `Bearer ${token}` },
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
  });
  return { status: response.status, text: await response.text() };
}

/** Makes the request that is asked for again, and waits for its row. */
async function logged(server: Server): Promise<void> {
  const headers = { 'x-request-id': names.request! };
  const answer = await fetch(`${server.http}/v2/models/m/infer`, { method: 'POST', headers, body: rowBody });
  assert.equal(answer.status, 200, await answer.text());
  await eventually(async () => assert.equal((await ask(server, `/admin/requests/${names.request}`)).status, 200));
}

async function entriesOf(server: Server): Promise<Entry[]> {
  const { entries } = JSON.parse((await ask(server, '/admin/audit?last=1000')).text) as { entries: { entry: Entry }[] };
  return entries.map(({ entry }) => entry);
}

/** A client of the real gRPC port. */
function rigOf({ grpc }: Server): Rig {
  const port = Number(grpc.split(':').at(-1));
  const load = { connections: undefined, requestBytes: undefined, responseBytes: undefined };
  return new Rig(new FakePlane(), { port, engine: 'own', load, setServing() {}, stop: async () => {} }, {});
}

test('the list above is all that changes something', () => {
  const posts = urlTable.filter(({ method }) => method === 'POST').map(({ path }) => path);
  const listed = changes.map(([path]) => path.replace('{approved}', '{model}'));
  assert.deepEqual([...new Set([...listed, ...looks])].sort(), posts.sort());
});

test('every change is in the audit log with who asked', { timeout: 120_000 }, async (context) => {
  const { url: hook } = await receiver(context);
  const state = stateFor(context);
  const versions = { 1: wholeVersion(1), 2: wholeVersion(2) };
  const models = writeRepository(freshDirectory(context), {
    m: { versions },
    guarded: { versions: { 1: wholeVersion(3) } },
  });
  const configuration = (keepMs: number) => `
models: { version_policy: all, load: explicit, keep_previous_ms: ${keepMs} }
model_overrides: { guarded: { approvals: { required: 1 } } }
registry: { sources: [{ name: local, type: directory, path: ${models} }] }
prediction_log: { enabled: true, path: ${state.directory}/log, sample: 1, flush_ms: 20 }
admin: { tokens: { ada: { role: admin, token_env: TOKEN_OF_ADA } } }
routes:
  m:
    key: [header:x-user]
    default: old
    variants: { old: { version: "1", weight: 90 }, new: { version: "2", weight: 10 } }
    canary: { variant: new, interval: 1h, steps: [10, 50], min_duration: 1h, max_duration: 2h }
triggers:
  path: ${state.directory}/outbox
  endpoints: { ops: { url: "${hook}", secret_env: HOOK_SECRET } }
  retrain: { m: { when: { drift_share: ">=0.9" } } }
`;
  const env = { ...state.env, HOOK_SECRET: secret, TOKEN_OF_ADA: token };
  const flags = state.config(configuration(600_000));
  const server = await startServer({ models, processes: 1, env, flags });
  context.after(() => server.kill('SIGKILL'));
  // It waits for its approval from here on.
  await ask(server, '/admin/models/guarded/load', {});

  for (const [path, body, action] of changes) {
    await context.test(`${path} ${JSON.stringify(body)}`, async () => {
      const before = (await entriesOf(server)).length;
      if (path === '/admin/apply') state.config(configuration(300_000));
      if (path.startsWith('/admin/requests/')) await logged(server);
      const { status, text } = await ask(server, filled(path), body);
      assert.ok(status === 200, `${status} ${text}`);
      const added = (await entriesOf(server)).slice(before);
      const entry = added.find((one) => one.action === action);
      assert.ok(entry, JSON.stringify(added));
      // The file is watched as well, and whoever comes first applies it.
      if (path === '/admin/apply') assert.match(entry.actor, /^(operator:ada|system:file)$/);
      else assert.equal(entry.actor, 'operator:ada');
    });
  }

  await context.test(
    'settings that are changed over the data ports are in it, too, and what is wrong is not',
    async () => {
      const before = (await entriesOf(server)).length;
      const change = (path: string, body: object) =>
        fetch(server.http + path, { method: 'POST', body: JSON.stringify(body) }).then(({ status }) => status);
      assert.equal(await change('/v2/logging', { log_verbose_level: 0 }), 200);
      assert.equal(await change('/v2/logging', {}), 200);
      assert.equal(await change('/v2/logging', { log_info: 'loud' }), 400);
      assert.equal(await change('/v2/trace/setting', { trace_rate: '0' }), 400);
      assert.equal(await change('/v2/trace/setting', { trace_rate: '9' }), 200);
      const rig = rigOf(server);
      context.after(() => rig.close());
      await rig.call('LogSettings', { settings: { log_warning: { bool_param: true } } });
      await rig.call('TraceSetting', { settings: { trace_count: { value: ['5'] } } });
      const added = (await entriesOf(server)).slice(before).map(({ action, actor, detail }) => [action, actor, detail]);
      const changed = (kind: string, to: object) => ['settings.changed', 'operator:v2', { kind, to }];
      assert.deepEqual(added, [
        changed('log', { log_verbose_level: 0 }),
        changed('trace', { trace_rate: '9' }),
        changed('log', { log_warning: true }),
        changed('trace', { trace_count: '5' }),
      ]);
    },
  );

  await context.test('a repository is changed over the data ports with a word in it', async () => {
    const before = (await entriesOf(server)).length;
    for (const verb of ['load', 'unload'])
      assert.equal((await fetch(`${server.http}/v2/repository/models/m/${verb}`, { method: 'POST' })).status, 200);
    const added = (await entriesOf(server)).slice(before);
    for (const verb of ['load', 'unload'])
      assert.equal(added.find(({ action }) => action === verb)?.actor, 'operator:v2');
  });

  await context.test('the chain holds', async () => {
    assert.equal((await server.stop()).code, 0);
    assert.equal((await verifyAudit({ path: state.audit })).failure, undefined);
  });
});
