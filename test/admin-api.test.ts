/** The control port from its URL table on: who may ask what, what is said of those who may not, and its description. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { activityOf } from '../src/admin/activity.js';
import { Admin, type AdminReply, type Malformed } from '../src/admin/api.js';
import { type ConfiguredTokens, Keyring } from '../src/admin/auth.js';
import type { RefusedCaller } from '../src/admin/gate.js';
import { exactJson } from '../src/admin/json.js';
import { urlTable } from '../src/admin/url-table.js';
import { statusOf } from '../src/http/status.js';

const tokens = {
  viewer: 'viewer-token-0123456789',
  operator: 'operator-token-0123456789',
  admin: 'admin-token-0123456789',
};
const digestOf = (token: string) => createHash('sha256').update(token).digest('hex');
const three: ConfiguredTokens = {
  token: '',
  tokens: {
    vera: { role: 'viewer', sha256: digestOf(tokens.viewer) },
    otto: { role: 'operator', sha256: digestOf(tokens.operator) },
    ada: { role: 'admin', sha256: digestOf(tokens.admin) },
  },
};

interface Question {
  readonly body?: string | Uint8Array;
  readonly query?: string;
  readonly token?: string;
  readonly peer?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A control port whose rooms note what reaches them. */
function door(configured: ConfiguredTokens = { token: '', tokens: {} }, clock = { ms: 0 }, isMetricsOpen = false) {
  const reached: { readonly what: string; readonly actor: string }[] = [];
  const refused: RefusedCaller[] = [];
  const malformed: Malformed[] = [];
  const note = (what: string, actor = '') => {
    reached.push({ what, actor });
    return Promise.resolve<unknown>({});
  };
  const admin = new Admin({
    version: '1.2.3',
    keyring: new Keyring(configured, {}),
    isMetricsOpen,
    now: () => clock.ms,
    onRefused: (one) => void refused.push(one),
    metrics: async () => ({ contentType: 'text/plain', body: 'up 1\n' }),
    activity: async () => activityOf([], clock.ms),
    state: () => ({ isReady: true, reason: '' }),
    served: () => ({ models: [], sources: [] }),
    relay: ({ call }, actor) => note(call, actor),
    operate: ({ operation }, actor) => note(operation, actor),
    hook: (segments) => note(`hook ${segments.join('/')}`),
    jsonText: exactJson,
    statusOf,
    onMalformed: (one) => void malformed.push(one),
  });
  const ask = async (method: string, path: string, question: Question = {}): Promise<AdminReply> => {
    const { body = '', query = '', token, peer = '127.0.0.1', headers = {} } = question;
    const sent: Record<string, string> = { host: '127.0.0.1:8002', ...headers };
    if (token !== undefined) sent.authorization = `Bearer ${token}`;
    const admitted = admin.admit({ method, path, query, peer, header: (name) => sent[name] });
    return 'answer' in admitted ? admitted.answer(Buffer.from(body)) : admitted;
  };
  return { ask, reached, refused, malformed };
}

/** A path of the table as somebody would ask it. */
const filled = (path: string) => path.replace(/\{(\w+)\}/g, (_, name) => (name === 'version' ? '1' : `some-${name}`));
const allowOf = ({ headers }: AdminReply, name: string) => headers.find(([header]) => header === name)?.[1];

interface Described {
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
  readonly parameters: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: object }>> };
  readonly operationId: string;
}

