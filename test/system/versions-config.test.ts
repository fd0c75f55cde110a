/** A configuration that changes while the server runs: planned, applied, taken from the file, refused. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { applyPlan, showPlan } from '../../src/cli/operate.js';
import { writeRepository } from '../fixtures.js';
import { getJson, startLoad } from './load.js';
import { freshDirectory, type Server, startServer } from './server.js';
import {
  answeredBy,
  auditEntries,
  eventually,
  isInState,
  modelOf,
  rowBody,
  sluice,
  stateFor,
} from './versions-fixture.js';

async function batchOf(server: Server): Promise<number> {
  const { json } = await getJson(`${server.http}/v2/models/m/config`);
  return (json as { max_batch_size: number }).max_batch_size;
}

test('a changed configuration is planned, applied, and refused when it is wrong', {
  timeout: 90_000,
}, async (context) => {
  const state = stateFor(context);
  const versions = { 1: modelOf(1), 2: modelOf(2) };
  const models = writeRepository(freshDirectory(context), { m: { versions } });
  const file = join(state.directory, 'sluice.yaml');
  // Whether a busy machine makes a version look slow is not the question here.
  const flags = [...state.config('models: { keep_previous_ms: 300 }\n'), '--models-guard-ms', '0'];
  const server = await startServer({ models, env: state.env, flags });
  context.after(() => server.kill('SIGKILL'));
  const load = startLoad({ url: `${server.http}/v2/models/m/infer`, body: rowBody, clients: 2 });
  const write = (text: string) => writeFileSync(file, `models: { keep_previous_ms: 300${text}`);

  await context.test('a plan says what would be loaded and who would answer, and an apply makes it so', async () => {
    assert.equal(await answeredBy(server, 'm'), '2');
    const gateway = { url: server.admin, token: undefined };
    const changes =
      ' }\nmodel_overrides: { m: { max_batch_size: 8, version_policy: { specific: [1] } } }\nhttp: { max_input_size: 1MiB }\n';
    // The file is looked at once a second: whoever is asked just after that has nothing left to plan, and is asked again.
    const [planned, applied] = await eventually(async () => {
      write(' }\n');
      await eventually(async () => assert.equal(await showPlan(gateway), 'nothing would change\n'));
      await isInState(server, 'm@2', 'ready');
      write(changes);
      const plan = await showPlan(gateway);
      assert.match(plan, /model_overrides/);
      const unchanged = await answeredBy(server, 'm');
      const done = await applyPlan(gateway);
      assert.match(done, /model_overrides/);
      assert.equal(unchanged, '2');
      return [plan, done];
    });
    assert.match(planned!, /^~ model_overrides: \{\} → \{"m":\{"max_batch_size":8,/m);
    assert.match(planned!, /^~ http.max_input_size: .*\(at the next start\)$/m);
    // What it needs is told from its second trial on.
    assert.match(planned!, /^\+ m version 1 is loaded(, about \d+ MiB in each process)?$/m);
    assert.match(planned!, /^> m is answered by version 1, was 2$/m);
    assert.equal(applied, planned);
    await eventually(async () => assert.equal(await answeredBy(server, 'm'), '1'));
    assert.equal(await batchOf(server), 8);
    await isInState(server, 'm@2', 'unloaded');
    const entry = (await auditEntries(server, 'config.applied')).at(-1)!;
    assert.equal(entry.actor, 'operator:loopback');
    assert.match(String(entry.detail.config_hash), /^[0-9a-f]{64}$/);
  });

  await context.test('a changed file is taken up by itself', async () => {
    write(' }\nmodel_overrides: { m: { max_batch_size: 4 } }\n');
    await eventually(async () => {
      assert.equal(await batchOf(server), 4);
      assert.equal(await answeredBy(server, 'm'), '2');
    });
    const { actor } = (await auditEntries(server, 'config.applied')).at(-1)!;
    assert.equal(actor, 'system:file');
  });

  await context.test('a wrong configuration changes nothing and says why, whoever asked for it', async () => {
    write(' }\nmodel_overrides: { m: { max_batch_sise: 2 } }\n');
    server.kill('SIGHUP');
    const refused = await server.line(({ msg }) => msg === 'config.refused');
    assert.match(String(refused.reason), /max_batch_sise/);
    const { code, stderr } = await sluice('apply', '--url', server.admin);
    assert.equal(code, 1);
    assert.match(stderr, /max_batch_sise.*max_batch_size/);
    assert.equal((await sluice('plan', '--url', server.admin)).code, 1);
    assert.equal(await batchOf(server), 4);
    assert.equal(await answeredBy(server, 'm'), '2');
    const entries = await auditEntries(server, 'config.refused');
    assert.ok(entries.some(({ actor }) => actor === 'system:sighup'));
  });

  await context.test('SIGHUP has it read again', async () => {
    write(', version_policy: all }\n');
    server.kill('SIGHUP');
    await isInState(server, 'm@1', 'ready');
    await eventually(async () => assert.equal(await answeredBy(server, 'm', 'versions/1'), '1'));
    assert.equal(await batchOf(server), 32);
  });

  const { failures } = await load.stop();
  assert.deepEqual(failures, [], 'nobody noticed');
  assert.equal((await server.stop()).code, 0);
});
