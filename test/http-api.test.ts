import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import zlib from 'node:zlib';
import { createApi, dataTable } from '../src/http/api.js';
import { type Door, type Engine, listenHttp } from '../src/http/transport.js';
import { loadUws } from '../src/http/uws-build.js';
import { createTestPlane, type TestPlane, testApiOptions, testHttpOptions } from './http-plane.js';
import { type Called, call, type RawReply } from './raw-http.js';

/** Every engine that loads on this system. */
const engines: readonly Engine[] = [
  ...(['uws', 'uws-glibc227'] as const).filter((engine) => loadUws(engine) !== undefined),
  'node',
];

const doors: Door[] = [];
after(() => Promise.all(doors.map((door) => door.close())));

interface Opened {
  readonly engine: Engine;
  readonly plane: TestPlane;
  readonly port: number;
}

async function open(engine: Engine, options: object = {}): Promise<Opened> {
  const plane = createTestPlane();
  const door = await listenHttp(createApi(plane, { ...testApiOptions, ...options }), { ...testHttpOptions, engine });
  doors.push(door);
  return { engine, plane, port: door.port };
}

const opened = await Promise.all(engines.map((engine) => open(engine)));

/** The same test on every engine. */
function onEach(name: string, run: (opened: Opened) => Promise<void>): void {
  for (const one of opened) test(`${name} (${one.engine})`, () => run(one));
}

const json = (reply: RawReply) => JSON.parse(reply.body.toString()) as Record<string, unknown>;
const one = (model: string) => ({
  path: `/v2/models/echo_${model}/infer`,
  body: `{"inputs":[{"name":"X","shape":[1],"datatype":"${model}","data":[1]}]}`,
});

interface Case {
  readonly name: string;
  readonly called: Called;
  readonly status: number;
  /** Of the JSON body. */
  readonly body?: unknown;
  readonly error?: string | RegExp;
  readonly headers?: Readonly<Record<string, string | undefined>>;
}

const infer = '/v2/models/echo_FP32/infer';
const index = '/v2/repository/index';
const notAllowed = 'model control is not allowed on this listener';