test('the document describes every row of the URL table, and nothing else', async () => {
  const { ask } = door();
  const { status, body } = await ask('GET', '/openapi.json');
  assert.equal(status, 200);
  const { openapi, paths } = JSON.parse(body) as {
    openapi: string;
    paths: Record<string, Record<string, Described>>;
  };
  assert.match(openapi, /^3\.1\./);
  const described = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  assert.deepEqual(described.toSorted(), urlTable.map(({ method, path }) => `${method} ${path}`).toSorted());
  const ids = new Set<string>();
  for (const { method, path, role, body: checked } of urlTable) {
    const one = paths[path]![method.toLowerCase()]!;
    assert.deepEqual(one.security, role === 'open' ? [] : [{ token: [role] }], path);
    const named = one.parameters.filter(({ in: place }) => place === 'path').map(({ name }) => `{${name}}`);
    assert.deepEqual(named, path.match(/\{\w+\}/g) ?? [], path);
    assert.equal(one.requestBody !== undefined, checked !== undefined, path);
    ids.add(one.operationId);
  }
  assert.equal(ids.size, described.length, 'ids are unique');
  const references = [...body.matchAll(/"\$ref":"#\/components\/(\w+)\/(\w+)"/g)];
  const { components } = JSON.parse(body);
  for (const [reference, kind, name] of references) assert.ok(components[kind!][name!], reference);
});

test('every address of the document is answered by something', async () => {
  for (const { method, path } of urlTable) {
    const { ask, reached } = door();
    const { status, body } = await ask(method, filled(path), method === 'POST' ? { body: '{}' } : {});
    const isOurs = path === '/' || path.startsWith('/console/');
    const isAnswered = status !== 404 && status !== 405;
    assert.ok(isAnswered || isOurs, `${method} ${path}: ${status} ${body}`);
    // What is refused for its body was read by the right schema, and 501 is what some calls of the protocol always say.
    if ([400, 501].includes(status)) assert.notEqual(body, '{"error":"Not Found"}');
    else if (path.startsWith('/admin/models/') || path.startsWith('/v2/models/')) assert.equal(reached.length, 1, path);
  }
});

test('a role may ask what it or a lower one needs, and is told which it lacks', async () => {
  const rank = ['open', 'viewer', 'operator', 'admin'];
  for (const { method, path, role } of urlTable) {
    for (const [holder, token] of Object.entries(tokens)) {
      const { ask, refused, reached } = door(three);
      const { status, body } = await ask(method, filled(path), { token, body: method === 'POST' ? '{}' : '' });
      const mayAsk = rank.indexOf(holder) >= rank.indexOf(role);
      assert.equal(status === 403, !mayAsk, `${holder}: ${method} ${path}: ${status}`);
      if (mayAsk) continue;
      assert.deepEqual(JSON.parse(body), {
        error: `this needs the role ${role}, and the token has the role ${holder}`,
      });
      assert.equal(refused[0]!.kind, 'admin_forbidden');
      assert.deepEqual(reached, []);
    }
  }
});

test('every change needs at least an operator, and so does whatever is sent by POST but a look', () => {
  const looks = ['/v2/repository/index', '/v2/repository/{repository}/index'];
  for (const { method, path, role } of urlTable) {
    if (method === 'GET' || looks.includes(path) || path.startsWith('/hooks/')) continue;
    assert.ok(role === 'operator' || role === 'admin', path);
  }
});

test('a plan, which shows values of options, is for admins', () => {
  const plans = urlTable.filter(({ path }) => path === '/admin/plan' || path === '/admin/apply');
  assert.deepEqual(
    plans.map(({ role }) => role),
    ['admin', 'admin', 'admin'],
  );
});

test('who presents no token, or a wrong one, is told how, and neither body nor path reaches anything', async () => {
  const { ask, reached, refused } = door(three);
  for (const question of [{}, { token: 'wrong' }, { headers: { authorization: 'Basic dmVyYTp2ZXJh' } }]) {
    const reply = await ask('POST', '/admin/models/a/unload', { ...question, body: '{' });
    assert.equal(reply.status, 401);
    assert.match(allowOf(reply, 'WWW-Authenticate')!, /^Bearer/);
  }
  assert.equal((await ask('GET', '/admin/nothing-here')).status, 401, 'not even whether there is such a path');
  assert.deepEqual(reached, []);
  assert.deepEqual(
    refused.map(({ kind }) => kind),
    Array(4).fill('admin_unauthenticated'),
  );
  assert.doesNotMatch(JSON.stringify(refused), /wrong|dmVyYTp2ZXJh/, 'what was presented is told to nobody');
});

