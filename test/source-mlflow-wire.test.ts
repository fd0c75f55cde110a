/**
 * The fake MLflow says what MLflow says, byte for byte where a client could tell: the contract that the source is written to.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import { FakeMlflow, type FakeOptions } from './servers/mlflow.js';

let fake: FakeMlflow;
const running: FakeMlflow[] = [];

async function start(options: FakeOptions = {}): Promise<void> {
  fake = new FakeMlflow(options);
  running.push(fake);
  await fake.listen();
}

after(() => Promise.all(running.map((server) => server.close())));

interface Answered {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** The path goes out as it is written, which no URL would allow. */
function send(
  method: string,
  path: string,
  { body, headers = {} }: { body?: unknown; headers?: Record<string, string> } = {},
) {
  return new Promise<Answered>((resolve, reject) => {
    const { hostname, port } = fake.url;
    const bytes =
      body === undefined ? Buffer.alloc(0) : Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    const sentHeaders = { ...headers, 'content-length': bytes.length };
    const sent = request({ method, hostname, port, path, headers: sentHeaders, agent: false }, async (message) => {
      let text = '';
      for await (const chunk of message.setEncoding('latin1')) text += chunk;
      resolve({ status: message.statusCode!, headers: message.headers, text });
    });
    sent.on('error', reject);
    sent.end(bytes);
  });
}

const api = '/api/2.0/mlflow';
const get = (path: string) => send('GET', `${api}/${path}`);
const post = (path: string, body: unknown) => send('POST', `${api}/${path}`, { body });
const jsonOf = async (answer: Promise<Answered>) => JSON.parse((await answer).text);

async function refuses(answer: Promise<Answered>, status: number, text: string): Promise<void> {
  const given = await answer;
  assert.deepEqual([given.status, given.headers['content-type']], [status, 'application/json']);
  assert.equal(given.text, text);
}

const created = { creation_timestamp: 1_760_000_000_002, last_updated_timestamp: 1_760_000_000_002 };
const bare = { current_stage: 'None', description: '', run_id: '', status: 'READY', run_link: '' };
const versionOne = { name: 'fraud', version: '1', ...created, ...bare, source: 'mlflow-artifacts:/1/a' };