const cases: readonly Case[] = [
  { name: 'live', called: { path: '/v2/health/live' }, status: 200, body: { live: true } },
  { name: 'ready', called: { path: '/v2/health/ready' }, status: 200, body: { ready: true } },
  { name: 'live by its alias', called: { path: '/livez' }, status: 200, body: { live: true } },
  { name: 'ready by its alias', called: { path: '/readyz?verbose=1' }, status: 200, body: { ready: true } },
  {
    name: 'server metadata',
    called: { path: '/v2' },
    status: 200,
    body: { name: 'sluice', version: '0.0.0', extensions: ['binary_tensor_data'] },
  },
  {
    name: 'server metadata with a slash',
    called: { path: '/v2/' },
    status: 200,
    body: { name: 'sluice', version: '0.0.0', extensions: ['binary_tensor_data'] },
  },
  {
    name: 'a model that is ready',
    called: { path: '/v2/models/dense/ready' },
    status: 200,
    body: { name: 'dense', ready: true },
  },
  {
    name: 'a version that is ready',
    called: { path: '/v2/models/simple/versions/1/ready' },
    status: 200,
    body: { name: 'simple', ready: true },
  },
  {
    name: 'a label that is ready',
    called: { path: '/v2/models/simple/labels/stable/ready' },
    status: 200,
    body: { name: 'simple', ready: true },
  },
  {
    name: 'a model that is not ready',
    called: { path: '/v2/models/broken/ready' },
    status: 503,
    body: { name: 'broken', ready: false, error: 'broken' },
  },
  {
    name: 'an unknown model',
    called: { path: '/v2/models/nope/ready' },
    status: 404,
    error: `Request for unknown model: 'nope' is not found`,
  },
  {
    name: 'an unknown version',
    called: { path: '/v2/models/simple/versions/99' },
    status: 404,
    error: `Request for unknown model: 'simple' version 99 is not found`,
  },
  {
    name: 'metadata',
    called: { path: '/v2/models/dense' },
    status: 200,
    body: {
      name: 'dense',
      versions: ['1'],
      platform: 'onnxruntime_onnx',
      inputs: [{ name: 'features', datatype: 'FP32', shape: [-1, 30] }],
      outputs: [{ name: 'probabilities', datatype: 'FP32', shape: [-1, 2] }],
    },
  },
  {
    name: 'configuration',
    called: { path: '/v2/models/simple/versions/2/config' },
    status: 200,
    body: { name: 'simple', max_batch_size: 8 },
  },
  {
    name: 'an escaped name is decoded once',
    called: { path: '/v2/models/d%65nse/ready' },
    status: 200,
    body: { name: 'dense', ready: true },
  },
  {
    name: 'a name escaped twice is not decoded twice',
    called: { path: '/v2/models/d%2565nse/ready' },
    status: 400,
    error: /^invalid model name 'd%65nse'/,
  },
  {
    name: 'an escaped slash is part of a name',
    called: { path: '/v2/models/a%2Fb/ready' },
    status: 400,
    error: `invalid model name 'a/b', model name must not contain path traversal characters`,
  },
  {
    name: 'dot segments are not resolved',
    called: { path: '/v2/models/../health/live' },
    status: 404,
    error: 'Not Found',
  },
  { name: 'a name of dots', called: { path: '/v2/models/..' }, status: 400, error: /must not contain path traversal/ },
  {
    name: 'an escaped name of dots',
    called: { path: '/v2/models/%2e%2e' },
    status: 400,
    error: /must not contain path traversal/,
  },
  {
    name: 'an escaped NUL',
    called: { path: '/v2/models/a%00' },
    status: 400,
    error: /must not contain path traversal/,
  },
  { name: 'a bad escape', called: { path: '/v2/models/%zz' }, status: 400, error: /percent-encoding/ },
  { name: 'an escape that is not UTF-8', called: { path: '/v2/models/%ff' }, status: 400, error: /percent-encoding/ },
  {
    name: 'a long name',
    called: { path: `/v2/models/${'a'.repeat(129)}/ready` },
    status: 400,
    error: /^invalid model name/,
  },
  {
    name: 'a blank name',
    called: { path: '/v2/models/%20/ready' },
    status: 400,
    error: 'Model name cannot be empty. Please enter a valid name to deploy.',
  },
  {
    name: 'a version that is no number',
    called: { path: '/v2/models/simple/versions/abc/ready' },
    status: 400,
    error: `failed to get model version from specified version string 'abc', version should be an integral value > 0`,
  },
  { name: 'version zero', called: { path: '/v2/models/simple/versions/0' }, status: 400, error: /integral value > 0/ },
  {
    name: 'a label that looks like a version',
    called: { path: '/v2/models/simple/labels/v1/ready' },
    status: 400,
    error: /^invalid version label 'v1'/,
  },
  { name: 'double slashes', called: { path: '//v2' }, status: 404, error: 'Not Found' },
  { name: 'an unknown path', called: { path: '/nope' }, status: 404, error: 'Not Found' },
  {
    name: 'shared memory is not offered',
    called: { path: '/v2/systemsharedmemory/status' },
    status: 404,
    error: 'Not Found',
  },
  {
    name: 'generate is not offered',
    called: { path: '/v2/models/dense/generate', body: '{}' },
    status: 404,
    error: 'Not Found',
  },
  {
    name: 'GET on an inference',
    called: { path: infer },
    status: 405,
    error: 'Method Not Allowed',
    headers: { allow: 'POST' },
  },
  {
    name: 'DELETE',
    called: { method: 'DELETE', path: '/v2' },
    status: 405,
    error: 'Method Not Allowed',
    headers: { allow: 'GET, HEAD' },
  },
  {
    name: 'OPTIONS',
    called: { method: 'OPTIONS', path: '/v2/logging' },
    status: 405,
    error: 'Method Not Allowed',
    headers: { allow: 'GET, HEAD, POST' },
  },
  { name: 'statistics keep 64 bits', called: { path: '/v2/models/simple/stats' }, status: 200 },
  { name: 'index without a body and a length', called: { method: 'POST', path: index }, status: 200, body: [] },
  { name: 'index with an empty object', called: { path: index, body: '{}' }, status: 200, body: [] },
  {
    name: 'index with a wrong type',
    called: { path: index, body: '{"ready":1}' },
    status: 400,
    error: `Invalid value for 'ready': expected a boolean`,
  },
  {
    name: 'index with 250,000 levels',
    called: { path: index, body: '['.repeat(250_000) },
    status: 400,
    error: /nesting depth/,
  },
  { name: 'index that is not JSON', called: { path: index, body: 'nope' }, status: 400, error: /failed to parse/ },
  {
    name: 'index of a named repository',
    called: { path: '/v2/repository/r/index', body: '' },
    status: 501,
    error: `'repository_name' specification is not supported`,
  },
  {
    name: 'load in a named repository',
    called: { path: '/v2/repository/r/models/m/load', body: '' },
    status: 501,
    error: `'repository_name' specification is not supported`,
  },
  {
    name: 'load from this host',
    called: { path: '/v2/repository/models/dense/load', body: '' },
    status: 200,
    body: { name: 'dense', load: true },
  },
  {
    name: 'unload from this host',
    called: { path: '/v2/repository/models/dense/unload', body: '{"parameters":{"unload_dependents":true}}' },
    status: 200,
    body: { name: 'dense', unload: true },
  },
  {
    name: 'load through a proxy',
    called: { path: '/v2/repository/models/dense/load', headers: { 'X-Forwarded-For': '10.0.0.1' }, body: '' },
    status: 403,
    error: notAllowed,
  },
  {
    name: 'a setting through a proxy',
    called: { path: '/v2/logging', headers: { Forwarded: 'for=10.0.0.1' }, body: '{"log_info":true}' },
    status: 403,
    error: notAllowed,
  },
  {
    name: 'load of a path',
    called: { path: '/v2/repository/models/..%2Fetc/load', body: '' },
    status: 400,
    error: /must not contain path traversal/,
  },
  { name: 'settings are read', called: { path: '/v2/logging' }, status: 200, body: [] },
  { name: 'settings of a model are read', called: { path: '/v2/models/dense/trace/setting' }, status: 200, body: [] },

  {
    name: 'an inference',
    called: { ...one('FP32'), headers: { 'X-Request-Id': 'abc' } },
    status: 200,
    body: {
      model_name: 'echo_FP32',
      model_version: '1',
      outputs: [{ name: 'Y', datatype: 'FP32', shape: [1], data: [1] }],
    },
    headers: {
      'content-type': 'application/json',
      'x-request-id': 'abc',
      'x-sluice-model': 'echo_FP32',
      'x-sluice-version': '1',
      'server-timing': undefined,
    },
  },
  {
    name: 'an inference by a version',
    called: { path: '/v2/models/simple/versions/1/infer', body: '{"inputs":[]}' },
    status: 400,
    error: /^expected 2 inputs but got 0/,
  },
  {
    name: 'the id of the body stands before that of the header',
    called: {
      path: infer,
      headers: { 'X-Request-Id': 'abc' },
      body: '{"id":"xyz","inputs":[{"name":"X","shape":[0],"datatype":"FP32","data":[]}]}',
    },
    status: 200,
    body: {
      id: 'xyz',
      model_name: 'echo_FP32',
      model_version: '1',
      outputs: [{ name: 'Y', datatype: 'FP32', shape: [0], data: [] }],
    },
    headers: { 'x-request-id': 'xyz' },
  },
  {
    name: 'an id that is not printable',
    called: { ...one('FP32'), headers: { 'X-Request-Id': 'a b' } },
    status: 400,
    error: /X-Request-Id/,
  },
  {
    name: 'an id that is too long',
    called: { ...one('FP32'), headers: { 'X-Request-Id': 'a'.repeat(129) } },
    status: 400,
    error: /X-Request-Id/,
  },
  {
    name: 'a timeout that is no number',
    called: { ...one('FP32'), headers: { 'x-sluice-timeout-ms': '0' } },
    status: 400,
    error: /x-sluice-timeout-ms/,
  },
  {
    name: 'a variant that no route allows',
    called: { ...one('FP32'), headers: { 'x-sluice-variant': 'b' } },
    status: 400,
    error: /variant 'b'/,
  },
  {
    name: 'a label as a parameter',
    called: { path: '/v2/models/simple/infer', body: '{"parameters":{"sluice_label":"nope"},"inputs":[]}' },
    status: 404,
    error: `unknown label 'nope'`,
  },
  {
    name: 'an inference on an unknown model',
    called: { path: '/v2/models/nope/infer', body: '{}' },
    status: 404,
    error: `Request for unknown model: 'nope' is not found`,
  },
  {
    name: 'the error of a model',
    called: { ...one('FP32'), path: '/v2/models/broken/infer' },
    status: 500,
    error: 'onnx runtime error: no',
  },
  {
    name: 'a full queue',
    called: { ...one('FP32'), path: '/v2/models/full/infer' },
    status: 429,
    body: { error: 'Exceeds maximum queue size', retry_after_ms: 1500 },
    headers: { 'retry-after': '2' },
  },
  {
    name: 'an unknown coding',
    called: { ...one('FP32'), headers: { 'Content-Encoding': 'br' } },
    status: 415,
    error: 'Unsupported compression type',
    headers: { 'accept-encoding': 'gzip, deflate' },
  },
  {
    name: 'two codings',
    called: { ...one('FP32'), headers: { 'Content-Encoding': 'gzip, gzip' } },
    status: 415,
    error: 'Unsupported compression type',
  },
  {
    name: 'broken gzip',
    called: { ...one('FP32'), headers: { 'Content-Encoding': 'gzip' } },
    status: 400,
    error: /failed to decompress/,
  },
  {
    name: 'a bomb',
    called: {
      path: infer,
      headers: { 'Content-Encoding': 'gzip' },
      body: zlib.gzipSync(Buffer.alloc(200 * 1024 * 1024)),
    },
    status: 413,
    error: /exceeds the maximum allowed input size of 1048576 bytes/,
  },
  {
    name: 'a body over the limit',
    called: { path: infer, body: ' '.repeat(1024 * 1024 + 1) },
    status: 413,
    error:
      'request JSON size of 1048577 bytes exceeds the maximum allowed input size of 1048576 bytes. Use --http-max-input-size to increase the limit.',
  },
  { name: 'a body at the limit', called: { path: infer, body: one('FP32').body.padEnd(1024 * 1024) }, status: 200 },
  {
    name: 'a header length that is no number',
    called: { ...one('FP32'), headers: { 'Inference-Header-Content-Length': 'abc' } },
    status: 400,
    error: 'Unable to parse Inference-Header-Content-Length, got: abc',
  },
  {
    name: 'a header length above the body',
    called: { ...one('FP32'), headers: { 'Inference-Header-Content-Length': '999' } },
    status: 400,
    error: `inference header size should be in range (0, ${one('FP32').body.length}), got: 999`,
  },
  {
    name: 'a header length equal to the body',
    called: { ...one('FP32'), headers: { 'inference-header-content-length': String(one('FP32').body.length) } },
    status: 200,
  },
  {
    name: 'an inference with 250,000 levels',
    called: { path: infer, body: '{"a":'.repeat(150_000) },
    status: 400,
    error: /nesting depth/,
  },
  ...[
    'application/x-www-form-urlencoded',
    'application/octet-stream',
    'text/plain',
    'application/json; charset=utf-8',
  ].map((type) => ({
    name: `Content-Type ${type}`,
    called: { ...one('FP32'), headers: { 'Content-Type': type } },
    status: 200,
    headers: { 'content-type': 'application/json' },
  })),
  ...['/v2', '/v2/models/dense', '/nope'].map((path) => ({
    name: `${path} is never compressed`,
    called: { path, headers: { 'Accept-Encoding': 'gzip, deflate' } },
    status: path === '/nope' ? 404 : 200,
    headers: { 'content-encoding': undefined, 'content-type': 'application/json' },
  })),
];