test('health, the console and the description are given to anybody; metrics only when they are open', async () => {
  const { ask } = door(three);
  for (const path of ['/livez', '/readyz', '/v2/health/live', '/v2/health/ready', '/openapi.json', '/'])
    assert.notEqual((await ask('GET', path)).status, 401, path);
  assert.equal((await ask('GET', '/metrics')).status, 401);
  assert.equal((await door(three, { ms: 0 }, true).ask('GET', '/metrics')).status, 200);
});

test('the audit log learns the name of the token', async () => {
  const { ask, reached } = door({ ...three, token: 'the-single-token-of-all' });
  await ask('POST', '/admin/models/a/unload', { token: tokens.operator });
  await ask('POST', '/v2/repository/models/a/unload', { token: tokens.admin });
  await ask('POST', '/admin/models/a/load', { token: 'the-single-token-of-all' });
  assert.deepEqual(
    reached.map(({ actor }) => actor),
    ['operator:otto', 'operator:ada', 'operator:token'],
  );
  const alone = door();
  await alone.ask('POST', '/admin/models/a/load');
  assert.equal(alone.reached[0]!.actor, 'operator:loopback');
});

test('a caller can ask who it is', async () => {
  const me = async (reply: Promise<AdminReply>) => JSON.parse((await reply).body);
  const asked = door(three).ask('GET', '/admin/me', { token: tokens.viewer });
  assert.deepEqual(await me(asked), { name: 'vera', role: 'viewer', needs_token: true });
  assert.deepEqual(await me(door().ask('GET', '/admin/me')), { name: 'loopback', role: 'admin', needs_token: false });
});

test('an address that guesses is shut out, even with the right token, and others are not', async () => {
  const clock = { ms: 0 };
  const { ask, refused } = door(three, clock);
  const status = async (question: Question) => (await ask('GET', '/admin/me', question)).status;
  for (let guess = 1; guess <= 20; guess++)
    assert.equal(await status({ token: `guess-${guess}`, peer: '10.0.0.1' }), 401);
  assert.equal(await status({ token: tokens.admin, peer: '10.0.0.1' }), 429);
  assert.equal(allowOf(await ask('GET', '/admin/me', { peer: '10.0.0.1' }), 'Retry-After'), '3');
  assert.equal(await status({ token: tokens.admin, peer: '10.0.0.2' }), 200);
  assert.equal(refused.filter(({ kind }) => kind === 'admin_throttled').length, 1, 'told once, when it begins');
  clock.ms += 3000;
  assert.equal(await status({ token: tokens.admin, peer: '10.0.0.1' }), 200);
});

test('every refusal is counted, and a flood of them does not fill the log', async () => {
  const clock = { ms: 0 };
  const { ask, refused } = door(three, clock);
  for (let visit = 0; visit < 500; visit++) await ask('GET', '/admin/me', { peer: '10.0.0.1' });
  await ask('GET', '/admin/me', { peer: '10.0.0.2' });
  const lines = () => refused.filter(({ isOneOfMany }) => !isOneOfMany).length;
  assert.deepEqual([refused.length, lines()], [501, 11]);
  clock.ms += 10_000;
  await ask('GET', '/admin/me', { peer: '10.0.0.1' });
  assert.deepEqual([refused.length, lines()], [502, 12]);
});

test('whoever has one address of IPv6 has its whole network', async () => {
  const { ask } = door(three);
  for (let guess = 1; guess <= 20; guess++)
    await ask('GET', '/admin/me', { token: `guess-${guess}`, peer: `2001:db8:1:2::${guess}` });
  assert.equal((await ask('GET', '/admin/me', { token: tokens.admin, peer: '2001:db8:1:2:9:9:9:9' })).status, 429);
  assert.equal((await ask('GET', '/admin/me', { token: tokens.admin, peer: '2001:db8:1:3::1' })).status, 200);
});

test('a scraper with a wrong token, and callers without any, never shut anybody out', async () => {
  const clock = { ms: 0 };
  const { ask } = door(three, clock);
  for (let scrape = 0; scrape < 200; scrape++, clock.ms += 15_000)
    assert.equal((await ask('GET', '/metrics', { token: 'of-yesterday-0123456' })).status, 401);
  for (let visit = 0; visit < 200; visit++) assert.equal((await ask('GET', '/admin/me')).status, 401);
  assert.equal((await ask('GET', '/admin/me', { token: tokens.viewer })).status, 200);
});