describe('calls of the registry', () => {
  beforeEach(async () => {
    await start();
    await post('registered-models/create', { name: 'fraud' });
  });

  it('answer JSON indented by two spaces, and close the connection', async () => {
    const { text, headers } = await get('registered-models/get?name=fraud');
    assert.equal(
      text,
      '{\n  "registered_model": {\n    "name": "fraud",\n    "creation_timestamp": 1760000000001,\n' +
        '    "last_updated_timestamp": 1760000000001\n  }\n}',
    );
    assert.deepEqual([headers.connection, headers['content-type']], ['close', 'application/json']);
  });

  it('answer {} to a search that finds nothing', async () => {
    assert.equal((await get("model-versions/search?filter=name='fraud'")).text, '{}');
    assert.equal((await get("registered-models/search?filter=name='other'")).text, '{}');
  });

  it('write errors compactly', async () => {
    await refuses(
      get('registered-models/get?name=other'),
      404,
      '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Registered Model with name=other not found"}',
    );
    await refuses(
      get('model-versions/get?name=fraud&version=9'),
      404,
      '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Model Version (name=fraud, version=9) not found"}',
    );
    await refuses(
      get('registered-models/alias?name=fraud&alias=champion'),
      400,
      '{"error_code": "INVALID_PARAMETER_VALUE", "message": "Registered model alias champion not found."}',
    );
    const { status, text } = await get('registered-models/get');
    assert.equal(status, 400);
    assert.match(text, /Missing value for required parameter 'name'/);
  });

  it('say of a version all there is, with aliases in get and alias and never in a search', async () => {
    await post('model-versions/create', { name: 'fraud', source: 'mlflow-artifacts:/1/a' });
    await post('registered-models/alias', { name: 'fraud', alias: 'champion', version: '1' });
    const full = { model_version: { ...versionOne, aliases: ['champion'] } };
    assert.deepEqual(await jsonOf(get('model-versions/get?name=fraud&version=1')), full);
    assert.deepEqual(await jsonOf(get('registered-models/alias?name=fraud&alias=champion')), full);
    assert.deepEqual(await jsonOf(get("model-versions/search?filter=name='fraud'")), { model_versions: [versionOne] });
  });

  it('move the time of a model with a new version, and show the newest of each stage', async () => {
    const { registered_model: old } = await jsonOf(get('registered-models/get?name=fraud'));
    for (const letter of ['a', 'b', 'c']) {
      await post('model-versions/create', { name: 'fraud', source: `mlflow-artifacts:/1/${letter}` });
    }
    await post('model-versions/transition-stage', { name: 'fraud', version: '1', stage: 'Production' });
    const { registered_model: model } = await jsonOf(get('registered-models/get?name=fraud'));
    assert.ok(model.last_updated_timestamp > old.last_updated_timestamp);
    const versions = (list: { version: string }[]) => list.map(({ version }) => version).sort();
    assert.deepEqual(versions(model.latest_versions), ['1', '3']);
    const production = await jsonOf(get('registered-models/get-latest-versions?name=fraud&stages=Production'));
    assert.deepEqual(versions(production.model_versions), ['1']);
    const posted = await jsonOf(post('registered-models/get-latest-versions', { name: 'fraud', stages: ['None'] }));
    assert.deepEqual(versions(posted.model_versions), ['3']);
  });

  it('refuse what MLflow refuses', async () => {
    const refused = async (answer: Promise<Answered>) => {
      const { status, text } = await answer;
      return [status, JSON.parse(text).error_code];
    };
    const invalid = [400, 'INVALID_PARAMETER_VALUE'];
    const create = (source: string) => refused(post('model-versions/create', { name: 'fraud', source }));
    assert.deepEqual(await refused(post('registered-models/create', { name: 'fraud' })), [
      400,
      'RESOURCE_ALREADY_EXISTS',
    ]);
    assert.deepEqual(await create('mlflow-artifacts:/1/../a'), invalid);
    assert.deepEqual(await create('/srv/models/a'), invalid);
    await post('model-versions/create', { name: 'fraud', source: 'mlflow-artifacts:/1/a' });
    const alias = (name: string, version: string) =>
      refused(post('registered-models/alias', { name: 'fraud', alias: name, version }));
    assert.deepEqual(await alias('v1', '1'), invalid);
    assert.deepEqual(await alias('champion', '9'), [404, 'RESOURCE_DOES_NOT_EXIST']);
  });

  it('count versions on after one was deleted', async () => {
    const source = 'mlflow-artifacts:/1/a';
    await post('model-versions/create', { name: 'fraud', source });
    await send('DELETE', `${api}/model-versions/delete`, { body: { name: 'fraud', version: '1' } });
    const { model_version: next } = await jsonOf(post('model-versions/create', { name: 'fraud', source }));
    assert.equal(next.version, '2');
    assert.equal((await get('model-versions/get?name=fraud&version=1')).status, 404);
  });

  it('give pages by an offset in base64, last updated first', async () => {
    for (const letter of ['a', 'b', 'c']) {
      await post('model-versions/create', { name: 'fraud', source: `mlflow-artifacts:/1/${letter}` });
    }
    const page = await jsonOf(get("model-versions/search?filter=name='fraud'&max_results=2"));
    assert.deepEqual(
      page.model_versions.map(({ version }: { version: string }) => version),
      ['3', '2'],
    );
    assert.equal(page.next_page_token, Buffer.from('{"offset": 2}').toString('base64'));
    const rest = await jsonOf(
      get(`model-versions/search?filter=name='fraud'&max_results=2&page_token=${page.next_page_token}`),
    );
    assert.deepEqual(
      rest.model_versions.map(({ version }: { version: string }) => version),
      ['1'],
    );
    assert.equal('next_page_token' in rest, false);
    assert.match((await get('model-versions/search?page_token=nonsense')).text, /INVALID_PARAMETER_VALUE/);
    assert.equal((await get('registered-models/search?max_results=1001')).status, 400);
    const ascending = await jsonOf(get("model-versions/search?filter=name='fraud'&order_by=version_number%20ASC"));
    assert.deepEqual(
      ascending.model_versions.map(({ version }: { version: string }) => version),
      ['1', '2', '3'],
    );
  });

  it('tag, and untag', async () => {
    await post('model-versions/create', { name: 'fraud', source: 'mlflow-artifacts:/1/a' });
    await post('model-versions/set-tag', { name: 'fraud', version: '1', key: 'sha256', value: 'x' });
    const path = 'model-versions/get?name=fraud&version=1';
    assert.deepEqual((await jsonOf(get(path))).model_version.tags, [{ key: 'sha256', value: 'x' }]);
    await send('DELETE', `${api}/model-versions/delete-tag`, { body: { name: 'fraud', version: '1', key: 'sha256' } });
    assert.equal('tags' in (await jsonOf(get(path))).model_version, false);
  });
});

