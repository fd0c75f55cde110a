/** A version that does worse than the one it replaced goes back by itself, and the log says by which numbers. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { addSub, divInt, failsBeyondZero, identity, writeRepository } from '../fixtures.js';
import { post, startLoad } from './load.js';
import { freshDirectory, startServer } from './server.js';
import {
  admin,
  auditEntries,
  eventually,
  isAnsweredBy,
  isInState,
  metric,
  rowBody,
  type ShownModel,
  stateFor,
} from './versions-fixture.js';

const flags = ['--models-poll-ms', '300', '--gateway-beat-ms', '200'];

test('a version whose every request fails is put back by itself, and is not published again', {
  timeout: 90_000,
}, async (context) => {
  const dims = ['batch', 4] as const;
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: identity('FP32', dims) } } });
  const server = await startServer({ models, flags });
  context.after(() => server.kill('SIGKILL'));
  const load = startLoad({ url: `${server.http}/v2/models/m/infer`, body: rowBody, clients: 4 });
  await eventually(() => assert.ok(load.answered() > 200));
  writeRepository(models, { m: { versions: { 2: failsBeyondZero(dims) } } });
  const line = await server.line(({ msg }) => msg === 'version.put_back');
  assert.deepEqual([line.model, line.to, line.reasons], ['m@2', '1', 'errors']);
  await isAnsweredBy(server, 'm', '1');
  const before = load.answered();
  await eventually(() => assert.ok(load.answered() > before + 200));
  const { failures } = await load.stop();
  assert.ok(failures.length >= 50, 'it was tried by what callers sent');

  const [entry] = await auditEntries(server, 'rollback');
  assert.deepEqual([entry!.subject, entry!.actor], ['m@2', 'system:guard']);
  const { from, to, reasons, compared } = entry!.detail as Record<string, unknown> & {
    compared: Record<string, unknown>;
  };
  assert.deepEqual([from, to, reasons], ['2', '1', ['errors']]);
  assert.equal(compared.fault_share, 1);
  assert.equal(compared.reference_faults, 0);
  assert.ok(Number(compared.requests) >= 50 && Number(compared.reference_requests) > 100);
  const published = await auditEntries(server, 'version.published');
  assert.deepEqual(
    published.map(({ detail }) => detail.version),
    ['1', '2', '1'],
  );
  assert.equal(published.at(-1)!.detail.reason, 'guard: errors');
  assert.equal(await metric(server, 'sluice_rollbacks_total{reason="errors"}'), 1);
  const { json } = await admin<ShownModel>(server, 'models/m');
  assert.equal(json.choice.hold!.version, '2');
  assert.equal((await server.stop()).code, 0);
});

test('a restart within the first minute goes on watching, and puts back from the store what the folder has no more', {
  timeout: 90_000,
}, async (context) => {
  const dims = ['batch', 4] as const;
  const state = stateFor(context);
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: identity('FP32', dims) } } });
  let server = await startServer({ models, flags, env: state.env });
  context.after(() => server.kill('SIGKILL'));
  const loadOf = () => startLoad({ url: `${server.http}/v2/models/m/infer`, body: rowBody, clients: 4 });
  let load = loadOf();
  await eventually(() => assert.ok(load.answered() > 200));
  await load.stop();
  // What /metrics gives, control has been told.
  await metric(server, 'sluice_ready');
  writeRepository(models, { m: { versions: { 2: failsBeyondZero(dims) } } });
  await isInState(server, 'm@2', 'ready');
  await server.line(({ msg, model }) => msg === 'version.published' && model === 'm@2');
  rmSync(join(models, 'm', '1'), { recursive: true });
  assert.equal((await server.stop()).code, 0);

  server = await startServer({ models, flags, env: state.env });
  load = loadOf();
  const line = await server.line(({ msg }) => msg === 'version.put_back');
  assert.deepEqual([line.model, line.to, line.reasons], ['m@2', '1', 'errors']);
  await isAnsweredBy(server, 'm', '1');
  await load.stop();
  const [entry] = await auditEntries(server, 'rollback');
  const compared = entry!.detail.compared as Record<string, unknown>;
  assert.ok(Number(compared.reference_requests) > 200, 'what the one before answered was kept');
  assert.equal((await server.stop()).code, 0);
});

test('one crash within its first minute is enough to put a version back', { timeout: 60_000 }, async (context) => {
  const versions = { 1: addSub('INT32', ['batch', 'n']), 2: divInt() };
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: versions[1] } } });
  const server = await startServer({ models, flags });
  context.after(() => server.kill('SIGKILL'));
  writeRepository(models, { m: { versions: { 2: versions[2] } } });
  await isInState(server, 'm@2', 'ready');
  await admin(server, 'models/m/promote', { version: '2', allow_breaking: true });
  const tensor = (name: string, value: number) => ({ name, shape: [1, 1], datatype: 'INT32', data: [value] });
  const deadly = JSON.stringify({ inputs: [tensor('INPUT0', -2147483648), tensor('INPUT1', -1)] });
  await post(`${server.http}/v2/models/m/infer`, deadly);
  const line = await server.line(({ msg }) => msg === 'version.put_back');
  assert.deepEqual([line.model, line.reasons], ['m@2', 'crashed']);
  await eventually(async () => {
    const answer = await post(`${server.http}/v2/models/m/infer`, deadly);
    assert.ok(answer !== 'refused' && answer.status === 200);
    assert.equal(JSON.parse(answer.text).model_version, '1');
  });
  assert.equal(await metric(server, 'sluice_quarantined_versions'), 0);
  assert.equal((await server.stop()).code, 0);
});