for (const { name, called, status, body, error, headers = {} } of cases) {
  onEach(name, async ({ port }) => {
    const reply = await call(port, called);
    assert.equal(reply.status, status, reply.body.toString());
    if (body !== undefined) assert.deepEqual(json(reply), body);
    if (error !== undefined) {
      assert.equal(reply.headers.get('content-type'), 'application/json');
      const text = json(reply).error as string;
      if (typeof error === 'string') assert.equal(text, error);
      else assert.match(text, error);
    }
    for (const [header, value] of Object.entries(headers)) assert.equal(reply.headers.get(header), value, header);
  });
}

onEach('HEAD answers as GET without a body', async ({ port }) => {
  const [head, get] = [await call(port, { method: 'HEAD', path: '/v2' }), await call(port, { path: '/v2' })];
  assert.equal(head.status, 200);
  assert.equal(head.headers.get('content-length'), get.headers.get('content-length'));
  assert.equal(head.body.length, 0);
  assert.ok(get.body.length > 0);
});

onEach('64-bit counters in statistics are written as digits', async ({ port, plane }) => {
  const reply = await call(port, { path: '/v2/models/simple/labels/stable/stats' });
  assert.match(reply.body.toString(), /"ns":1152921504606846977/);
  assert.deepEqual(plane.relayed.at(-1), { call: 'statistics', model: 'simple', version: '1' });
});

