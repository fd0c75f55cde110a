/** What was logged, sent again: to a version, to a folder, as load; and what copies of requests leave in the log. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { writeRepository } from '../fixtures.js';
import { freshDirectory, type Server, startServer } from './server.js';
import {
  admin,
  auditEntries,
  eventually,
  manifestOf,
  modelOf,
  type State,
  sluice,
  stateFor,
} from './versions-fixture.js';

const digits = fileURLToPath(new URL('../../../models', import.meta.url));

const logText = ({ directory }: State, more = '') => `
prediction_log: { enabled: true, path: ${join(directory, 'log')}, sample: 1, flush_ms: 20, segment_age_ms: 300 ${more}}
`;

interface Replayed {
  readonly version: string;
  readonly items: number;
  readonly verdict: string;
  readonly incident: boolean;
  readonly fingerprint: { readonly logged: string; readonly now: string; readonly is_unchanged: boolean };
  readonly outputs: readonly {
    readonly output: string;
    readonly items: number;
    readonly match_rate: number;
    readonly max_abs_diff: number;
  }[];
  readonly error: string | null;
}

async function serve(context: TestContext, models: string, text: (state: State) => string): Promise<Server> {
  const state = stateFor(context);
  const flags = [...state.config(text(state)), '--models-version-policy', 'all'];
  const server = await startServer({ models, flags, env: state.env, processes: 1 });
  context.after(() => server.kill('SIGKILL'));
  return server;
}

async function ask(
  server: Server,
  path: string,
  id: string,
  data: readonly number[],
  columns: number,
): Promise<number> {
  const name = path.startsWith('digits') ? 'image' : 'INPUT0';
  const input = { name, shape: [data.length / columns, columns], datatype: 'FP32', data };
  const answer = await fetch(`${server.http}/v2/models/${path}/infer`, {
    method: 'POST',
    headers: { 'x-request-id': id },
    body: JSON.stringify({ inputs: [input] }),
  });
  await answer.text();
  return answer.status;
}

async function query(server: Server, sql: string): Promise<readonly (readonly unknown[])[]> {
  const { status, json } = await admin<{ rows: readonly (readonly unknown[])[]; error: string }>(server, 'log/query', {
    sql,
  });
  assert.equal(status, 200, json.error);
  return json.rows;
}

const counted = (server: Server, rows: number) =>
  eventually(async () => assert.equal(Number((await query(server, 'SELECT count(*) FROM predictions'))[0]![0]), rows));

const replay = (server: Server, ...parameters: string[]) =>
  sluice('replay', '--url', server.admin, '--gateway', server.http, ...parameters);

/** Numbers that are no doubles of few digits, so that a replay from rounded ones would differ. */
const row = (seed: number) => Array.from({ length: 4 }, (_, at) => Math.fround(Math.sin(seed * 7 + at) / 3));

