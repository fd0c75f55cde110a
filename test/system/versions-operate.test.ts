/** What an operator does to versions on a running server, what is left of it after a restart, and the log of all of it. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { dense, writeRepository } from '../fixtures.js';
import { freshDirectory, type Server, startServer } from './server.js';
import {
  admin,
  answeredBy,
  auditEntries,
  isAnsweredBy,
  isInState,
  metric,
  type ShownModel,
  shown,
  sizes,
  sluice,
  stateFor,
  wholeVersion,
} from './versions-fixture.js';

interface Period {
  readonly version: string;
  readonly source: string;
  readonly artifactSha256: string;
  readonly configHash: string;
  readonly from: string;
}

test('promote, roll back, pin, sweep, and what the log says of it', { timeout: 120_000 }, async (context) => {
  const state = stateFor(context);
  const versions = { 1: wholeVersion(1), 2: wholeVersion(2), 3: wholeVersion(3) };
  const models = writeRepository(freshDirectory(context), { m: { versions } });
  const flags = [
    '--models-poll-ms',
    '300',
    '--models-keep-previous-ms',
    '600000',
    '--registry-store-keep-versions',
    '1',
  ];
  const start = () => startServer({ models, env: state.env, flags });
  let server: Server = await start();
  context.after(() => server.kill('SIGKILL'));
  const does = async (verb: string, body: object = {}) => {
    const { status, json } = await admin<ShownModel & { error: string }>(server, `models/m/${verb}`, body);
    assert.equal(status, 200, json.error);
    return json;
  };
  const pulls = () => metric(server, 'sluice_pull_bytes_total{source="local"}');

  await context.test('a version that is not ready is promoted only when it may be prepared', async () => {
    assert.equal(await answeredBy(server, 'm'), '3');
    const { status, json } = await admin(server, 'models/m/promote', { version: '2' });
    assert.ok(status === 404 || status === 409, `${status}`);
    assert.match(json.error, /version 2/);
    assert.equal((await does('promote', { version: '2', prepare: true })).champion, '2');
    assert.equal(await answeredBy(server, 'm'), '2');
    await isInState(server, 'm@2', 'ready');
  });

  await context.test('a version that is open no longer is not promoted without being prepared', async () => {
    await does('unload');
    const { status, json } = await admin(server, 'models/m/promote', { version: '2' });
    assert.equal(status, 409);
    assert.match(json.error, /unloaded/);
    await does('load');
    assert.equal(await answeredBy(server, 'm'), '2');
  });

  await context.test('the version before answers again after a rollback, without a pull or an opening', async () => {
    await does('release');
    assert.equal(await answeredBy(server, 'm'), '3');
    const [before, opened] = [await pulls(), await metric(server, 'sluice_model_loads_total{model="m"}')];
    const { champion, choice } = await does('rollback', { reason: 'wrong answers' });
    assert.equal(champion, '2');
    assert.equal(choice.hold!.version, '3');
    for (let asked = 0; asked < 10; asked++) assert.equal(await answeredBy(server, 'm'), '2');
    assert.deepEqual([await pulls(), await metric(server, 'sluice_model_loads_total{model="m"}')], [before, opened]);
    assert.equal(await metric(server, 'sluice_rollbacks_total{reason="operator"}'), 1);
  });

  await context.test('labels answer in URLs', async () => {
    await does('promote', { version: '3', label: 'challenger' });
    assert.equal(await answeredBy(server, 'm', 'labels/challenger'), '3');
    assert.equal(await answeredBy(server, 'm', 'labels/champion'), '2');
    const unknown = await fetch(`${server.http}/v2/models/m/labels/nobody`);
    assert.equal(unknown.status, 404);
  });

  await context.test('a pinned version is open and survives the sweep of the store', async () => {
    await does('pin', { version: '1' });
    await isInState(server, 'm@1', 'ready');
    const { json } = await admin<{ removed: string[] }>(server, 'gc', { grace_ms: 0 });
    assert.deepEqual(json.removed, []);
  });

  await context.test('after a restart all of it is as it was', async () => {
    assert.equal((await server.stop()).code, 0);
    server = await start();
    assert.equal(await answeredBy(server, 'm'), '2');
    assert.equal(await answeredBy(server, 'm', 'labels/challenger'), '3');
    assert.equal(await answeredBy(server, 'm', 'versions/1'), '1');
    const { json } = await admin<ShownModel>(server, 'models/m');
    assert.equal(json.choice.hold!.version, '3');
    assert.deepEqual(json.choice.pins, ['1']);
  });

  await context.test('what nobody needs any more is swept', async () => {
    await does('unpin', { version: '1' });
    await does('release', { label: 'challenger' });
    await does('load');
    await isInState(server, 'm@1', 'unloaded');
    const { json } = await admin<{ removed: string[] }>(server, 'gc', { grace_ms: 0 });
    assert.match(json.removed.join(), /^m@1 [0-9a-f]{12}$/);
    assert.equal(await answeredBy(server, 'm'), '2');
  });

  await context.test('a version whose outputs differ does not take over by itself, and says what differs', async () => {
    writeRepository(models, { m: { versions: { 4: dense([sizes[0]!, 8, 3]) } } });
    await isInState(server, 'm@4', 'ready');
    assert.match((await shown(server, 'm', '4')).reason, /output 'OUTPUT0': was FP32 \[-1,2\], is FP32 \[-1,3\]/);
    assert.equal(await answeredBy(server, 'm'), '2');
    const { status, json } = await admin(server, 'models/m/promote', { version: '4' });
    assert.equal(status, 409);
    assert.match(json.error, /must not take the place of 2/);
    await does('promote', { version: '4', allow_breaking: true });
    assert.equal(await answeredBy(server, 'm'), '4');
  });

  await context.test('the history names the version of every moment, with its digest and configuration', async () => {
    const { json } = await admin<{ periods: Period[] }>(server, 'models/m/history');
    assert.deepEqual(
      json.periods.map(({ version }) => version).filter((version, i, all) => version !== all[i - 1]),
      ['3', '2', '3', '2', '4'],
    );
    for (const { source, artifactSha256, configHash } of json.periods) {
      assert.equal(source, 'local');
      assert.match(artifactSha256, /^[0-9a-f]{64}$/);
      assert.match(configHash, /^[0-9a-f]{64}$/);
    }
    const moment = json.periods[0]!.from;
    const one = await sluice('history', 'm', '--url', server.admin, '--at', moment, '--json');
    assert.equal(JSON.parse(one.stdout).periods[0].version, '3');
    const all = await sluice('history', 'm', '--url', server.admin);
    assert.match(all.stdout, /wrong answers/);
  });

  await context.test('the log is whole, names who did what, and shows where it was changed', async () => {
    const asked = await auditEntries(server, 'rollback');
    assert.deepEqual([asked[0]!.actor, asked[0]!.detail.reason], ['operator:loopback', 'wrong answers']);
    const whole = await sluice('audit', 'verify', '--path', state.audit);
    assert.equal(whole.code, 0, whole.stdout);
    const head = /hash ([0-9a-f]{64})/.exec(whole.stdout)![1]!;
    assert.equal((await server.stop()).code, 0);
    assert.equal((await sluice('audit', 'verify', '--path', state.audit, '--head', head)).code, 0);
    const file = join(state.audit, readdirSync(state.audit).find((name) => name.endsWith('.jsonl'))!);
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, text.replace('wrong answers', 'right answers'));
    const changed = await sluice('audit', 'verify', '--path', state.audit);
    assert.equal(changed.code, 1);
    const seq = text.split('\n').findIndex((line) => line.includes('wrong answers')) + 1;
    assert.match(changed.stdout, new RegExp(`NOT whole: seq ${seq} fails`));
    const lines = text.split('\n');
    writeFileSync(file, [...lines.slice(0, 4), ...lines.slice(5)].join('\n'));
    assert.match((await sluice('audit', 'verify', '--path', state.audit)).stdout, /NOT whole: seq [56] fails/);
  });
});

test('a hold ends when a newer version comes', { timeout: 60_000 }, async (context) => {
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: wholeVersion(1) } } });
  const server = await startServer({ models, processes: 1, flags: ['--models-poll-ms', '300'] });
  context.after(() => server.kill('SIGKILL'));
  writeRepository(models, { m: { versions: { 2: wholeVersion(2) } } });
  await isAnsweredBy(server, 'm', '2');
  await sluice('models', 'rollback', 'm', '--reason', 'slow', '--url', server.admin);
  assert.equal(await answeredBy(server, 'm'), '1');
  writeRepository(models, { m: { versions: { 3: wholeVersion(3) } } });
  await isAnsweredBy(server, 'm', '3');
  const listed = await sluice('models', '--url', server.admin);
  assert.match(listed.stdout, /m +3 +ready +yes/);
  assert.equal((await server.stop()).code, 0);
});
