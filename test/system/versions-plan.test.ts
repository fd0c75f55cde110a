/** A version before and after it goes live: what a plan says of it, what is known of it, and the memory that it must fit into. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { dense, writeRepository } from '../fixtures.js';
import { freshDirectory, startServer } from './server.js';
import {
  admin,
  answeredBy,
  auditEntries,
  eventually,
  isAnsweredBy,
  isInState,
  manifestOf,
  modelOf,
  sizes,
  sluice,
  stateFor,
} from './versions-fixture.js';

interface Shown {
  readonly stage: string;
  readonly stages: readonly { readonly stage: string; readonly by: string; readonly reason: string }[];
  readonly checks: readonly { readonly check: string; readonly isMet: boolean; readonly reason: string }[];
  readonly aliases: readonly { readonly label: string; readonly until: string | null }[];
  readonly manifest: { readonly metrics: readonly { readonly name: string }[]; readonly lineage: object };
  readonly trial: { readonly goldenSamples: number; readonly peakBytes: number; readonly fingerprint: string };
  readonly sha256: string;
  readonly signature: { readonly status: string };
}

/** A version whose author has something to say. */
function told(seed: number) {
  const files = { 'model.onnx': modelOf(seed) };
  const said = {
    metrics: [{ name: 'accuracy', value: 0.9, n: 100 }],
    training: { framework: 'numpy' },
    dataset: { rows: 100 },
    lineage: { parent: '1' },
  };
  return { ...files, 'manifest.json': manifestOf(files, said) };
}

test('what is planned, known and forecast of a version', { timeout: 120_000 }, async (context) => {
  const state = stateFor(context);
  const versions = { 1: told(1), 2: told(2), 3: dense([sizes[0]!, 8, 3]) };
  const models = writeRepository(freshDirectory(context), { m: { versions } });
  const configOf = (policy: string, more = '') =>
    `models: { poll_ms: 300, keep_previous_ms: 600000, version_policy: { specific: [${policy}] } }\n${more}`;
  const server = await startServer({ models, processes: 1, env: state.env, flags: state.config(configOf('1')) });
  context.after(() => server.kill('SIGKILL'));
  const next = join(state.directory, 'next.yaml');
  const planOf = async (text: string) => {
    writeFileSync(next, text);
    const { code, stdout, stderr } = await sluice('plan', '--config', next, '--url', server.admin);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const ofVersion = async (version: string) => {
    const { status, json } = await admin<Shown & { error: string }>(server, `models/m/versions/${version}`);
    assert.equal(status, 200, json.error);
    return json;
  };
  assert.equal(await answeredBy(server, 'm'), '1');

  await context.test(
    'a plan reads versions that were never pulled, and says which may not take over and why',
    async () => {
      assert.match(
        await planOf(configOf('2')),
        /^\+ m version 2 is loaded\n> m is answered by version 2, was 1\n- m version 1 is unloaded$/m,
      );
      const broken = await planOf(configOf('3'));
      assert.match(broken, /^! m version 3 is not to take the place of 1 unless allow_breaking says so$/m);
      assert.match(
        broken,
        /output 'OUTPUT0': FP32 \[-1,2\] → FP32 \[-1,3\] {3}\(dimension 1 may become fixed and nothing else\)$/m,
      );
      assert.doesNotMatch(broken, /is unloaded/);
      const allowed = await planOf(configOf('3', 'model_overrides: { m: { allow_breaking: true } }\n'));
      assert.match(allowed, /^> m is answered by version 3, was 1$/m);
      assert.equal(await answeredBy(server, 'm'), '1');
    },
  );

  await context.test('all that is known of a version is told in one place', async () => {
    state.config(configOf('1, 2'));
    await isAnsweredBy(server, 'm', '2');
    const { json } = await admin(server, 'models/m/rollback', { reason: 'worse' });
    assert.equal(json.error, undefined);
    await admin(server, 'models/m/promote', { version: '2', label: 'challenger' });
    const shown = await ofVersion('2');
    assert.equal(shown.stage, 'retired');
    assert.deepEqual(
      shown.stages.map(({ stage }) => stage),
      ['registered', 'champion', 'retired'],
    );
    assert.deepEqual([shown.stages[2]!.by, shown.stages[2]!.reason], ['operator:loopback', 'worse']);
    assert.deepEqual(
      shown.aliases.map(({ label, until }) => [label, until]),
      [['challenger', null]],
    );
    assert.equal(shown.manifest.metrics[0]!.name, 'accuracy');
    assert.deepEqual(shown.manifest.lineage, { parent: '1' });
    assert.match(shown.sha256, /^[0-9a-f]{64}$/);
    assert.equal(shown.signature.status, 'unchecked');
    assert.ok(shown.trial.peakBytes > 2 ** 20 && shown.trial.fingerprint !== '');
    const met = Object.fromEntries(shown.checks.map(({ check, isMet }) => [check, isMet]));
    assert.deepEqual(met, { digest: true, admission: true, contract: true, profile: false, approvals: true });
    assert.equal((await ofVersion('1')).stage, 'champion');
    const { stdout } = await sluice('models', 'show', 'm/2', '--url', server.admin);
    assert.match(stdout, /^m version 2 from source .*\nstage +retired$/m);
    assert.match(stdout, /^metrics +accuracy 0\.9 of 100$/m);
    assert.match(stdout, /^retired +20\S+ +operator:loopback +worse$/m);
    assert.match(stdout, /^canary +profile +no +its manifest names no reference profile$/m);
    assert.match(stdout, /^challenger +20\S+ +now$/m);
  });

  await context.test('what is not there is not found', async () => {
    for (const path of ['models/m/versions/9', 'models/m/versions/x', 'models/nobody/versions/1'])
      assert.equal((await admin(server, path)).status, 404, path);
    assert.equal((await sluice('models', 'show', 'm/9', '--url', server.admin)).code, 1);
    assert.equal((await sluice('models', 'show', 'm/2/3', '--url', server.admin)).code, 2);
  });

  await context.test('where a label leads is in the audit log, whoever moved it', async () => {
    await admin(server, 'models/m/release', { label: 'challenger' });
    const [set] = await auditEntries(server, 'alias.set');
    assert.deepEqual([set!.subject, set!.detail.label, set!.detail.previous], ['m@2', 'challenger', null]);
    assert.equal((await auditEntries(server, 'alias.removed')).at(-1)!.detail.previous, '2');
  });

  await context.test(
    'a version beyond the memory of a process is refused with both numbers, until there is more',
    async () => {
      state.config(configOf('1, 2', 'memory: { model_budget_bytes: 1 }\n'));
      await eventually(async () => assert.ok((await auditEntries(server, 'config.applied')).length > 1));
      writeRepository(models, { m: { versions: { 4: told(4) } } });
      const tight = configOf('1, 2, 4', 'memory: { model_budget_bytes: 1 }\n');
      state.config(tight);
      const { reason } = await isInState(server, 'm@4', 'refused');
      assert.match(reason, /needs about \d+ MiB in each gateway process .* memory\.model_budget_bytes allows 1 MiB/);
      assert.notEqual(await answeredBy(server, 'm'), '4');
      state.config(configOf('1, 2, 4'));
      await isInState(server, 'm@4', 'ready');
    },
  );
  assert.equal((await server.stop()).code, 0);
});