describe('artifacts', () => {
  const artifacts = '/api/2.0/mlflow-artifacts/artifacts';

  before(async () => {
    await start();
    await send('PUT', `${artifacts}/1/a/model.onnx`, { body: Buffer.from('0123456789') });
    await send('PUT', `${artifacts}/1/a/deep/er/x.bin`, { body: Buffer.from('x') });
    fake.registry.createModel('fraud');
    fake.registry.createVersion('fraud', { source: 'mlflow-artifacts:/1/a' });
  });

  it('are listed by basename, directories without a size', async () => {
    assert.deepEqual(await jsonOf(send('GET', `${artifacts}?path=1/a`)), {
      files: [
        { path: 'deep', is_dir: true },
        { path: 'model.onnx', is_dir: false, file_size: 10 },
      ],
    });
    assert.equal((await send('GET', `${artifacts}?path=1/nothing`)).text, '{}');
  });

  it('refuse to climb, however it is written', async () => {
    for (const path of [
      `${artifacts}/../x`,
      `${artifacts}/%2e%2e/x`,
      `${artifacts}?path=..`,
      `${artifacts}?path=%2e%2e/x`,
    ]) {
      const { status, text } = await send('GET', path);
      assert.equal(status, 400, path);
      assert.match(text, /"message": "Invalid path"/);
    }
  });

  it('that are absent are 500 with a path of the server; directories are 500 with HTML', async () => {
    const absent = await send('GET', `${artifacts}/1/a/other.onnx`);
    assert.deepEqual([absent.status, absent.headers['content-type']], [500, 'application/json']);
    assert.match(absent.text, /INTERNAL_ERROR.*\/srv\/mlflow/);
    const directory = await send('GET', `${artifacts}/1/a`);
    assert.deepEqual([directory.status, directory.headers['content-type']], [500, 'text/html; charset=utf-8']);
  });

  it('come without length or etag, whatever range or condition is asked for', async () => {
    const headers = { range: 'bytes=5-', 'if-none-match': '*' };
    const answer = await send('GET', `${artifacts}/1/a/model.onnx`, { headers });
    assert.deepEqual([answer.status, answer.text], [200, '0123456789']);
    assert.equal(answer.headers['content-length'], undefined);
    assert.equal(answer.headers.etag, undefined);
    assert.equal(answer.headers['transfer-encoding'], 'chunked');
    assert.equal(answer.headers['content-disposition'], 'attachment; filename=model.onnx');
    assert.equal(answer.headers['x-content-type-options'], 'nosniff');
    const head = await send('HEAD', `${artifacts}/1/a/model.onnx`);
    assert.deepEqual([head.status, head.headers['content-length'], head.text], [200, undefined, '']);
  });

  it('of a version come with length, etag, ranges and 304', async () => {
    const path = '/model-versions/get-artifact?name=fraud&version=1&path=model.onnx';
    const whole = await send('GET', path);
    assert.deepEqual([whole.status, whole.headers['content-length']], [200, '10']);
    assert.match(whole.headers.etag!, /^"\d+\.0-10-\d+"$/);
    assert.ok(whole.headers['last-modified']);
    const part = await send('GET', path, { headers: { range: 'bytes=6-', 'if-range': whole.headers.etag! } });
    assert.deepEqual([part.status, part.text, part.headers['content-range']], [206, '6789', 'bytes 6-9/10']);
    const other = await send('GET', path, { headers: { range: 'bytes=6-', 'if-range': '"other"' } });
    assert.deepEqual([other.status, other.text], [200, '0123456789']);
    assert.equal((await send('GET', path, { headers: { 'if-none-match': whole.headers.etag! } })).status, 304);
  });
});

