/** Secrets from where they are kept to the header that is sent, and never into a message. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createCredentials, noCredentials } from '../src/registry/net/credentials.js';

const folder = mkdtempSync(join(tmpdir(), 'sluice-secret-'));
after(() => rmSync(folder, { recursive: true }));

const environment = { TOKEN: 'token-1', USER_NAME: 'me', PASSWORD: 'pä:ss', EMPTY: '', BAD: 'a\r\nx: y' };

test('a token is sent as Bearer, a user with a password as Basic, and Basic wins', async () => {
  const basic = `Basic ${Buffer.from('me:pä:ss').toString('base64')}`;
  const of = (places: object) => createCredentials(places, environment).authorization();
  assert.equal(await of({ tokenEnv: 'TOKEN' }), 'Bearer token-1');
  assert.equal(await of({ userEnv: 'USER_NAME', passwordEnv: 'PASSWORD' }), basic);
  assert.equal(await of({ userEnv: 'USER_NAME', passwordEnv: 'PASSWORD', tokenEnv: 'TOKEN' }), basic);
  assert.equal(await of({ userEnv: 'USER_NAME', tokenEnv: 'TOKEN' }), 'Bearer token-1');
  assert.equal(await of({}), undefined);
  assert.equal(await noCredentials.authorization(), undefined);
});

test('a file is read again when it changes, without the line end behind it', async () => {
  const path = join(folder, 'token');
  writeFileSync(path, 'one\n');
  const credentials = createCredentials({ tokenFile: path, tokenEnv: 'TOKEN' }, environment);
  assert.equal(await credentials.authorization(), 'Bearer one');
  writeFileSync(path, 'two\n');
  utimesSync(path, 1, 1);
  assert.equal(await credentials.authorization(), 'Bearer two');
  // The same time and size is taken for the same content.
  writeFileSync(path, 'six\n');
  utimesSync(path, 1, 1);
  assert.equal(await credentials.authorization(), 'Bearer two');
});

test('what is missing or cannot be sent is said without showing it', async () => {
  const long = join(folder, 'long');
  writeFileSync(long, 'secret'.repeat(20_000));
  const cases: [object, string, RegExp][] = [
    [{ tokenEnv: 'NONE' }, 'FAILED_PRECONDITION', /^the environment variable NONE is not set$/],
    [{ tokenEnv: 'EMPTY' }, 'FAILED_PRECONDITION', /EMPTY is not set/],
    [{ tokenEnv: 'BAD' }, 'FAILED_PRECONDITION', /^the token is empty or has characters that no header can carry$/],
    [{ tokenFile: join(folder, 'none') }, 'UNAVAILABLE', /^the file of a secret cannot be read: ENOENT$/],
    [{ tokenFile: long }, 'FAILED_PRECONDITION', /^the file of a secret has 120000 bytes/],
  ];
  for (const [places, code, message] of cases) {
    await assert.rejects(createCredentials(places, environment).authorization(), { code, message });
  }
});
