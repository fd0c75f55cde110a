/** Tokens and roles on a real control port: what is answered, counted, logged and written down. */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';
import { dense, writeRepository } from '../fixtures.js';
import { failStart, freshDirectory, type Server, startServer } from './server.js';
import { type Entry, sizes, stateFor } from './versions-fixture.js';

const viewer = 'viewer-token-0123456789';
const operator = 'operator-token-0123456789';
const options = `
admin:
  tokens:
    vera: { role: viewer, token: ${viewer} }
    otto: { role: operator, token_env: TOKEN_OF_OTTO }
`;

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

async function ask(server: Server, path: string, token = '', method = 'GET', body?: string): Promise<Answer> {
  const headers: Record<string, string> = token === '' ? {} : { authorization: `Bearer ${token}` };
  const response = await fetch(server.admin + path, { method, headers, ...(body === undefined ? {} : { body }) });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/** The path as it is written here: fetch would tidy it up. */
function askRaw(server: Server, path: string, token = ''): Promise<number> {
  const { hostname, port } = new URL(server.admin);
  const headers = token === '' ? {} : { authorization: `Bearer ${token}` };
  return new Promise((resolve, reject) => {
    const asked = request({ hostname, port, path, headers }, (response) => {
      response.resume();
      resolve(response.statusCode!);
    });
    asked.on('error', reject).end();
  });
}

test('roles on a real control port', { timeout: 90_000 }, async (context) => {
  const state = stateFor(context);
  const models = writeRepository(freshDirectory(context), { m: dense(sizes) });
  const env = { ...state.env, TOKEN_OF_OTTO: operator };
  const server = await startServer({ models, processes: 1, env, flags: state.config(options) });
  context.after(() => server.kill('SIGKILL'));

  await context.test('a wrong token is 401, too low a role is 403 and names the one it takes', async () => {
    const wrong = await ask(server, '/admin/models', 'wrong-token-0123456789');
    assert.equal(wrong.status, 401);
    assert.match(wrong.headers.get('www-authenticate')!, /^Bearer/);
    assert.equal((await ask(server, '/admin/models')).status, 401);
    const low = await ask(server, '/admin/models/m/load', viewer, 'POST');
    assert.equal(low.status, 403);
    assert.match(low.text, /needs the role operator/);
    assert.equal((await ask(server, '/admin/apply', operator, 'POST')).status, 403);
    const looked = await ask(server, '/admin/models', viewer);
    assert.equal(looked.status, 200);
    assert.equal(looked.headers.get('cache-control'), 'no-store');
    assert.equal(looked.headers.get('x-content-type-options'), 'nosniff');
  });

  await context.test('refusals are counted by kind and logged without what was presented', async () => {
    const { text } = await ask(server, '/metrics', viewer);
    assert.match(text, /sluice_security_events_total\{kind="admin_unauthenticated"\} 2/);
    assert.match(text, /sluice_security_events_total\{kind="admin_forbidden"\} 2/);
    const forbidden = await server.line(({ msg, kind }) => msg === 'admin.refused' && kind === 'admin_forbidden');
    assert.deepEqual([forbidden.caller, forbidden.path, forbidden.peer], ['vera', '/admin/models/m/load', '127.0.0.1']);
    assert.doesNotMatch(JSON.stringify(server.log), /token-0123456789/);
  });

  await context.test('what cannot be meant is refused and logged, whoever it comes from', async () => {
    const body = '{"reason": "a secret of nobody", ';
    assert.equal((await ask(server, '/admin/models/m/load', operator, 'POST', body)).status, 400);
    const said = await server.line(({ msg, status }) => msg === 'admin.malformed' && status === 400);
    assert.deepEqual([said.caller, said.path, said.peer], ['otto', '/admin/models/m/load', '127.0.0.1']);
    assert.equal(await askRaw(server, '/console/..%2f..%2fetc%2fpasswd', viewer), 404);
    const tried = await server.line(({ msg, status }) => msg === 'admin.malformed' && status === 404);
    assert.deepEqual([tried.caller, tried.path], ['vera', '/console/..%2f..%2fetc%2fpasswd']);
    assert.doesNotMatch(JSON.stringify(server.log), /secret of nobody/);
  });

  await context.test('the audit log names the token that asked', async () => {
    assert.equal((await ask(server, '/admin/models/m/load', operator, 'POST')).status, 200);
    const { entries } = JSON.parse((await ask(server, '/admin/audit?last=100', viewer)).text);
    const { actor } = (entries as { entry: Entry }[])
      .map(({ entry }) => entry)
      .find(({ action }) => action === 'load')!;
    assert.equal(actor, 'operator:otto');
  });

  await context.test('the console is given to anybody, and no path leads out of it', async () => {
    const page = await ask(server, '/');
    assert.equal(page.status, 200);
    assert.match(page.headers.get('content-type')!, /^text\/html/);
    assert.match(page.headers.get('content-security-policy')!, /script-src 'self'/);
    const tricks = ['/console/../../package.json', '/console/..%2f..%2fpackage.json', '/console/%2e%2e/console.js'];
    for (const path of [...tricks, '/console/console.js%00', '//console/console.js'])
      assert.notEqual(await askRaw(server, path), 200, path);
    assert.equal(await askRaw(server, '/console/console.js'), 200);
  });

  await context.test('whoever guesses is shut out', async () => {
    const statuses = [];
    for (let guess = 0; guess < 25; guess++)
      statuses.push((await ask(server, '/admin/me', `guess-number-${guess}`)).status);
    assert.ok(statuses.includes(429), statuses.join());
    assert.equal((await fetch(`${server.admin}/readyz`)).status, 200, 'a probe is nobody who guesses');
  });
});

test('a variable that holds no token keeps the server from starting', { timeout: 60_000 }, async (context) => {
  const state = stateFor(context);
  const models = writeRepository(freshDirectory(context), { m: dense(sizes) });
  const { code, stderr } = await failStart({ models, processes: 1, env: state.env, flags: state.config(options) });
  assert.equal(code, 1);
  assert.match(stderr, /admin\.tokens\.otto: expected .*TOKEN_OF_OTTO/);
});