test('a page from elsewhere cannot use the browser of an operator', async () => {
  const { ask, reached, refused } = door();
  const send = async (headers: Record<string, string>) =>
    (await ask('POST', '/admin/models/a/unload', { headers })).status;
  assert.equal(await send({ origin: 'https://evil.example' }), 403);
  assert.equal(await send({ origin: 'null' }), 403);
  assert.equal(await send({ origin: 'http://127.0.0.1:9999' }), 403);
  assert.equal(await send({ host: 'evil.example', origin: 'http://evil.example' }), 403, 'a name that leads here');
  assert.deepEqual(reached, []);
  assert.equal(refused.length, 4);
  for (const host of ['127.0.0.1:8002', 'localhost:8002', '[::1]:8002'])
    assert.equal(await send({ host, origin: `http://${host}` }), 200, host);
  const named = await door(three).ask('GET', '/admin/me', {
    token: tokens.viewer,
    headers: { host: 'sluice.example' },
  });
  assert.equal(named.status, 200, 'with a token any name will do');
});

test('another method is refused with those there are', async () => {
  const { ask } = door();
  const reply = async (method: string, path: string) => {
    const answer = await ask(method, path);
    return [answer.status, allowOf(answer, 'Allow')];
  };
  assert.deepEqual(await reply('DELETE', '/admin/models/a'), [405, 'GET']);
  assert.deepEqual(await reply('GET', '/admin/models/a/promote'), [405, 'POST']);
  assert.deepEqual(await reply('PUT', '/v2/logging'), [405, 'GET, POST']);
  assert.deepEqual(await reply('POST', '/'), [405, 'GET']);
});

/** Rows that read a body of ours; a source signs its own. */
const bodied = urlTable.filter(({ path, body }) => body !== undefined && !path.startsWith('/hooks/'));
const notSupported = '/v2/repository/{repository}';

test('no address takes a body that is malformed, and each is told of with whom it came from', async () => {
  const bodies = [
    '{',
    'null null',
    '[]',
    '"now"',
    '7',
    '\u0000',
    '{"a":1,}',
    "{'version':'1'}",
    '['.repeat(100_000),
    '['.repeat(100_000) + ']'.repeat(100_000),
    Buffer.from('{"reason":"\xff"}', 'latin1'),
    Buffer.from('{}', 'utf16le'),
  ];
  assert.ok(bodied.length > 20);
  const { ask, reached, malformed } = door(three);
  for (const [row, { method, path }] of bodied.entries()) {
    for (const [number, body] of bodies.entries()) {
      const peer = `10.0.${row}.${number}`;
      const { status, body: said } = await ask(method, filled(path), { body, peer, token: tokens.admin });
      const told = malformed.pop();
      if (path.startsWith(notSupported) && number > 1) continue;
      assert.equal(status, 400, `${path} ${String(body).slice(0, 20)}: ${status} ${said.slice(0, 200)}`);
      assert.ok(said.length < 1200, path);
      assert.deepEqual(reached, [], path);
      assert.deepEqual(told, { status: 400, peer, method, path: filled(path), caller: 'ada' });
    }
  }
});

test('a member that nobody knows is refused, whatever it is called', async () => {
  const names = ['__proto__', 'constructor', 'toString', 'x'.repeat(100_000), '\u0000', '"><img src=x onerror=y>'];
  const { ask, reached } = door();
  for (const { method, path } of bodied.filter((row) => row.path.startsWith('/admin/'))) {
    for (const name of names) {
      const { status, body } = await ask(method, filled(path), { body: `{${JSON.stringify(name)}:1}` });
      assert.equal(status, 400, `${path} ${name.slice(0, 20)}: ${body.slice(0, 200)}`);
      assert.ok(body.length < 1200, path);
      assert.deepEqual(reached, []);
    }
  }
  assert.equal(({} as { polluted?: unknown }).polluted, undefined);
});

