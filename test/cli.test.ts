import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '../src/config/load.js';
import { options } from '../src/config/options.js';

const cli = fileURLToPath(new URL('../src/cli.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'sluice-cli-'));
after(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs the command line in an empty folder, with no variables of ours but those given. */
async function run(args: readonly string[], env: Record<string, string> = {}, input = ''): Promise<Ended> {
  const outer = Object.entries(process.env).filter(([name]) => !name.startsWith('SLUICE_'));
  const child = spawn(process.execPath, [cli, ...args], { cwd: folder, env: { ...Object.fromEntries(outer), ...env } });
  const [out, err] = [[] as Buffer[], [] as Buffer[]];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() };
}

/** A wrong usage: lines for people, each saying who speaks, and nothing else. */
function assertLines(ended: Ended, code: number, ...lines: (string | RegExp)[]): void {
  assert.equal(ended.code, code, ended.err);
  const told = ended.err.trimEnd().split('\n');
  assert.equal(told.length, lines.length, ended.err);
  for (const [index, line] of lines.entries()) {
    assert.ok(told[index]!.startsWith('sluice: '), told[index]);
    if (typeof line === 'string') assert.equal(told[index]!.slice(8), line);
    else assert.match(told[index]!, line);
  }
  assert.doesNotMatch(ended.err, /\n {4}at /);
}

interface Asked {
  readonly method: string;
  readonly url: string;
  readonly authorization: string | undefined;
  readonly body: string;
}

/** A server that answers as told and remembers what it was asked. */
async function listen(
  answer: (asked: Asked) => readonly [number, string],
): Promise<{ url: string; asked: Asked[]; server: Server }> {
  const asked: Asked[] = [];
  const server = createServer(async (request: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = '', url = '', headers } = request;
    asked.push({ method, url, authorization: headers.authorization, body: Buffer.concat(chunks).toString() });
    const [status, body] = answer(asked.at(-1)!);
    response.writeHead(status, { 'content-type': 'application/json' }).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  after(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, server };
}

test('help teaches every command with examples', async () => {
  const { code, out, err } = await run(['--help']);
  assert.equal(code, 0);
  assert.equal(err, '');
  for (const command of ['serve', 'check', 'config', 'models', 'infer'])
    assert.match(out, new RegExp(`^ {2}${command} `, 'm'));
  assert.match(out, /Exit codes: 0 done, 1 failed while running, 2 wrong usage/);
  const commands = [['serve'], ['config', 'print'], ['infer']];
  const helps = await Promise.all(commands.map((command) => run([...command, '--help'])));
  for (const [index, help] of helps.entries()) {
    const name = commands[index]!.join(' ');
    assert.equal(help.code, 0);
    assert.match(help.out, new RegExp(`Examples:\n(.*\n)*  \\$ .*sluice ${name}`), name);
  }
});

test('wrong usage is one line and exit code 2', async () => {
  assertLines(await run(['srve']), 2, "unknown command 'srve', did you mean serve?");
  assertLines(await run(['models', 'promot', 'm', '2']), 2, "unknown command 'models promot', did you mean promote?");
  assertLines(await run(['serve', '--htp-port', '1']), 2, '--htp-port: unknown flag, did you mean --http-port?');
  assertLines(
    await run(['serve', '--http-max-inptu-size=1']),
    2,
    '--http-max-inptu-size: unknown flag, did you mean --http-max-input-size?',
  );
  assertLines(await run(['serve', '--http-port']), 2, /argument missing/);
  assertLines(await run(['audit', 'tail', 'too', 'many']), 2, /too many arguments/);
  assertLines(await run(['infer', 'digits']), 2, /--input <file>/);
});

test('no command shows the help and is wrong usage', async () => {
  const { code, err } = await run([]);
  assert.equal(code, 2);
  assert.match(err, /Usage: sluice/);
});

test('a wrong configuration is one line for each problem, for every command that reads it', async () => {
  const file = join(folder, 'wrong.yaml');
  writeFileSync(file, 'http:\n  prt: 1\ngrpc:\n  port: none\n');
  const commands = [['serve'], ['check'], ['config', 'print']];
  const args = ['--config', file, '--load', 'later'];
  for (const ended of await Promise.all(
    commands.map((command) => run([...command, ...args], { SLUICE_LOG_LEVL: 'info' })),
  )) {
    assertLines(
      ended,
      2,
      `${file}:2: http.prt: unknown option, did you mean http.port?`,
      'SLUICE_LOG_LEVL: unknown variable, did you mean SLUICE_LOG_LEVEL?',
      '--load: expected one of eager, lazy, explicit, got "later"',
      `${file}:4: grpc.port: expected an integer from 0 to 65535, got "none"`,
    );
  }
});

test('a configuration file that does not exist is named', async () => {
  assertLines(await run(['check', '--config', 'no.yaml']), 2, /no\.yaml: expected a configuration file/);
  assertLines(
    await run(['config', 'print'], { SLUICE_CONFIG: 'no.yaml' }),
    2,
    /no\.yaml: expected a configuration file/,
  );
});

test('the printed configuration says where each value came from', async () => {
  const file = join(folder, 'right.yaml');
  writeFileSync(file, 'http:\n  port: 1001\n  host: 127.0.0.1\n');
  const env = { SLUICE_HTTP_PORT: '1002', SLUICE_GRPC_PORT: '1003', SLUICE_CONFIG: file };
  const { code, out } = await run(['config', 'print', '--origin', '--grpc-port', '1004'], env);
  assert.equal(code, 0);
  assert.match(out, /^http:\n(.*\n)*? {2}port: 1002 +# env SLUICE_HTTP_PORT$/m);
  assert.match(out, /^grpc:\n(.*\n)*? {2}port: 1004 +# flag --grpc-port$/m);
  assert.match(out, /^ {2}host: 127\.0\.0\.1 +# file .*right\.yaml:3$/m);
  assert.match(out, /^request_timeout_ms: 30000 +# default$/m);
});

test('the printed configuration is a configuration file that means the same', async () => {
  const flags = {
    'models-version-policy': 'specific 1,3',
    'http-max-input-size': '1MiB',
    'model-overrides': '{digits: {instances: 2}}',
  };
  const args = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]);
  const { out } = await run(['config', 'print', '--origin', ...args]);
  const again = loadConfig({ file: { name: 'printed.yaml', text: out } });
  assert.deepEqual(again.config, loadConfig({ flags }).config);
});

test('a token is never printed', async () => {
  const token = 'a-secret-of-sixteen-or-more';
  const { code, out, err } = await run(['config', 'print', '--origin'], { SLUICE_ADMIN_TOKEN: token });
  assert.equal(code, 0);
  assert.match(out, /token: "\*\*\*"/);
  assert.ok(!`${out}${err}`.includes(token));
});

test('every option is listed with its flag and its variable, or those that contain a text', async () => {
  const all = await run(['config', 'options']);
  for (const { path, flag, variable } of options) {
    assert.ok(all.out.includes(`${path}\n`), path);
    assert.ok(all.out.includes(`  --${flag}  ${variable}\n`), path);
  }
  const some = await run(['config', 'options', 'drain']);
  assert.match(some.out, /^drain_delay_ms$/m);
  assert.doesNotMatch(some.out, /http\.port/);
});

test('a reader that has seen enough is no failure', async () => {
  const child = spawn(process.execPath, [cli, 'config', 'options'], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  const told: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => told.push(chunk));
  const [code] = (await once(child, 'close')) as [number];
  assert.equal(Buffer.concat(told).toString(), '');
  assert.equal(code, 0);
});

const served = {
  models: [
    {
      model: 'digits',
      version: '2',
      state: 'READY',
      reason: '',
      isDefault: true,
      inputs: ['image FP32 [-1,64]'],
      outputs: ['label INT64 [-1]'],
      maxBatchSize: 32,
      source: 'local',
      sha256: '0123456789abcdef',
      labels: ['champion'],
    },
    {
      model: 'broken',
      version: '1',
      state: 'UNAVAILABLE',
      reason: 'not\nONNX \u001b[31m',
      isDefault: false,
      inputs: [],
      outputs: [],
      maxBatchSize: 0,
      source: 'local',
      sha256: '',
      labels: [],
    },
  ],
  sources: [
    { name: 'local', type: 'directory', isUp: true, reason: '', lastSuccess: '2026-01-01T00:00:00.000Z' },
    { name: 'mlflow', type: 'mlflow', isUp: false, reason: 'refused', lastSuccess: '2026-01-01T00:00:00.000Z' },
  ],
};

test('models shows a table of what the control port tells', async () => {
  const { url, asked } = await listen(() => [200, JSON.stringify(served)]);
  const { code, out } = await run(['models', '--url', `${url}/`], { SLUICE_ADMIN_TOKEN: 'token-of-the-operator' });
  assert.equal(code, 0);
  const lines = out.trimEnd().split('\n');
  assert.equal(lines.length, 4);
  assert.match(lines[0]!, /^NAME +VERSION +STATE +DEFAULT +BATCH +INPUTS → OUTPUTS +SOURCE +DIGEST +REASON$/);
  assert.match(
    lines[1]!,
    /^digits +2 +READY +yes +32 +image FP32 \[-1,64\] → label INT64 \[-1\] +local +0123456789ab$/,
  );
  assert.match(lines[2]!, /^broken +1 +UNAVAILABLE +local +not\?ONNX \?\[31m$/);
  assert.match(
    lines[3]!,
    /^source mlflow \(mlflow\) does not answer: refused; it last answered at 2026-01-01T00:00:00.000Z$/,
  );
  assert.deepEqual(asked, [
    { method: 'GET', url: '/admin/models', authorization: 'Bearer token-of-the-operator', body: '' },
  ]);
});

test('models without a gateway, or with something else in its place, fails in one line', async () => {
  const { url, server } = await listen(() => [200, '{"other":1}']);
  assertLines(await run(['models', '--url', url]), 1, /is not the control port of a gateway/);
  server.close();
  server.closeAllConnections();
  assertLines(
    await run(['models', '--url', url]),
    1,
    /the control port did not answer at http:\/\/127\.0\.0\.1:\d+: nothing listens there/,
  );
  assertLines(await run(['models', '--url', 'localhost']), 2, /expected an address like/);
  const refused = await listen(() => [401, '{"error":"expected a token"}']);
  assertLines(await run(['models', '--url', refused.url]), 1, 'the control port answered 401: expected a token');
});

function gateway(outputs: string, properties: Record<string, string> = {}) {
  return ({ method }: Asked): readonly [number, string] =>
    method === 'POST'
      ? [200, `{"model_name":"digits","model_version":"2","outputs":${outputs}}`]
      : [200, JSON.stringify({ name: 'digits', versions: ['2'], properties })];
}

test('infer sends the file as it is and shows version, outputs, label and time', async () => {
  const outputs = '[{"name":"probabilities","datatype":"FP32","shape":[2,3],"data":[0.1,0.7,0.2,0.25,0.25,0.5]}]';
  const { url, asked } = await listen(gateway(outputs, { labels: '["cat","dog","fox"]' }));
  const request = '{ "inputs": [] , "exact": 18446744073709551615 }';
  writeFileSync(join(folder, 'request.json'), request);
  const { code, out } = await run(['infer', 'digits', '--input', 'request.json', '--url', url]);
  assert.equal(code, 0);
  assert.match(out, /^digits version 2 answered in \d+\.\d ms$/m);
  assert.match(out, /^probabilities {2}FP32\[2,3\]$/m);
  assert.match(out, /^ {2}dog 0\.7 +fox 0\.2 +cat 0\.1$/m);
  assert.match(out, /^ {2}fox 0\.5 +cat 0\.25 +dog 0\.25$/m);
  assert.deepEqual(
    asked.map(({ method, url: path, body }) => [method, path, body]),
    [
      ['GET', '/v2/health/live', ''],
      ['POST', '/v2/models/digits/infer', request],
      ['GET', '/v2/models/digits/versions/2', ''],
    ],
  );
});

test('infer shows exact integers, values that are no numbers, texts and empty outputs', async () => {
  const outputs = `[{"name":"a","datatype":"INT64","shape":[2],"data":[9223372036854775807,-9007199254740993]},
    {"name":"b","datatype":"FP32","shape":[3],"data":[NaN,-Infinity,1e20]},
    {"name":"c","datatype":"BYTES","shape":[1],"data":["NaN 12345678901234567890 \\"quoted\\" \\u001b[2J"]},
    {"name":"d","datatype":"FP32","shape":[0,4],"data":[]}]`;
  const { url, asked } = await listen(gateway(outputs));
  const { code, out } = await run(
    ['infer', 'digits', '--input', '-', '--model-version', '2', '--url', url],
    {},
    '{"inputs":[]}',
  );
  assert.equal(code, 0);
  for (const text of [
    '9223372036854775807',
    '-9007199254740993',
    'NaN',
    '-Infinity',
    'NaN 12345678901234567890 "quoted" ?[2J',
    '(empty)',
  ]) {
    assert.ok(out.includes(text), text);
  }
  assert.equal(asked[1]!.url, '/v2/models/digits/versions/2/infer');
});

test('infer shortens what would fill the terminal', async () => {
  const data = JSON.stringify(Array.from({ length: 50 * 40 }, (_, index) => index));
  const { url } = await listen(gateway(`[{"name":"a","datatype":"INT32","shape":[50,40],"data":${data}}]`));
  const { out } = await run(['infer', 'digits', '--input', '-', '--url', url], {}, '{}');
  assert.ok(out.split('\n').length < 20);
  assert.match(out, /… 28 more$/m);
  assert.match(out, /… 40 more rows/);
});

test('infer says what the gateway said, and what is wrong with the file', async () => {
  const { url } = await listen(() => [400, '{"error":"unexpected shape for input \'image\'"}']);
  assertLines(
    await run(['infer', 'digits', '--input', '-', '--url', url], {}, '{}'),
    1,
    "the gateway answered 400: unexpected shape for input 'image'",
  );
  assertLines(
    await run(['infer', 'digits', '--input', 'no.json', '--url', url]),
    2,
    /expected a file .* got no\.json: it does not exist/,
  );
});
