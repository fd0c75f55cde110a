/**
 * The bytes that client libraries put on the wire, and what they look at in the answer. Each request is written as its library
 * writes it: header names, their case and order, member order, what is always there although it says nothing.
 *
 * Must not know how the server reads them.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { exchange, type RawReply } from '../raw-http.js';
import { differenceOf, simpleOf, sumOf } from './cases.js';
import { type Answered, type GrpcClient, grpcMessage, httpAnswer, type Json } from './doors.js';

const [sum, difference] = [sumOf(1).bytes, differenceOf(1).bytes];
const blobs = Buffer.concat(simpleOf(1).inputs.map(({ bytes }) => bytes));
const ramp = Array.from({ length: 16 }, (_, index) => index).join(',');
const ones = new Array(16).fill(1).join(',');

/** A request as the list of its lines and its body. */
function sent(port: number, lines: readonly string[], body: string | Buffer = ''): Promise<RawReply> {
  return exchange({
    port,
    packets: [Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), Buffer.from(body)])],
    waitMs: 10_000,
  });
}

const jsonInputs = `"inputs":[{"name":"INPUT0","shape":[1,16],"datatype":"INT32","data":[${ramp}]},{"name":"INPUT1","shape":[1,16],"datatype":"INT32","data":[${ones}]}]`;
const blobInputs =
  '"inputs":[{"name":"INPUT0","shape":[1,16],"datatype":"INT32","parameters":{"binary_data_size":64}},{"name":"INPUT1","shape":[1,16],"datatype":"INT32","parameters":{"binary_data_size":64}}]';

function assertBoth(answered: Answered): void {
  assert.equal(answered.code, 'OK', answered.text);
  assert.deepEqual(
    answered.outputs.map(({ bytes }) => bytes),
    [sum, difference],
  );
}

interface Habit {
  readonly name: string;
  readonly ask: (port: number) => Promise<void>;
}

/** tritonclient.http: geventhttpclient writes lower-case names, its own, the caller's, host, and no length without a body. */
function gevent(path: string, body: string | Buffer, extra: readonly string[] = []): readonly string[] {
  const method = body === '' && !path.startsWith('/v2/repository') ? 'GET' : 'POST';
  const length = body === '' ? [] : [`content-length: ${Buffer.byteLength(body)}`];
  const agent = 'user-agent: python/gevent-http-client-2.0.2';
  return [`${method} ${path} HTTP/1.1`, agent, ...extra, 'host: localhost:8000', ...length];
}

