/** What a folder's version must have before it is tried: here, a manifest that can be read or none at all. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { settled, specDefaultsOf } from '../src/config/derived.js';
import { loadConfig } from '../src/config/load.js';
import { Repository } from '../src/registry/repository.js';
import { identity, writeRepository } from './fixtures.js';
import { freshDirectory } from './system/server.js';

function repositoryOf(path: string): Repository {
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
      runTimes: [],
      record: { fingerprint: '', outputsSha256: [] },
    }),
    records: { get: () => undefined, put: async () => {} },
    warn: () => {},
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