onEach('versions 1, 2 and none name the version that answered', async ({ port }) => {
  const body = JSON.stringify({
    inputs: ['INPUT0', 'INPUT1'].map((name) => ({
      name,
      shape: [1, 16],
      datatype: 'INT32',
      data: new Array(16).fill(3),
    })),
  });
  for (const [path, version] of [
    ['/versions/1', '1'],
    ['/versions/2', '2'],
    ['', '2'],
    ['/labels/stable', '1'],
  ] as const) {
    const reply = await call(port, { path: `/v2/models/simple${path}/infer`, body });
    assert.deepEqual([json(reply).model_version, reply.headers.get('x-sluice-version')], [version, version]);
    assert.deepEqual(
      (json(reply).outputs as { data: number[] }[]).map(({ data }) => data[0]),
      [6, 0],
    );
  }
  const labelled = await call(port, {
    path: '/v2/models/simple/infer',
    body: `{"parameters":{"sluice_label":"stable"},${body.slice(1)}`,
  });
  assert.equal(json(labelled).model_version, '1');
  const named = await call(port, {
    path: '/v2/models/simple/versions/2/infer',
    body: `{"parameters":{"sluice_label":"stable"},${body.slice(1)}`,
  });
  assert.equal(json(named).model_version, '2');
});