/** tritonclient.http.aio: aiohttp sends octet-stream for bytes and asks for compression of everything. */
function aiohttp(
  path: string,
  body: string | Buffer | undefined,
  type: string,
  extra: readonly string[] = [],
): readonly string[] {
  const length = body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`, `Content-Type: ${type}`];
  return [
    `${body === undefined ? 'GET' : 'POST'} ${path} HTTP/1.1`,
    'Host: localhost:8000',
    ...extra,
    'Accept: */*',
    'Accept-Encoding: gzip, deflate',
    'User-Agent: Python/3.12 aiohttp/3.9.5',
    ...length,
  ];
}

/** The C++ client and everything on it: libcurl, the header length always there. */
function curl(path: string, body?: Buffer, headerLength = body?.length, type = 'application/json'): readonly string[] {
  const head = [
    `${body === undefined ? 'GET' : 'POST'} ${path} HTTP/1.1`,
    'Host: localhost:8000',
    'User-Agent: libcurl-agent/1.0',
    'Accept: */*',
  ];
  if (body === undefined) return head;
  return [
    ...head,
    `Inference-Header-Content-Length: ${headerLength}`,
    `Content-Type: ${type}`,
    `Content-Length: ${body.length}`,
  ];
}

/** KServe's SDK: httpx. */
function httpx(path: string, body?: string | Buffer, extra: readonly string[] = []): readonly string[] {
  const head = [
    `${body === undefined ? 'GET' : 'POST'} ${path} HTTP/1.1`,
    'Host: localhost:8000',
    'Accept: */*',
    'Accept-Encoding: gzip, deflate',
    'Connection: keep-alive',
    'User-Agent: python-httpx/0.27.2',
  ];
  return body === undefined ? head : [...head, ...extra, `Content-Length: ${Buffer.byteLength(body)}`];
}

const inferPath = '/v2/models/simple/infer';

const habits: readonly Habit[] = [
  {
    name: 'tritonclient HTTP: binary inputs, no outputs named, so all come back in binary',
    ask: async (port) => {
      const json = `{"id":"1",${blobInputs},"parameters":{"binary_data_output":true}}`;
      const body = Buffer.concat([Buffer.from(json), blobs]);
      const reply = await sent(
        port,
        gevent(inferPath, body, [`inference-header-content-length: ${json.length}`]),
        body,
      );
      assert.equal(reply.headers.get('content-type'), 'application/octet-stream');
      assertBoth(httpAnswer(reply));
    },
  },
  {
    name: 'tritonclient HTTP: JSON inputs without a header length and without a Content-Type, one output binary, one JSON',
    ask: async (port) => {
      const body = `{${jsonInputs},"outputs":[{"name":"OUTPUT0","parameters":{"binary_data":true}},{"name":"OUTPUT1","parameters":{"binary_data":false}}]}`;
      const reply = await sent(port, gevent(inferPath, body), body);
      assert.ok(Number(reply.headers.get('inference-header-content-length')) > 0);
      assertBoth(httpAnswer(reply));
    },
  },
  {
    name: 'tritonclient HTTP: sequence, priority, timeout and own parameters',
    ask: async (port) => {
      const body = `{${jsonInputs},"parameters":{"sequence_id":42,"sequence_start":true,"sequence_end":false,"priority":1,"timeout":9000000,"binary_data_output":true,"tenant":"a"}}`;
      assertBoth(httpAnswer(await sent(port, gevent(inferPath, body), body)));
    },
  },
  {
    name: 'tritonclient HTTP: health is asked by status, metadata and errors are JSON',
    ask: async (port) => {
      for (const path of [
        '/v2/health/live',
        '/v2/health/ready',
        '/v2/models/simple/ready',
        '/v2',
        '/v2/models/simple',
        '/v2/models/simple/config',
        '/v2/models/simple/stats',
      ]) {
        assert.equal((await sent(port, gevent(path, ''))).status, 200, path);
      }
      const index = await sent(port, gevent('/v2/repository/index', ''));
      assert.ok(JSON.parse(index.body.toString()).length > 0);
      const refused = await sent(port, gevent('/v2/models/nobody', ''));
      assert.deepEqual([refused.status, typeof JSON.parse(refused.body.toString()).error], [404, 'string']);
    },
  },
  {
    name: 'tritonclient HTTP: bare NaN in the request',
    ask: async (port) => {
      const body =
        '{"inputs":[{"name":"INPUT0","shape":[3],"datatype":"FP32","data":[NaN,Infinity,-Infinity]}],"parameters":{"binary_data_output":true}}';
      const { outputs } = httpAnswer(await sent(port, gevent('/v2/models/echo_FP32/infer', body), body));
      assert.equal(outputs[0]!.bytes.toString('hex'), '0000c07f0000807f000080ff');
    },
  },
  {
    name: 'tritonclient aio: pure JSON as octet-stream; what it cannot inflate is never compressed',
    ask: async (port) => {
      const body = `{${jsonInputs},"parameters":{"binary_data_output":true}}`;
      assertBoth(httpAnswer(await sent(port, aiohttp(inferPath, body, 'application/octet-stream'), body)));
      for (const path of ['/v2', '/v2/models/simple/config', '/v2/models/stats', '/v2/models/nobody']) {
        const reply = await sent(port, aiohttp(path, undefined, ''));
        assert.equal(reply.headers.get('content-encoding'), undefined, path);
        JSON.parse(reply.body.toString());
      }
      const index = await sent(port, aiohttp('/v2/repository/index', '', 'application/octet-stream'), '');
      assert.equal(index.headers.get('content-encoding'), undefined);
    },
  },
  {
    name: 'tritonclient C++: the header length, an empty id and parameters that are always there',
    ask: async (port) => {
      const blobJson = `{"id":"","parameters":{"binary_data_output":true},"inputs":[{"name":"INPUT0","datatype":"INT32","shape":[1,16],"parameters":{"binary_data_size":64}},{"name":"INPUT1","datatype":"INT32","shape":[1,16],"parameters":{"binary_data_size":64}}]}`;
      const binary = Buffer.concat([Buffer.from(blobJson), blobs]);
      const answered = httpAnswer(
        await sent(port, curl(inferPath, binary, blobJson.length, 'application/octet-stream'), binary),
      );
      assertBoth(answered);
      assert.equal(answered.id, '');
      const json = Buffer.from(
        `{"id":"",${jsonInputs},"outputs":[{"name":"OUTPUT0","parameters":{"binary_data":false}},{"name":"OUTPUT1","parameters":{"binary_data":false}}]}`,
      );
      assertBoth(httpAnswer(await sent(port, curl(inferPath, json), json)));
    },
  },
  {
    name: 'tritonclient C++: a large reply compressed as it asked',
    ask: async (port) => {
      const shape = [64, 16];
      const data = new Array(1024).fill(7).join(',');
      const tensor = (name: string) => `{"name":"${name}","datatype":"INT32","shape":[${shape}],"data":[${data}]}`;
      const json = Buffer.from(
        `{"id":"","inputs":[${tensor('INPUT0')},${tensor('INPUT1')}],"outputs":[{"name":"OUTPUT0","parameters":{"binary_data":true}}]}`,
      );
      const reply = await sent(port, [...curl(inferPath, json), 'Accept-Encoding: gzip'], json);
      assert.equal(reply.headers.get('content-encoding'), 'gzip');
      const { outputs } = httpAnswer({ ...reply, body: gunzipSync(reply.body) });
      assert.deepEqual(outputs[0]!.bytes, Buffer.from(new Int32Array(1024).fill(14).buffer));
    },
  },
  {
    name: 'KServe SDK REST: JSON with model_name in it; every output has data',
    ask: async (port) => {
      const body = `{"id":"0b9d6e2c-6d1c-4b3a-9f7e-0d3b0c1f2a34","model_name":"simple",${jsonInputs}}`;
      const reply = await sent(port, httpx(inferPath, body, ['content-type: application/json']), body);
      assert.equal(reply.headers.get('content-type'), 'application/json');
      const { model_name, outputs } = JSON.parse(reply.body.toString());
      assert.equal(model_name, 'simple');
      assert.ok(outputs.every(({ data }: Json) => Array.isArray(data)));
    },
  },
  {
    name: 'KServe SDK REST: binary inputs and outputs as octet-stream',
    ask: async (port) => {
      const json = `{"id":"7","model_name":"simple",${blobInputs},"outputs":[{"name":"OUTPUT0","parameters":{"binary_data":true}},{"name":"OUTPUT1","parameters":{"binary_data":true}}]}`;
      const body = Buffer.concat([Buffer.from(json), blobs]);
      const headers = [`inference-header-content-length: ${json.length}`, 'content-type: application/octet-stream'];
      assertBoth(httpAnswer(await sent(port, httpx(inferPath, body, headers), body)));
    },
  },
  {
    name: 'KServe SDK REST: reads live and ready from the body, and the text of an error',
    ask: async (port) => {
      assert.equal(JSON.parse((await sent(port, httpx('/v2/health/live'))).body.toString()).live, true);
      assert.equal(JSON.parse((await sent(port, httpx('/v2/health/ready'))).body.toString()).ready, true);
      const refused = await sent(
        port,
        httpx('/v2/models/nobody/infer', '{}', ['content-type: application/json']),
        '{}',
      );
      assert.equal(refused.headers.get('content-type'), 'application/json');
      assert.equal(JSON.parse(refused.body.toString()).error, "Request for unknown model: 'nobody' is not found");
    },
  },
  {
    name: 'curl: a form Content-Type',
    ask: async (port) => {
      const body = `{${jsonInputs}}`;
      const lines = [
        `POST ${inferPath} HTTP/1.1`,
        'Host: localhost:8000',
        'User-Agent: curl/8.5.0',
        'Accept: */*',
        `Content-Length: ${body.length}`,
        'Content-Type: application/x-www-form-urlencoded',
      ];
      assertBoth(httpAnswer(await sent(port, lines, body)));
    },
  },
  {
    name: 'perf_analyzer over HTTP: metadata, configuration and statistics around a measuring window agree',
    ask: async (port) => {
      const get = async (path: string) => JSON.parse((await sent(port, curl(path))).body.toString());
      const json = Buffer.from(`{"id":"",${jsonInputs}}`);
      await measured(
        {
          extensions: async () => (await get('/v2')).extensions,
          metadata: () => get('/v2/models/simple'),
          config: () => get('/v2/models/simple/config'),
          statistics: async () => (await get('/v2/models/simple/versions/1/stats')).model_stats,
        },
        async () => assertBoth(httpAnswer(await sent(port, curl(inferPath, json), json))),
      );
    },
  },
];

interface Window {
  readonly extensions: () => Promise<readonly string[]>;
  readonly metadata: () => Promise<Json>;
  readonly config: () => Promise<Json>;
  readonly statistics: () => Promise<Json[]>;
}

/** What a load generator reads before and after its load, and the differences that it reports. */
async function measured(window: Window, infer: () => Promise<unknown>): Promise<void> {
  assert.ok((await window.extensions()).includes('statistics'));
  const [metadata, config] = [await window.metadata(), await window.config()];
  for (const [shown, configured] of [
    [metadata.inputs, config.input],
    [metadata.outputs, config.output],
  ]) {
    assert.deepEqual(
      shown.map(({ name }: Json) => name),
      configured.map(({ name }: Json) => name),
    );
    // A batched model: its first dimension is left out of the configuration.
    assert.deepEqual(
      shown.map(({ shape }: Json) => shape.slice(1).map(Number)),
      configured.map(({ dims }: Json) => dims.map(Number)),
    );
  }
  assert.ok(Number(config.max_batch_size) > 0);
  assert.ok(config.dynamic_batching);
  assert.equal(config.model_transaction_policy.decoupled, false);
  assert.equal(config.response_cache?.enable ?? false, false);
  const before = await window.statistics();
  const requests = 20;
  await Promise.all(Array.from({ length: requests }, infer));
  const after = await window.statistics();
  assert.deepEqual([before.length, after.length], [1, 1]);
  const grown = (of: (stats: Json) => unknown) => Number(of(after[0])) - Number(of(before[0]));
  assert.equal(
    grown(({ inference_count }) => inference_count),
    requests,
  );
  assert.ok(grown(({ execution_count }) => execution_count) <= requests);
  for (const part of ['success', 'queue', 'compute_input', 'compute_infer', 'compute_output']) {
    assert.equal(
      grown(({ inference_stats }) => inference_stats[part].count),
      requests,
      part,
    );
    assert.ok(grown(({ inference_stats }) => inference_stats[part].ns) >= 0, part);
  }
  assert.equal(
    grown(({ inference_stats }) => inference_stats.cache_hit.count),
    0,
  );
}

export async function checkHttpClients(context: TestContext, origin: string): Promise<void> {
  const port = Number(new URL(origin).port);
  for (const { name, ask } of habits) await context.test(name, () => ask(port));
}

export async function checkGrpcClients(context: TestContext, door: GrpcClient): Promise<void> {
  await context.test(
    'tritonclient gRPC: priority unsigned, timeout signed, floats double, sequence as it is',
    async () => {
      const message = grpcMessage('raw', simpleOf(1));
      message.parameters = {
        priority: { uint64_param: '1' },
        timeout: { int64_param: '9000000' },
        sequence_id: { int64_param: '42' },
        sequence_start: { bool_param: true },
        sequence_end: { bool_param: false },
        weight: { double_param: 0.5 },
      };
      const reply = await door.call('ModelInfer', message);
      assert.deepEqual(reply.raw_output_contents, [sum, difference]);
    },
  );
  await context.test('clients that send explicit contents read only raw answers', async () => {
    const reply = await door.call('ModelInfer', grpcMessage('typed', simpleOf(1)));
    assert.deepEqual(reply.raw_output_contents, [sum, difference]);
    assert.ok(reply.outputs.every(({ contents }: Json) => contents === null));
  });
  await context.test(
    'perf_analyzer over gRPC: metadata, configuration and statistics around a measuring window agree',
    () =>
      measured(
        {
          extensions: async () => (await door.call('ServerMetadata', {})).extensions,
          metadata: () => door.call('ModelMetadata', { name: 'simple', version: '' }),
          config: async () => (await door.call('ModelConfig', { name: 'simple', version: '' })).config,
          statistics: async () => (await door.call('ModelStatistics', { name: 'simple', version: '1' })).model_stats,
        },
        () => door.call('ModelInfer', grpcMessage('raw', simpleOf(1))),
      ),
  );
  await context.test('a stream answers a bad request and an unknown model with their ids, and goes on', async () => {
    const stream = door.stub.ModelStreamInfer();
    const replies: Json[] = [];
    const ended = new Promise<void>((resolve, reject) => {
      stream.on('data', (reply: Json) => replies.push(reply));
      stream.on('error', reject);
      stream.on('end', resolve);
    });
    stream.write(grpcMessage('raw', { ...simpleOf(1), id: 'a', inputs: [] }));
    stream.write(grpcMessage('raw', { ...simpleOf(1), id: 'b', model: 'nobody' }));
    stream.write(grpcMessage('raw', { ...simpleOf(1), id: 'c' }));
    stream.end();
    await ended;
    assert.deepEqual(
      replies.map(({ infer_response }) => infer_response.id),
      ['a', 'b', 'c'],
    );
    assert.deepEqual(
      replies.map(({ error_message }) => error_message !== ''),
      [true, true, false],
    );
    assert.deepEqual(replies[2].infer_response.raw_output_contents, [sum, difference]);
    assert.deepEqual(replies[2].infer_response.parameters.triton_final_response, {
      bool_param: true,
      parameter_choice: 'bool_param',
    });
  });
}
