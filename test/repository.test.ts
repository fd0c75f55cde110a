/** What a folder's version must have before it is tried: here, a manifest that can be read or none at all. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { settled, specDefaultsOf } from '../src/config/derived.js';
import { loadConfig } from '../src/config/load.js';
import { AdmissionRefusal } from '../src/registry/admission-refusal.js';
import { Repository, type RepositoryOptions } from '../src/registry/repository.js';
import { identity, writeRepository } from './fixtures.js';
import { freshDirectory } from './system/server.js';

function repositoryOf(path: string, change: Partial<RepositoryOptions> = {}): Repository {
  return new Repository({
    bring: async ({ model, version }) => ({
      directory: join(path, model, version),
      besides: [],
      config: undefined,
      artifact: undefined,
    }),
    defaults: specDefaultsOf(settled(loadConfig({}).config, 2)),
    override: (spec) => spec,
    trial: async () => ({
      ok: true,
      notBatched: undefined,
      openMs: 1,
      runTimes: [{ rows: 0, runUs: 7 }],
      peakRssBytes: 100 * 2 ** 20,
      record: { fingerprint: '', outputsSha256: [] },
    }),
    records: { get: () => undefined, put: async () => {} },
    tried: async () => {},
    reserve: async () => {},
    epochNow: () => 0,
    warn: () => {},
    ...change,
  });
}

test('a manifest that is there but cannot be read refuses the version; none at all does not', async (context) => {
  const path = writeRepository(freshDirectory(context), { without: identity(), unreadable: identity() });
  mkdirSync(join(path, 'unreadable', '1', 'manifest.json'));
  const repository = repositoryOf(path);
  const how = { config: undefined, onStored: () => {} };
  assert.equal((await repository.admit({ model: 'without', version: '1' }, how)).id.model, 'without');
  await assert.rejects(repository.admit({ model: 'unreadable', version: '1' }, how), {
    code: 'FAILED_PRECONDITION',
    message: 'manifest.json cannot be read: EISDIR',
  });
});

test('what a trial has found is told, and a version without room in memory is refused', async (context) => {
  const path = writeRepository(freshDirectory(context), { m: identity() });
  const how = { config: undefined, onStored: () => {} };
  const id = { model: 'm', version: '1' };
  const reports: unknown[] = [];
  const needs: unknown[] = [];
  const repository = repositoryOf(path, {
    tried: async (_, sha256, report) => void reports.push([sha256, report]),
    reserve: async (_, need) => {
      needs.push(need);
      if (needs.length > 1) throw new AdmissionRefusal('memory', 'no room');
    },
    epochNow: () => 5,
  });
  const { instances } = await repository.admit(id, how);
  const report = {
    triedAt: 5,
    fingerprint: '',
    openMs: 1,
    peakBytes: 100 * 2 ** 20,
    instances,
    runs: [{ rows: 0, runUs: 7 }],
    goldenSamples: 0,
    notBatched: null,
  };
  assert.deepEqual(reports, [[undefined, report]]);
  assert.deepEqual(needs, [{ peakBytes: 100 * 2 ** 20, instances }]);
  await assert.rejects(repository.admit(id, how), { kind: 'memory', message: 'no room' });
});

test('the contract of a version is read without a trial', async (context) => {
  const path = writeRepository(freshDirectory(context), { m: identity() });
  const repository = repositoryOf(path, { trial: () => assert.fail('it was tried') });
  const brought = { directory: join(path, 'm', '1'), besides: [], config: undefined, artifact: undefined };
  const { signature, features } = await repository.contractIn({ model: 'm', version: '1' }, brought);
  assert.deepEqual([signature.inputs.length, features], [1, undefined]);
});
