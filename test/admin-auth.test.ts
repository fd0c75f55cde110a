/** Tokens of the control port: how they are configured, looked up, and kept out of everything that is shown. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { Keyring } from '../src/admin/auth.js';
import { printConfig } from '../src/cli/print.js';
import { loadConfig } from '../src/config/load.js';

const configOf = (text: string) => loadConfig({ file: { name: 'sluice.yaml', text } });
const secret = 'correct-horse-battery';
const digest = createHash('sha256').update(secret).digest('hex');

test('a token is written as itself, as its digest or as the variable that holds it', () => {
  const text = `admin: { tokens: { a: { role: viewer, token: ${secret} }, b: { role: operator, sha256: "${'0'.repeat(63)}1" }, c: { role: admin, token_env: OF_C } } }`;
  const { admin } = configOf(text).config;
  const keyring = new Keyring(admin, { OF_C: 'token-of-c-0123456789' });
  assert.deepEqual(keyring.find(`Bearer ${secret}`), { name: 'a', role: 'viewer' });
  assert.deepEqual(keyring.find('Bearer token-of-c-0123456789'), { name: 'c', role: 'admin' });
  for (const wrong of [
    undefined,
    '',
    'Bearer',
    `Basic ${secret}`,
    `Bearer ${digest}`,
    `Bearer ${secret} `,
    `Bearer ${secret}x`,
  ])
    assert.equal(keyring.find(wrong), undefined, wrong);
});

test('a token for labels may be kept to some models', () => {
  const { admin } = configOf(`admin: { tokens: { a: { role: feedback, models: [m, n], token: ${secret} } } }`).config;
  assert.deepEqual(new Keyring(admin, {}).find(`Bearer ${secret}`), {
    name: 'a',
    role: 'feedback',
    models: ['m', 'n'],
  });
});

test('the single token is an admin, beside those with names', () => {
  const keyring = new Keyring({ token: secret, tokens: { a: { role: 'viewer', sha256: '1'.repeat(64) } } }, {});
  assert.deepEqual(keyring.find(`Bearer ${secret}`), { name: 'token', role: 'admin' });
});

test('a variable that holds no token, and two names for one token, are said at the start', () => {
  const env = { role: 'viewer', token_env: 'OF_A' } as const;
  for (const value of [undefined, '', 'short'])
    assert.throws(() => new Keyring({ token: '', tokens: { a: env } }, { OF_A: value }), /admin\.tokens\.a.*OF_A/);
  const twice = { a: { role: 'viewer', sha256: digest }, b: { role: 'admin', sha256: digest } } as const;
  assert.throws(() => new Keyring({ token: '', tokens: twice }, {}), /admin\.tokens\.b.*'a'/);
});

test('no token leaves the configuration: neither printed nor in a message', () => {
  const loaded = configOf(`admin: { tokens: { a: { role: viewer, token: ${secret} } } }`);
  assert.doesNotMatch(JSON.stringify(loaded.config), new RegExp(secret));
  assert.match(printConfig(loaded, false), / {2}tokens: "\*\*\*"/);
  assert.match(printConfig(configOf(''), false), / {2}tokens: \{\}/);
  const wrong = [
    `{ a: { role: root, token: ${secret} } }`,
    `{ a: { role: viewer, token: ${secret}, sha256: ${digest} } }`,
    `{ a: { role: viewer } }`,
    `{ a: { role: viewer, models: [m], token: ${secret} } }`,
    `{ a: { role: feedback, models: [], token: ${secret} } }`,
    `{ a: { role: feedback, models: [../m], token: ${secret} } }`,
    `{ token: { role: viewer, token: ${secret} } }`,
    `{ "<img src=x>": { role: viewer, token: ${secret} } }`,
    `{ a: { role: viewer, token: short } }`,
    `[${secret}]`,
  ];
  for (const tokens of wrong)
    assert.throws(
      () => configOf(`admin: { tokens: ${tokens} }`),
      (error: Error) =>
        /sluice\.yaml:1: admin\.tokens: expected/.test(error.message) && !error.message.includes(secret),
      tokens,
    );
});

test('an address that others can reach needs a token, of either kind', () => {
  assert.throws(
    () => configOf('admin: { host: 0.0.0.0 }'),
    /admin\.host: expected a loopback address, or admin\.token/,
  );
  configOf(`admin: { host: 0.0.0.0, token: ${secret} }`);
  configOf(`admin: { host: 0.0.0.0, tokens: { a: { role: viewer, token: ${secret} } } }`);
});