test('a flood of malformed requests does not fill the log, and who may ask has still been answered', async () => {
  const { ask, malformed } = door();
  for (let visit = 0; visit < 500; visit++) assert.equal((await ask('POST', '/admin/gc', { body: '{' })).status, 400);
  assert.equal(malformed.length, 10);
  assert.equal((await ask('GET', '/admin/models')).status, 200);
});

test('a malformed body is refused as such', async () => {
  const { ask, reached } = door();
  for (const body of ['{', '[]', '"now"', '{"version":{}}', '{"version":"1","label":"<b>"}', '\u0000']) {
    const { status, body: said } = await ask('POST', '/admin/models/a/promote', { body });
    assert.equal(status, 400, said);
  }
  assert.deepEqual(reached, []);
});

test('files of the console are a closed list, whatever a path is made to look like, and whoever tries is told of', async () => {
  const tricks = [
    '/console/%252e%252e%252fpackage.json',
    '/console/..%5c..%5cpackage.json',
    '/console/%2fetc%2fpasswd',
    '/console/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd',
    '/%2e%2e/%2e%2e/etc/passwd',
    '/..;/admin/models/a/unload',
    '/console/console.js%2500',
    '/console/CONSOLE.JS',
    '/console/console.js.',
    '/console/console.js%20',
    'http://127.0.0.1/console/console.js',
    '*',
    '',
    '/console/../console.js',
    '/console/..%2f..%2fpackage.json',
    '/console/%2e%2e/package.json',
    '/console//console.js',
    '/console/console.js/',
    '/console/console.js%00.css',
    '/console/',
    '/console/index.html',
    '/console\\console.js',
    '//console/console.js',
    '/src/console/console.js',
    '/etc/passwd',
    '/console/__proto__',
    '/console/constructor',
    '/console/.git/config',
  ];
  const { ask, malformed } = door();
  for (const [number, path] of tricks.entries()) {
    const peer = `10.0.0.${number}`;
    assert.equal((await ask('GET', path, { peer })).status, 404, path);
    assert.deepEqual(malformed.pop(), { status: 404, peer, method: 'GET', path, caller: 'loopback' });
  }
  assert.equal((await ask('GET', '/console/%ff')).status, 400);
  assert.equal((await ask('GET', `/${'x'.repeat(10_000)}`)).status, 404);
  assert.deepEqual(
    malformed.map(({ status, path }) => [status, path.length]),
    [
      [400, 12],
      [404, 200],
    ],
  );
});

test('the page may run its own scripts only, and answers are not kept', async () => {
  const { ask } = door();
  const page = await ask('GET', '/');
  const policy = allowOf(page, 'Content-Security-Policy')!;
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /script-src 'self'(;|$)/);
  assert.match(policy, /frame-ancestors 'none'/);
  assert.doesNotMatch(policy, /unsafe|\*/);
  const answer = await ask('GET', '/admin/me');
  assert.equal(allowOf(answer, 'Cache-Control'), 'no-store');
  for (const reply of [page, answer, await ask('GET', '/nothing')])
    assert.equal(allowOf(reply, 'X-Content-Type-Options'), 'nosniff');
});

test('every file of the console is installed, holds no script of its own in markup and names nothing elsewhere', async () => {
  const { ask } = door();
  for (const { path, contentType } of urlTable.filter(({ path: one }) => one === '/' || one.startsWith('/console/'))) {
    const reply = await ask('GET', path);
    assert.deepEqual([reply.status, reply.contentType], [200, contentType], path);
    if (path.includes('uplot')) continue;
    assert.doesNotMatch(reply.body.replaceAll('http://www.w3.org/2000/svg', ''), /https?:\/\//, path);
    assert.doesNotMatch(reply.body, /innerHTML|insertAdjacentHTML|document\.write|eval\(|\son\w+=/, path);
  }
  assert.doesNotMatch((await ask('GET', '/')).body, /<script(?![^>]*src=)|<style|style=/);
});
