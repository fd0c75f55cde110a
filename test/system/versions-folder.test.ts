/** Versions that come and go in a folder while two processes serve under load. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { garbage, writeRepository } from '../fixtures.js';
import { startLoad } from './load.js';
import { freshDirectory, startServer } from './server.js';
import {
  answeredBy,
  auditEntries,
  eventually,
  isAnsweredBy,
  isInState,
  metric,
  modelOf,
  rowBody,
  sha256,
  shown,
  stateFor,
  wholeVersion,
} from './versions-fixture.js';

test('what is done to a folder under load', { timeout: 90_000 }, async (context) => {
  const state = stateFor(context);
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: wholeVersion(1) } } });
  const server = await startServer({
    models,
    env: state.env,
    flags: ['--models-poll-ms', '400', '--models-keep-previous-ms', '1000'],
  });
  context.after(() => server.kill('SIGKILL'));
  const put = (version: string, file: string, content: Buffer | string) => {
    mkdirSync(join(models, 'm', version), { recursive: true });
    writeFileSync(join(models, 'm', version, file), content);
  };
  /** What each version answered. */
  const answers = new Map<string, Set<string>>();
  const load = startLoad({
    url: `${server.http}/v2/models/m/infer`,
    body: rowBody,
    clients: 4,
    onAnswer: (text) => {
      const { model_version: version, outputs } = JSON.parse(text);
      const seen = answers.get(version) ?? new Set();
      answers.set(version, seen.add(JSON.stringify(outputs)));
    },
  });

  await context.test('a version whose manifest came first is not served until its bytes are whole', async () => {
    const { 'model.onnx': model, 'manifest.json': manifest } = wholeVersion(2);
    put('2', 'manifest.json', manifest!);
    put('2', 'model.onnx', (model as Buffer).subarray(0, 50));
    const { reason } = await eventually(async () => {
      const found = await shown(server, 'm', '2');
      assert.match(found.reason, /^waits for 'model.onnx', which has 50 of/);
      return found;
    });
    assert.match(reason, /waits/);
    assert.equal(await answeredBy(server, 'm'), '1');
    put('2', 'model.onnx', model!);
    await isAnsweredBy(server, 'm', '2');
  });

  await context.test('the version before is retired when it has been kept for its time', async () => {
    await isInState(server, 'm@1', 'unloaded');
  });

  await context.test('a version without a manifest waits until its files have settled', async () => {
    put('3', 'model.onnx', modelOf(3));
    await eventually(async () => assert.match((await shown(server, 'm', '3')).reason, /settled/));
    assert.equal(await answeredBy(server, 'm'), '2');
    await isAnsweredBy(server, 'm', '3');
  });

  await context.test('a broken version is listed with its reason and the one before goes on', async () => {
    const broken = garbage();
    const { 'manifest.json': manifest } = wholeVersion(4);
    const sized = JSON.parse(String(manifest));
    sized.files = [{ path: 'model.onnx', size: broken.length, sha256: sha256(broken) }];
    put('4', 'model.onnx', broken);
    put('4', 'manifest.json', JSON.stringify(sized));
    const { reason } = await isInState(server, 'm@4', 'refused');
    assert.match(reason, /ONNX|protobuf|model/i);
    assert.equal(await answeredBy(server, 'm'), '3');
  });

  await context.test('one flipped byte is refused, counted and written down', async () => {
    const { 'model.onnx': model, 'manifest.json': manifest } = wholeVersion(5);
    const flipped = Buffer.from(model!);
    flipped[flipped.length - 9]! ^= 1;
    put('5', 'model.onnx', flipped);
    put('5', 'manifest.json', manifest!);
    const { reason } = await isInState(server, 'm@5', 'refused');
    assert.match(reason, /model\.onnx.*sha256/);
    assert.equal(await metric(server, 'sluice_security_events_total{kind="digest_mismatch"}'), 1);
    const [entry] = await auditEntries(server, 'security');
    assert.equal(entry!.subject, 'm@5');
    assert.equal(entry!.detail.kind, 'digest_mismatch');
    assert.equal(await answeredBy(server, 'm'), '3');
    put('5', 'model.onnx', model!);
    await isAnsweredBy(server, 'm', '5');
  });

  await context.test('a version that is deleted in the folder goes on serving', async () => {
    rmSync(join(models, 'm', '5'), { recursive: true });
    await eventually(async () => assert.equal((await shown(server, 'm', '5')).isListed, false));
    assert.equal(await answeredBy(server, 'm'), '5');
    rmSync(join(models, 'm'), { recursive: true });
    await eventually(async () => assert.equal((await shown(server, 'm', '3')).isListed, false));
    assert.equal(await answeredBy(server, 'm'), '5');
  });

  await context.test('through all of it no request failed, and every version answered as itself alone', async () => {
    const { ok, failures } = await load.stop();
    assert.deepEqual(failures, []);
    context.diagnostic(`${ok} requests, answered by versions ${[...answers.keys()].join(', ')}`);
    assert.deepEqual([...answers.keys()].sort(), ['1', '2', '3', '5']);
    const all = [...answers.values()].map((seen) => [...seen]);
    assert.ok(
      all.every((seen) => seen.length === 1),
      'a version has one answer to one request',
    );
    assert.equal(new Set(all.flat()).size, 4, 'and none of them that of another');
  });

  assert.equal((await server.stop()).code, 0);
  assert.ok(readFileSync(join(state.audit, 'audit-1.jsonl'), 'utf8').includes('version.published'));
});
