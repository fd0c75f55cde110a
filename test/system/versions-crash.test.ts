/** A version that crashes the processes that serve it: whom it costs what, and who answers instead. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addSub, dense, divInt, writeRepository } from '../fixtures.js';
import { post } from './load.js';
import { freshDirectory, gatewayPids, type Server, startServer } from './server.js';
import {
  admin,
  auditEntries,
  eventually,
  isInState,
  metric,
  type ShownModel,
  sluice,
  stateFor,
} from './versions-fixture.js';

function pair(a: number, b: number): string {
  const tensor = (name: string, value: number) => ({ name, shape: [1, 1], datatype: 'INT32', data: [value] });
  return JSON.stringify({ inputs: [tensor('INPUT0', a), tensor('INPUT1', b)] });
}

const deadly = pair(-2147483648, -1);

async function versionOf(server: Server): Promise<string> {
  const answer = await post(`${server.http}/v2/models/m/infer`, pair(6, 3));
  assert.ok(answer !== 'refused' && answer.status === 200, JSON.stringify(answer));
  return JSON.parse(answer.text).model_version;
}

/** Sends what ends a process and waits until as many have ended and all are there again. */
async function crash(server: Server, ends: number): Promise<void> {
  await post(`${server.http}/v2/models/m/infer`, deadly);
  await eventually(async () => {
    assert.equal(server.log.filter(({ msg, reason }) => msg === 'gateway.exit' && reason === 'SIGFPE').length, ends);
    assert.equal(await metric(server, 'sluice_processes{state="ready"}'), 2);
  });
}

test('a version that crashes in service twice is quarantined, over restarts, until it is forgiven', {
  timeout: 90_000,
}, async (context) => {
  const state = stateFor(context);
  // Both have the same inputs; the first one adds and the second one divides.
  const versions = { 1: addSub('INT32', ['batch', 'n']), 2: divInt() };
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: versions[1] } }, other: dense() });
  const start = () =>
    startServer({
      models,
      env: state.env,
      // The first crash within a minute would put the version back; here it is to crash once more.
      flags: ['--models-poll-ms', '300', '--models-keep-previous-ms', '1000', '--models-guard-ms', '0'],
    });
  let server = await start();
  context.after(() => server.kill('SIGKILL'));

  await context.test('a kill from outside blames nobody', async () => {
    const victim = gatewayPids(server).get(1)!;
    process.kill(victim, 'SIGKILL');
    await server.line(({ msg, gatewayPid }) => msg === 'gateway.exit' && gatewayPid === victim);
    await eventually(async () => assert.equal(await metric(server, 'sluice_processes{state="ready"}'), 2));
    assert.equal(server.log.filter(({ msg }) => msg === 'version.blamed').length, 0);
  });

  await context.test('the first crash is blamed on it, and it goes on', async () => {
    // Its second output is gone, so an operator has to say that it may take over.
    writeRepository(models, { m: { versions: { 2: versions[2] } } });
    await isInState(server, 'm@2', 'ready');
    await admin(server, 'models/m/promote', { version: '2', allow_breaking: true });
    await admin(server, 'models/m/release', {});
    assert.equal(await versionOf(server), '2');
    await isInState(server, 'm@1', 'unloaded');
    await crash(server, 1);
    const blamed = await server.line(({ msg }) => msg === 'version.blamed');
    assert.deepEqual([blamed.model, blamed.reason, blamed.times], ['m@2', 'crashed', 1]);
    assert.equal(await versionOf(server), '2');
  });

  await context.test('after the second the version before answers again', async () => {
    await crash(server, 2);
    await eventually(async () => assert.equal(await versionOf(server), '1'));
    const { reason } = await isInState(server, 'm@2', 'quarantined');
    assert.match(reason, /crashed twice within ten minutes/);
    assert.equal(await metric(server, 'sluice_quarantined_versions'), 1);
    const [entry] = await auditEntries(server, 'version.quarantined');
    assert.equal(entry!.subject, 'm@2');
    assert.match(String(entry!.detail.evidence), /crashed 2 times/);
  });

  await context.test('what would have ended a process is an answer like any other', async () => {
    const answer = await post(`${server.http}/v2/models/m/infer`, deadly);
    assert.ok(answer !== 'refused' && answer.status === 200);
  });

  await context.test('a restart does not bring it back, and the version before answers', async () => {
    assert.equal((await server.stop()).code, 0);
    server = await start();
    assert.equal(await versionOf(server), '1');
    const { json } = await admin<ShownModel>(server, 'models/m');
    assert.match(json.versions.find(({ version }) => version === '2')!.reason, /quarantined: crashed/);
  });

  await context.test('the same bytes under another number are refused as well', async () => {
    writeRepository(models, { m: { versions: { 3: versions[2] } } });
    const { reason } = await isInState(server, 'm@3', 'refused');
    assert.match(reason, /it is quarantined: crashed/);
    assert.equal(await versionOf(server), '1');
  });

  await context.test('once forgiven it may be tried again', async () => {
    const { code, stderr } = await sluice('models', 'forgive', 'm', '3', '--url', server.admin);
    assert.equal(code, 0, stderr);
    await isInState(server, 'm@3', 'ready');
    assert.equal(await metric(server, 'sluice_quarantined_versions'), 0);
  });
  assert.equal((await server.stop()).code, 0);
});