const samples: Readonly<Record<string, string>> = {
  BOOL: 'true,false',
  UINT8: '0,255',
  UINT16: '0,65535',
  UINT32: '0,4294967295',
  UINT64: '0,18446744073709551615',
  INT8: '-128,127',
  INT16: '-32768,32767',
  INT32: '-2147483648,2147483647',
  INT64: '-9223372036854775808,9223372036854775807',
  FP32: '0.10000000149011612,-0.0',
  FP64: '0.1,5e-324',
  BYTES: '"é","a\\"b"',
};

for (const [datatype, elements] of Object.entries(samples)) {
  onEach(`${datatype} comes back as it was sent`, async ({ port }) => {
    const reply = await call(port, {
      path: `/v2/models/echo_${datatype}/infer`,
      body: `{"inputs":[{"name":"X","shape":[2],"datatype":"${datatype}","data":[${elements}]}]}`,
    });
    assert.match(reply.body.toString(), new RegExp(`"data":\\[${elements.replace(/[\\.+]/g, '\\$&')}\\]`));
  });
}

onEach('binary tensors go and come at any alignment', async ({ port }) => {
  for (const [datatype, bytes] of [
    ['FP16', '003c00c0ff7b0001'],
    ['FP64', '9a9999999999b93f'],
    ['INT64', 'ffffffffffffff7f0100000000000080'],
    ['BYTES', '050000006865c3a96f00000000'],
  ] as const) {
    const blob = Buffer.from(bytes, 'hex');
    const count = datatype === 'BYTES' ? 2 : (blob.length / Number(datatype.replace(/\D/g, ''))) * 8;
    for (let padding = 0; padding < 8; padding++) {
      const header =
        JSON.stringify({
          parameters: { binary_data_output: true },
          inputs: [{ name: 'X', shape: [count], datatype, parameters: { binary_data_size: blob.length } }],
        }) + ' '.repeat(padding);
      const headers = { 'Inference-Header-Content-Length': String(header.length) };
      const reply = await call(port, {
        path: `/v2/models/echo_${datatype}/infer`,
        headers,
        body: Buffer.concat([Buffer.from(header), blob]),
      });
      assert.equal(reply.status, 200, reply.body.toString());
      assert.equal(reply.headers.get('content-type'), 'application/octet-stream');
      const length = Number(reply.headers.get('inference-header-content-length'));
      assert.equal(
        JSON.parse(reply.body.toString('utf8', 0, length)).outputs[0].parameters.binary_data_size,
        blob.length,
      );
      assert.deepEqual(reply.body.subarray(length), blob);
    }
  }
});