describe('who may ask', () => {
  const basic = (pair: string) => ({ authorization: `Basic ${Buffer.from(pair).toString('base64')}` });

  it('Basic: 401 with a realm and HTML, also for a bearer token; health and version are open', async () => {
    await start({ auth: { basic: 'ann:secret' } });
    const path = `${api}/registered-models/search`;
    const nobody = await send('GET', path);
    assert.equal(nobody.status, 401);
    assert.equal(nobody.headers['www-authenticate'], 'Basic realm="mlflow"');
    assert.match(nobody.headers['content-type']!, /html/);
    assert.equal((await send('GET', path, { headers: { authorization: 'Bearer secret' } })).status, 401);
    assert.equal((await send('GET', path, { headers: basic('ann:secret') })).status, 200);
    assert.equal((await send('GET', '/health')).text, 'OK');
    assert.equal((await send('GET', '/version')).text, '2.22.1');
  });

  it('behind a proxy a bearer token does', async () => {
    await start({ auth: { bearer: 'token' } });
    const path = `${api}/registered-models/search`;
    assert.equal((await send('GET', path, { headers: { authorization: 'Bearer token' } })).status, 200);
    assert.equal((await send('GET', path, { headers: basic('ann:secret') })).status, 401);
  });
});

describe('MLflow 3', () => {
  it('checks the Host header, and knows logged models and presigned URLs', async () => {
    await start({ isThree: true, presigned: 'https://bucket.example' });
    assert.equal(
      (await send('GET', `${api}/registered-models/search`, { headers: { host: 'evil.example' } })).status,
      403,
    );
    fake.registry.loggedModels.set('m-1', 'mlflow-artifacts:/1/models/m-1/artifacts');
    const logged = await jsonOf(get('logged-models/m-1'));
    assert.equal(logged.model.info.artifact_uri, 'mlflow-artifacts:/1/models/m-1/artifacts');
    fake.artifacts.put('1/a/model.onnx', '0123');
    assert.deepEqual(await jsonOf(send('GET', '/api/2.0/mlflow-artifacts/presigned/1/a/model.onnx')), {
      url: 'https://bucket.example/1/a/model.onnx',
      headers: {},
      file_size: 4,
    });
  });

  it('sends a webhook again on 503, three times in all, with one delivery id', async () => {
    await start({ isThree: true });
    const heard: IncomingHttpHeaders[] = [];
    const receiver = createServer((message, response) => {
      heard.push(message.headers);
      message.resume().on('end', () => response.writeHead(heard.length < 3 ? 503 : 202).end());
    });
    receiver.listen(0, '127.0.0.1');
    await once(receiver, 'listening');
    const { port } = receiver.address() as AddressInfo;
    fake.hooks.push({ url: `http://127.0.0.1:${port}/hooks/mlflow/main`, secret: 's3cret' });
    await post('registered-models/create', { name: 'fraud' });
    assert.deepEqual(await fake.deliveries[0], [503, 503, 202]);
    assert.equal(new Set(heard.map((headers) => headers['x-mlflow-delivery-id'])).size, 1);
    receiver.closeAllConnections();
    receiver.close();
  });
});