test('a replay says how far a candidate agrees with what was answered, and ends with 1 when it may not pass', {
  timeout: 240_000,
}, async (context) => {
  const features = ['a b', 'a_b', 'c', 'd'].map((name, column) => ({ name, input: 'INPUT0', column, kind: 'numeric' }));
  const version = (seed: number) => {
    const files = { 'model.onnx': modelOf(seed) };
    return { ...files, 'manifest.json': manifestOf(files, { features }) };
  };
  const models = writeRepository(freshDirectory(context), {
    m: { versions: { 1: version(1), 2: version(1), 3: version(2) } },
  });
  const server = await serve(context, models, (state) => logText(state));
  for (let at = 0; at < 40; at++) assert.equal(await ask(server, 'm/versions/1', `one-${at}`, row(at), 4), 200);
  assert.equal(await ask(server, 'm/versions/1', 'three', [...row(50), ...row(51), ...row(52)], 4), 200);
  assert.equal(await ask(server, 'm/versions/1', 'wrong', [1, 2, 3], 3), 400);
  await counted(server, 43);

  await context.test(
    'one request is run again by its version alone, and nothing but the audit log knows of it',
    async () => {
      for (const [id, items] of [
        ['one-7', 1],
        ['three', 3],
      ] as const) {
        const { status, json } = await admin<Replayed>(server, `requests/${id}/replay`, { reason: 'a complaint' });
        assert.equal(status, 200, json.error ?? '');
        assert.deepEqual([json.version, json.items, json.verdict, json.incident], ['1', items, 'same', false]);
        const { logged, now, is_unchanged } = json.fingerprint;
        assert.deepEqual([logged, is_unchanged, /^[0-9a-f]{64}$/.test(now)], [now, true, true]);
        assert.deepEqual(
          json.outputs.map(({ output, items: compared, match_rate, max_abs_diff }) => [
            output,
            compared,
            match_rate,
            max_abs_diff,
          ]),
          [['OUTPUT0', items, 1, 0]],
        );
      }
      const written = await auditEntries(server, 'request.replayed');
      assert.deepEqual(
        written.map(({ subject, actor, detail }) => [subject, actor, detail.request_id, detail.reason]),
        [
          ['m@1', 'operator:loopback', 'one-7', 'a complaint'],
          ['m@1', 'operator:loopback', 'three', 'a complaint'],
        ],
      );
      const nobody = await admin(server, 'requests/nobody/replay', {});
      assert.deepEqual([nobody.status, nobody.json.error], [404, "no row of request 'nobody' is logged"]);
      assert.equal((await admin(server, 'requests/one-7/replay', { version: '2' })).status, 400);
      assert.equal((await auditEntries(server, 'request.replayed')).length, 2);
      await counted(server, 43);
    },
  );

  const files = (name: string) => join(freshDirectory(context), name);
  const [markdown, junit, json] = [files('r.md'), files('r.xml'), files('r.json')];
  const same = await replay(
    server,
    '--candidate',
    '2',
    '--fail-on',
    'agree<1',
    '--fail-on',
    'max_abs>0,error_rate>0',
    '--markdown',
    markdown,
    '--junit',
    junit,
    '--json',
    json,
  );
  assert.equal(same.code, 0, same.stderr);
  assert.match(same.stdout, /replayed +41 requests of the last 1h with 43 items, answered before: 41 by version 1/);
  assert.match(same.stdout, /OUTPUT0 +43 +100 % +100 % +0 +0 +0/);
  assert.match(same.stdout, /passes +max_abs>0 +max_abs is 0/);
  assert.match(
    readFileSync(markdown, 'utf8'),
    /^# m: version 2 beside what was logged\n[\s\S]*\| passes \| agree\\<1 \|/,
  );
  assert.match(readFileSync(junit, 'utf8'), /<testsuites tests="4" failures="0" errors="0"/);
  const report = JSON.parse(readFileSync(json, 'utf8'));
  assert.equal(report.figures.agree, 1);
  assert.deepEqual([report.counts.answered, report.counts.items], [41, 43]);

  const other = await replay(server, '--candidate', '3', '--model', 'm', '--fail-on', 'agree<0.99', '--junit', junit);
  assert.equal(other.code, 1);
  assert.match(other.stderr, /^sluice: --fail-on agree<0\.99: agree is 0/m);
  assert.match(
    other.stdout,
    /WORST REQUEST +ITEM +OUTPUT +LOGGED +CANDIDATE +MAX_ABS\n(one-\d+|three) +\d +OUTPUT0 +\d \(.*\) by 1 /,
  );
  assert.match(
    readFileSync(junit, 'utf8'),
    /<testcase classname="replay m version 3" name="agree&lt;0\.99"><failure message="agree is /,
  );

  // What the command sent is in the log, and is not replayed itself.
  await counted(server, 43 + 2 * 43);
  const limited = await replay(server, '--candidate', '2', '--limit', '7', '--connections', '3', '--baseline', '1');
  assert.match(limited.stdout, /replayed +7 requests/);
  const [[newest] = []] = await query(
    server,
    "SELECT max(request_id) FROM predictions WHERE request_id LIKE 'replay-%'",
  );
  assert.equal(newest, 'replay-three');

  const folder = await replay(
    server,
    '--candidate',
    join(models, 'm', '3'),
    '--fail-on',
    'agree<0.99',
    '--limit',
    '20',
  );
  assert.equal(folder.code, 1, folder.stderr);
  assert.match(folder.stdout, /replayed +20 requests/);
  const file = await replay(server, '--candidate', join(models, 'm', '2', 'model.onnx'), '--fail-on', 'max_abs>0');
  assert.equal(file.code, 0, file.stderr);

  const wrongs = [
    [2, /--fail-on: expected a condition such as agree<0\.99/, '--candidate', '2', '--fail-on', 'agree'],
    [2, /--fail-on: expected a condition/, '--candidate', '2', '--fail-on', 'speed>1'],
    [2, /--last: expected a time/, '--candidate', '2', '--last', 'soon'],
    [2, /--limit: expected a number/, '--candidate', '2', '--limit', '0'],
    [2, /--candidate: expected a version number, the folder/, '--candidate', './nowhere', '--model', 'm'],
    [2, /cannot be written/, '--candidate', '2', '--markdown', join(markdown, 'r.md')],
    [2, /required option '--candidate <version>' not specified/],
    [1, /the gateway answered 404/, '--candidate', '9'],
    [1, /unknown model|is not found/i, '--candidate', '2', '--model', 'nobody'],
    [1, /nothing is logged of the last 1h/, '--candidate', '2', '--baseline', '3'],
  ] as const;
  await Promise.all(
    wrongs.map(async ([code, said, ...wrong]) => {
      const refused = await replay(server, ...wrong);
      assert.deepEqual(
        [refused.code, said.test(refused.stderr)],
        [code, true],
        `${wrong.join(' ')}: ${refused.stderr}`,
      );
    }),
  );
  const garbage = join(freshDirectory(context), 'model.onnx');
  writeFileSync(garbage, 'no model');
  const broken = await replay(server, '--candidate', garbage, '--model', 'm');
  assert.equal(broken.code, 1);
  assert.match(broken.stderr, /--candidate: m version 1 cannot be served: /);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test('what was redacted, cut off or logged without inputs is passed over and counted', {
  timeout: 180_000,
}, async (context) => {
  const models = writeRepository(freshDirectory(context), { m: modelOf(1) });
  const redacted = await serve(context, models, (state) =>
    logText(state, ', redact: { m: [{ target: /inputs/INPUT0/1, how: mask }] }'),
  );
  assert.equal(await ask(redacted, 'm', 'secret', row(1), 4), 200);
  await counted(redacted, 1);
  const one = await replay(redacted, '--candidate', '1', '--fail-on', 'agree<0.5');
  assert.equal(one.code, 1);
  assert.match(one.stdout, /passed over +1 redacted/);
  const refused = async (server: Server, id: string, why: RegExp) => {
    const { status, json } = await admin(server, `requests/${id}/replay`, {});
    assert.equal(status, 409);
    assert.match(json.error, why);
  };
  await refused(redacted, 'secret', /^request 'secret' cannot be run again: .*redacted.*prediction_log\.redact/);
  assert.match(one.stderr, /no request could be sent again/);
  assert.match(one.stderr, /--fail-on agree<0\.5: there is no agree to judge by/);

  const cut = await serve(context, models, (state) => logText(state, ', max_tensor_bytes: 32'));
  assert.equal(await ask(cut, 'm', 'short', row(1), 4), 200);
  assert.equal(await ask(cut, 'm', 'long', [...row(1), ...row(2), ...row(3)], 4), 200);
  await counted(cut, 4);
  const two = await replay(cut, '--candidate', '1', '--fail-on', 'agree<1');
  assert.equal(two.code, 0, two.stderr);
  assert.match(two.stdout, /replayed +1 requests[^\n]*\n[\s\S]*passed over +1 truncated/);
  await refused(cut, 'long', /prediction_log\.max_tensor_bytes/);
  assert.equal((await admin(cut, 'models/m/unload', {})).status, 200);
  await refused(
    cut,
    'short',
    /version 1 of model 'm', which answered it, is not open: .*POST \/admin\/models\/m\/load/,
  );

  const bare = await serve(context, models, (state) => logText(state).replace('sample: 1', 'sample: 0'));
  assert.equal(await ask(bare, 'm', 'bare', row(1), 4), 200);
  await counted(bare, 1);
  const three = await replay(bare, '--candidate', '1');
  assert.match(three.stdout, /passed over +1 logged without inputs/);
  await refused(bare, 'bare', /prediction_log\.sample/);
  const load = await sluice('bench', bare.http, '--model', 'm', '--input', 'log', '--admin', bare.admin);
  assert.equal(load.code, 2);
  assert.match(load.stderr, /none of 1 is logged with whole inputs/);
  for (const server of [redacted, cut, bare]) assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test('bench sends what is in the log, as it was asked for', { timeout: 180_000 }, async (context) => {
  const server = await serve(context, digits, (state) => logText(state));
  const image = (seed: number) => Array.from({ length: 64 }, (_, at) => (seed * 31 + at * 7) % 17);
  for (let at = 0; at < 5; at++) assert.equal(await ask(server, 'digits', `d-${at}`, image(at), 64), 200);
  assert.equal(await ask(server, 'digits', 'pair', [...image(8), ...image(9)], 64), 200);
  await counted(server, 7);
  const json = join(freshDirectory(context), 'bench.json');
  const from = ['--input', 'log', '--last', '10m', '--admin', server.admin];
  const quick = ['--connections', '1', '--duration', '0.3', '--warmup', '0', '--json', json];
  const run = await sluice('bench', server.http, '--model', 'digits', ...from, ...quick);
  const [measured] = JSON.parse(readFileSync(json, 'utf8')).rows;
  assert.ok(measured.figures === undefined || measured.errorCount === 0, run.stderr);
  await eventually(async () => {
    const [[images, pairs] = []] = await query(
      server,
      `SELECT count(DISTINCT (f_pixel_0_0, f_pixel_0_1, f_pixel_3_3)), count(*) FILTER (item_index = 1)
       FROM predictions WHERE request_id NOT LIKE 'd-%' AND request_id <> 'pair'`,
    );
    assert.equal(Number(images), 7, 'all images of the log were sent, and no others');
    assert.ok(Number(pairs) > 0, 'the request of two rows is one');
  });
  for (const [said, ...wrong] of [
    [/--last: says how far back in the log/, '--last', '1h'],
    [/--input log: name the control port/, '--input', 'log'],
    [/--rows: requests of the log have the rows they have/, ...from, '--rows', '2'],
    [/there are none/, '--input', 'log', '--last', '10m', '--admin', server.admin, '--model', 'cancer'],
  ] as const) {
    const refused = await sluice('bench', server.http, '--model', 'digits', ...wrong);
    assert.deepEqual([refused.code, said.test(refused.stderr)], [2, true], refused.stderr);
  }
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test('every copy that a shadow ran is a row beside that of the request, and explain shows both', {
  timeout: 180_000,
}, async (context) => {
  const models = writeRepository(freshDirectory(context), {
    m: { versions: { 1: modelOf(1), 2: modelOf(2) } },
  });
  const shadows = 'routes: { m: { shadows: [{ name: next, version: "2", max_loop_lag: 10s }] } }\n';
  const server = await serve(context, models, (state) => `${logText(state)}${shadows}`);
  for (let at = 0; at < 30; at++) assert.equal(await ask(server, 'm', `s-${at}`, row(at), 4), 200);
  await counted(server, 60);
  const rows = await query(
    server,
    `SELECT role, version, variant_served, route_reason, experiment, status, count(*), count(DISTINCT request_id),
       count(outputs_json), min(latency_us) > 0 FROM predictions GROUP BY ALL ORDER BY role`,
  );
  assert.deepEqual(
    rows.map((cells) => cells.map((cell) => (typeof cell === 'string' && /^\d+$/.test(cell) ? Number(cell) : cell))),
    [
      ['primary', 1, null, null, null, 200, 30, 30, 30, true],
      ['shadow', 2, 'next', 'shadow', null, 200, 30, 30, 30, true],
    ],
  );
  const [[differing] = []] = await query(
    server,
    `SELECT count(*) FROM predictions p JOIN predictions s ON s.parent_request_id = p.request_id AND s.role = 'shadow'
     WHERE p.role = 'primary' AND p.input_json = s.input_json AND p.outputs_json <> s.outputs_json`,
  );
  assert.equal(Number(differing), 30, 'the same inputs, and other answers');
  const { json: seen } = await admin<{ model: string; shadows: Record<string, unknown>[] }>(server, 'models/m/shadow');
  assert.deepEqual(
    [seen.model, seen.shadows.map(({ shadow, version, pairs }) => [shadow, version, pairs])],
    ['m', [['next', '2', 30]]],
  );
  assert.deepEqual((await admin<{ shadows: unknown[] }>(server, 'shadows')).json.shadows, seen.shadows);
  assert.equal((await admin(server, 'models/nobody/shadow')).status, 404);
  const { status: again, json: copied } = await admin<Replayed>(server, 'requests/s-3/replay', {});
  assert.deepEqual([again, copied.version, copied.verdict], [200, '1', 'same'], 'what answered, not its copy');
  const { stdout } = await sluice('explain', 's-3', '--url', server.admin);
  assert.match(stdout, /request +s-3 item 0, [\d:. -]+, primary\nanswered by +m version 1[\s\S]*route +none/);
  assert.match(stdout, /request +s-3 item 0, [\d:. -]+, shadow\nanswered by +m version 2[\s\S]*route +shadow next/);
  for (const [batch] of stdout.matchAll(/^batch .*$/gm))
    assert.match(batch, /rows in its run(, all its own|, with s-\d+|; the)/);
  const replayed = await replay(server, '--candidate', '1', '--fail-on', 'agree<1');
  assert.match(replayed.stdout, /replayed +30 requests/, 'copies are not replayed');
  assert.equal(replayed.code, 0, replayed.stderr);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});