onEach('all pairs of codings work', async ({ port }) => {
  const values = Array.from({ length: 1000 }, (_, i) => i / 8);
  const body = Buffer.from(JSON.stringify({ inputs: [{ name: 'X', shape: [1000], datatype: 'FP32', data: values }] }));
  const codings = {
    gzip: [zlib.gzipSync, zlib.gunzipSync],
    deflate: [zlib.deflateSync, zlib.inflateSync],
    identity: [Buffer.from, Buffer.from],
  } as const;
  for (const [sent, [pack]] of Object.entries(codings)) {
    for (const [wanted, [, unpack]] of Object.entries(codings)) {
      const reply = await call(port, {
        path: infer,
        headers: { 'Content-Encoding': sent, 'Accept-Encoding': wanted },
        body: pack(body) as Buffer,
      });
      assert.equal(reply.status, 200);
      assert.equal(reply.headers.get('content-encoding'), wanted === 'identity' ? undefined : wanted);
      assert.deepEqual(JSON.parse((unpack(reply.body) as Buffer).toString()).outputs[0].data, values);
    }
  }
  for (const [header, coding] of [
    ['gzip;q=0', undefined],
    ['gzip;q=0.1, deflate;q=0.9', 'deflate'],
    ['br', undefined],
    ['*', undefined],
    ['identity, gzip', undefined],
    ['gzip;q=x, deflate', 'gzip'],
  ] as const) {
    const reply = await call(port, { path: infer, headers: { 'Accept-Encoding': header }, body });
    assert.equal(reply.headers.get('content-encoding'), coding, header);
  }
  const small = await call(port, { ...one('FP32'), headers: { 'Accept-Encoding': 'gzip' } });
  assert.equal(small.headers.get('content-encoding'), undefined);
});

onEach('every inference has an id of its own when it brings none', async ({ port }) => {
  const ids = new Set<string>();
  for (const body of [one('FP32').body, one('FP32').body, '{"id":"with space","inputs":[]}', 'nope']) {
    const reply = await call(port, { path: infer, body });
    const id = reply.headers.get('x-request-id')!;
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    ids.add(id);
  }
  assert.equal(ids.size, 4);
});

onEach('timing is told when asked for', async ({ port }) => {
  const reply = await call(port, { ...one('FP32'), headers: { 'x-sluice-timing': '1' } });
  assert.match(
    reply.headers.get('server-timing')!,
    /^parse;dur=\d+\.\d+, queue;dur=0\.250, batch;desc="1\/0", infer;dur=0\.500, ser;dur=\d+\.\d+$/,
  );
});

onEach('a refused inference is told to the plane once, an answered one is not', async ({ port, plane }) => {
  const before = plane.refused.length;
  await call(port, { path: infer, body: 'nope' });
  await call(port, { path: '/v2/models/nope/infer', body: '{}' });
  await call(port, { ...one('FP32'), headers: { 'Content-Encoding': 'br' } });
  await call(port, { path: infer, body: ' '.repeat(1024 * 1024 + 1) });
  assert.equal(plane.refused.length, before + 4);
  assert.deepEqual(
    plane.refused.slice(before).map(({ error }) => error.code),
    ['INVALID_ARGUMENT', 'NOT_FOUND', 'INVALID_ARGUMENT', 'RESOURCE_EXHAUSTED'],
  );
  await call(port, one('FP32'));
  await call(port, { ...one('FP32'), path: '/v2/models/broken/infer' });
  assert.equal(plane.refused.length, before + 4);
});

