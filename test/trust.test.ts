/** Who signatures are believed by, as the configuration names them, and what `sluice check` says of it. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig } from '../src/config/load.js';
import { modelProblems } from '../src/control/check.js';
import { trustOf } from '../src/control/trust.js';
import { freshDirectory } from './system/server.js';

function configWith(registry: object) {
  return loadConfig({ file: { name: 'sluice.yaml', text: JSON.stringify({ registry }) } }).config;
}

const identities = [
  { identity: 'a@b.c', issuer: 'https://token.example' },
  { identity_regexp: 'a|b', issuer: 'https://token.example' },
];

test('without keys and without a trusted root nobody is trusted', () => {
  assert.equal(trustOf(configWith({}).registry), undefined);
});

test('a pattern must match all of a name', async () => {
  const trust = await trustOf(configWith({ trusted_root: 'none.json', identities }).registry)!();
  assert.deepEqual(trust.keys, []);
  const [exact, pattern] = trust.keyless!.identities;
  assert.equal(exact?.name, 'a@b.c');
  assert.ok(pattern?.name instanceof RegExp);
  assert.deepEqual(
    ['a', 'b', 'ab', 'xa', 'bx', 'a\n'].filter((name) => (pattern.name as RegExp).test(name)),
    ['a', 'b'],
  );
});

test('a trusted root that cannot be used is a problem of one line', async (context) => {
  const directory = freshDirectory(context);
  const problemsWith = async (trusted_root: string) => {
    const registry = { trusted_root, identities, sources: [{ name: 'local', type: 'directory', path: directory }] };
    const clocks = { now: () => 0, epochNow: () => 0, random: () => 0 };
    const problems = await modelProblems({ config: configWith(registry), cores: 1, ...clocks });
    return problems.filter(({ where }) => where === 'registry.trusted_root').map(({ message }) => message);
  };
  const path = join(directory, 'root.json');
  assert.deepEqual(await problemsWith(path), [`the trusted root '${path}' is not used: it cannot be read (ENOENT)`]);
  writeFileSync(path, '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}');
  const [problem, ...rest] = await problemsWith(path);
  assert.match(problem!, /is not used: 'certificateAuthorities': Invalid input: expected array/);
  assert.deepEqual(rest, []);
});