onEach('deadline, priority and timeout reach the plane', async ({ port, plane }) => {
  const body = one('FP32').body.replace('{', '{"parameters":{"priority":2,"timeout":2500,"user":"u"},');
  await call(port, { path: infer, headers: { 'x-sluice-timeout-ms': '250' }, body });
  const asked = plane.asked.at(-1)!;
  assert.ok(Math.abs(asked.deadlineAt - asked.receivedAt - 250) < 0.001);
  assert.deepEqual(
    [asked.priority, asked.timeoutMs, asked.parameters.get('user'), asked.protocol],
    [2, 2.5, 'u', 'http'],
  );
  await call(port, { path: infer, headers: { 'x-sluice-timeout-ms': '999999999' }, body });
  assert.ok(Math.abs(plane.asked.at(-1)!.deadlineAt - plane.asked.at(-1)!.receivedAt - 30_000) < 0.001);
});

onEach('documents describe the server and its models', async ({ port }) => {
  const document = json(await call(port, { path: '/v2/models/dense/openapi.json' }));
  assert.equal(document.openapi, '3.1.0');
  assert.match(JSON.stringify(document), /"const":"features"/);
  assert.ok('/v2/models/dense/infer' in (document.paths as object));
  assert.equal(json(await call(port, { path: '/openapi.json' })).openapi, '3.1.0');
  const page = await call(port, { path: '/v2/docs' });
  assert.match(page.headers.get('content-type')!, /^text\/html/);
  assert.match(page.body.toString(), /models\/dense\/openapi\.json/);
});

onEach('the document lists what the table has, and nothing else', async ({ port }) => {
  const { paths } = json(await call(port, { path: '/openapi.json' })) as {
    paths: Record<string, Record<string, unknown>>;
  };
  const listed = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  // Version and label stand in the document for inference only; `{any}` is the repository's name, which nobody needs.
  const written = dataTable
    .map(([method, pattern]) => `${method} ${pattern.replace('{mv}', '/v2/models/{m}').replace('{m}', '{model}')}`)
    .filter((row) => !row.includes('{any}') && row !== 'GET /v2/');
  const others = ['versions/{version}', 'labels/{label}'].map((which) => `POST /v2/models/{model}/${which}/infer`);
  assert.deepEqual(listed.sort(), [...written, ...others].sort());
});

for (const engine of engines) {
  test(`readiness follows the state of the server, liveness does not (${engine})`, async () => {
    const { port, plane } = await open(engine);
    plane.current = { isReady: false, reason: 'draining', isDegraded: false, isDraining: true };
    const ready = await call(port, { path: '/v2/health/ready' });
    assert.deepEqual([ready.status, json(ready)], [503, { ready: false, error: 'draining' }]);
    const live = await call(port, { path: '/v2/health/live' });
    assert.deepEqual([live.status, live.headers.get('connection')], [200, 'close']);
    const answered = await call(port, one('FP32'));
    assert.deepEqual([answered.status, answered.headers.get('connection')], [200, 'close']);
    plane.current = { isReady: true, reason: '', isDegraded: true, isDraining: false };
    assert.deepEqual(json(await call(port, { path: '/v2/health/ready' })), { ready: true, degraded: true });
  });

  test(`options decide about relayed calls and overload (${engine})`, async () => {
    const { port } = await open(engine, { relayRead: 'off', relayChange: 'off', overloadStatus: 503 });
    for (const called of [
      { path: '/v2/models/stats' },
      { path: index, body: '' },
      { path: '/v2/logging' },
      { path: '/v2/repository/models/dense/load', body: '' },
      { path: '/v2/models/simple/labels/stable/stats' },
    ]) {
      const reply = await call(port, called);
      assert.deepEqual([reply.status, json(reply).error], [403, notAllowed]);
    }
    const full = await call(port, { ...one('FP32'), path: '/v2/models/full/infer' });
    assert.deepEqual([full.status, full.headers.get('retry-after')], [503, '2']);
    const late = await call(port, { ...one('FP32'), path: '/v2/models/late/infer' });
    assert.deepEqual([late.status, late.headers.get('retry-after')], [503, '1'], 'the timeout of the queue');
    const on = await open(engine, { relayChange: 'on' });
    assert.equal((await call(on.port, { ...one('FP32'), path: '/v2/models/late/infer' })).status, 504);
    assert.equal(
      (
        await call(on.port, {
          path: '/v2/repository/models/dense/load',
          headers: { 'X-Forwarded-For': '10.0.0.1' },
          body: '',
        })
      ).status,
      200,
    );
  });
}
