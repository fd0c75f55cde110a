/**
 * What the server says about itself and its models: the exact JSON over HTTP, the same facts over gRPC.
 *
 * Must not know tensors of requests.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { type Called, call } from '../raw-http.js';
import { simpleOf } from './cases.js';
import { type GrpcClient, httpDoor, type Json } from './doors.js';

const extensions = [
  'binary_tensor_data',
  'classification',
  'logging',
  'model_configuration',
  'model_repository',
  'parameters',
  'schedule_policy',
  'statistics',
  'trace',
];

const spec = (name: string, datatype: string, shape: readonly number[]) => ({ name, datatype, shape });

function metadataOf(name: string, versions: readonly string[]): object {
  return {
    name,
    versions,
    platform: 'onnxruntime_onnx',
    inputs: [spec('INPUT0', 'FP32', [-1, -1])],
    outputs: [spec('OUTPUT0', 'FP32', [-1, -1])],
  };
}

const simpleMetadata = {
  name: 'simple',
  versions: ['1'],
  platform: 'onnxruntime_onnx',
  inputs: [spec('INPUT0', 'INT32', [-1, 16]), spec('INPUT1', 'INT32', [-1, 16])],
  outputs: [spec('OUTPUT0', 'INT32', [-1, 16]), spec('OUTPUT1', 'INT32', [-1, 16])],
};

const configInput = (name: string, type: string, dims: readonly number[]) => ({
  name,
  data_type: type,
  format: 'FORMAT_NONE',
  dims,
  is_shape_tensor: false,
  allow_ragged_batch: false,
  optional: false,
});
const configOutput = (name: string, type: string, dims: readonly number[], label_filename = '') => ({
  name,
  data_type: type,
  dims,
  label_filename,
  is_shape_tensor: false,
});

const classesConfig = {
  name: 'classes',
  platform: 'onnxruntime_onnx',
  backend: 'onnxruntime',
  version_policy: { latest: { num_versions: 1 } },
  max_batch_size: 8,
  input: [configInput('INPUT0', 'TYPE_FP32', [4])],
  output: [configOutput('OUTPUT0', 'TYPE_FP32', [4], 'labels.txt')],
  instance_group: [{ name: 'classes_0', kind: 'KIND_CPU', count: 1, gpus: [] }],
  default_model_filename: 'model.onnx',
  parameters: { owner: { string_value: 'tests' } },
  model_warmup: [],
  dynamic_batching: {
    preferred_batch_size: [],
    max_queue_delay_microseconds: 0,
    preserve_ordering: false,
    priority_levels: 2,
    default_priority_level: 2,
    default_queue_policy: {
      timeout_action: 'REJECT',
      default_timeout_microseconds: 20_000_000,
      allow_timeout_override: true,
      max_queue_size: 64,
    },
    priority_queue_policy: {},
  },
  model_transaction_policy: { decoupled: false },
  response_cache: { enable: false },
};

const traceAtStart = {
  trace_level: ['OFF'],
  trace_rate: '1000',
  trace_count: '-1',
  log_frequency: '0',
  trace_file: '',
  trace_mode: 'opentelemetry',
};
const logAtStart = {
  log_file: '',
  log_info: true,
  log_warning: true,
  log_error: true,
  log_verbose_level: 0,
  log_format: 'default',
};
const unknown = "Request for unknown model: 'nobody' is not found";

interface Row extends Called {
  readonly status: number;
  readonly json: unknown;
}

const rows: readonly Row[] = [
  { path: '/v2/health/live', status: 200, json: { live: true } },
  { path: '/v2/health/ready', status: 200, json: { ready: true } },
  { path: '/livez', status: 200, json: { live: true } },
  { path: '/v2/models/simple/ready', status: 200, json: { name: 'simple', ready: true } },
  { path: '/v2/models/two/versions/1/ready', status: 200, json: { name: 'two', ready: true } },
  {
    path: '/v2/models/two/versions/3/ready',
    status: 404,
    json: { error: "Request for unknown model: 'two' version 3 is not found" },
  },
  { path: '/v2/models/nobody/ready', status: 404, json: { error: unknown } },
  { path: '/v2/models/simple', status: 200, json: simpleMetadata },
  { path: '/v2/models/two', status: 200, json: metadataOf('two', ['1', '2']) },
  { path: '/v2/models/two/versions/1', status: 200, json: metadataOf('two', ['1']) },
  { path: '/v2/models/nobody', status: 404, json: { error: unknown } },
  { path: '/v2/models/classes/config', status: 200, json: classesConfig },
  { path: '/v2/models/nobody/stats', status: 404, json: { error: unknown } },
  { path: '/v2/trace/setting', status: 200, json: traceAtStart },
  {
    path: '/v2/trace/setting',
    body: '{"trace_level":["TIMESTAMPS"],"trace_rate":"10"}',
    status: 200,
    json: { ...traceAtStart, trace_level: ['TIMESTAMPS'], trace_rate: '10' },
  },
  {
    path: '/v2/models/simple/trace/setting',
    body: '{"trace_count":"5"}',
    status: 200,
    json: { ...traceAtStart, trace_level: ['TIMESTAMPS'], trace_rate: '10', trace_count: '5' },
  },
  { path: '/v2/trace/setting', body: '{"trace_level":null,"trace_rate":null}', status: 200, json: traceAtStart },
  {
    path: '/v2/models/simple/trace/setting',
    status: 200,
    json: { ...traceAtStart, trace_level: ['TIMESTAMPS'], trace_rate: '10', trace_count: '5' },
  },
  {
    path: '/v2/trace/setting',
    body: '{"trace_level":["OFF","TIMESTAMPS"]}',
    status: 400,
    json: { error: "Expect only one trace level 'OFF' is specified" },
  },
  {
    path: '/v2/trace/setting',
    body: '{"trace_rate":"x"}',
    status: 400,
    json: { error: "Unable to parse 'trace_rate', got: x" },
  },
  {
    path: '/v2/trace/setting',
    body: '{"trace_file":"f"}',
    status: 501,
    json: { error: 'trace file location can not be updated through network protocol' },
  },
  { path: '/v2/models/nobody/trace/setting', status: 404, json: { error: unknown } },
  { path: '/v2/logging', status: 200, json: logAtStart },
  {
    path: '/v2/logging',
    body: '{"log_verbose_level":1,"log_format":"ISO8601"}',
    status: 200,
    json: { ...logAtStart, log_verbose_level: 1, log_format: 'ISO8601' },
  },
  {
    path: '/v2/logging',
    body: '{"log_verbose_level":0,"log_format":"default","log_info":null}',
    status: 200,
    json: logAtStart,
  },
  {
    path: '/v2/logging',
    body: '{"log_format":"x"}',
    status: 400,
    json: { error: 'invalid argument for log_format, got: x' },
  },
  {
    path: '/v2/logging',
    body: '{"log_file":"f"}',
    status: 501,
    json: { error: 'log file location can not be updated through network protocol' },
  },
  {
    path: '/v2/repository/other/index',
    body: '',
    status: 501,
    json: { error: "'repository_name' specification is not supported" },
  },
  {
    path: '/v2/repository/index',
    body: '{"ready":1}',
    status: 400,
    json: { error: "Invalid value for 'ready': expected a boolean" },
  },
  {
    path: '/v2/repository/models/simple/unload',
    body: '',
    status: 503,
    json: { error: 'explicit model load / unload is not allowed' },
  },
  { path: '/v2/systemsharedmemory/status', status: 404, json: { error: 'Not Found' } },
];

/** An error may say its code, and when to come again. */
function withoutExtras(json: Json): Json {
  if (json?.error === undefined) return json;
  const { code: _code, retry_after_ms: _after, ...rest } = json;
  return rest;
}

export async function checkShapes(context: TestContext, origin: string): Promise<void> {
  const port = Number(new URL(origin).port);
  for (const { status, json, ...called } of rows) {
    await context.test(`${called.body === undefined ? 'GET' : `POST ${called.body} to`} ${called.path}`, async () => {
      const reply = await call(port, called);
      assert.deepEqual([reply.status, withoutExtras(JSON.parse(reply.body.toString()))], [status, json]);
      assert.equal(reply.headers.get('content-type'), 'application/json');
    });
  }
  await context.test('the server names itself and only the extensions that work', async () => {
    const reply = await call(port, { path: '/v2' });
    const { version, ...rest } = JSON.parse(reply.body.toString());
    assert.deepEqual(rest, { name: 'sluice', extensions });
    assert.match(version, /^\d+\.\d+\.\d+/);
    assert.deepEqual((await call(port, { path: '/v2/' })).body, reply.body);
  });
  await context.test('the index has an entry for each version, all four members in each', async () => {
    const reply = await call(port, { path: '/v2/repository/index', method: 'POST' });
    const index: Json[] = JSON.parse(reply.body.toString());
    const entry = (name: string, version: string) => ({ name, version, state: 'READY', reason: '' });
    assert.deepEqual(
      index.filter(({ name }) => name === 'two'),
      [entry('two', '1'), entry('two', '2')],
    );
    assert.deepEqual(
      index.filter(({ name }) => name === 'simple'),
      [entry('simple', '1')],
    );
  });
}

/** The counters of `model`, which only this test asks. */
export async function checkStatistics(context: TestContext, origin: string): Promise<void> {
  await context.test('statistics count rows, runs, successes and failures, in integers', async () => {
    const port = Number(new URL(origin).port);
    const before = await statisticsOf(port, 'simple');
    const door = httpDoor(origin);
    await door.infer('binary', simpleOf(4));
    await door.infer('json', simpleOf(1));
    await door.infer('json', { ...simpleOf(1), inputs: [] });
    const after = await statisticsOf(port, 'simple');
    const grown = (of: (stats: Json) => number) => of(after) - of(before);
    assert.equal(
      grown(({ inference_count }) => inference_count),
      5,
    );
    assert.equal(
      grown(({ execution_count }) => execution_count),
      2,
    );
    assert.equal(
      grown(({ inference_stats }) => inference_stats.success.count),
      2,
    );
    assert.equal(
      grown(({ inference_stats }) => inference_stats.queue.count),
      2,
    );
    assert.equal(
      grown(({ inference_stats }) => inference_stats.compute_infer.count),
      2,
    );
    assert.equal(
      grown(({ inference_stats }) => inference_stats.fail.count),
      1,
    );
    assert.equal(
      grown(({ batch_stats }) => batch_stats.find(({ batch_size }: Json) => batch_size === 4)?.compute_infer.count),
      1,
    );
    assert.deepEqual(Object.keys(after), [
      'name',
      'version',
      'last_inference',
      'inference_count',
      'execution_count',
      'inference_stats',
      'response_stats',
      'batch_stats',
      'memory_usage',
    ]);
    assert.deepEqual(after.response_stats, {});
    assert.ok(after.last_inference > 1.6e12);
  });
}

async function statisticsOf(port: number, model: string): Promise<Json> {
  const text = (await call(port, { path: `/v2/models/${model}/stats` })).body.toString();
  assert.doesNotMatch(text, /[0-9][.eE]/);
  const { model_stats } = JSON.parse(text);
  assert.equal(model_stats.length, 1);
  // Before the first run of that size there is none.
  if (!model_stats[0].batch_stats.some(({ batch_size }: Json) => batch_size === 4)) {
    model_stats[0].batch_stats.push({ batch_size: 4, compute_infer: { count: 0 } });
  }
  return model_stats[0];
}

/** The same facts over gRPC. */
export async function checkGrpcShapes(context: TestContext, { call: ask }: GrpcClient): Promise<void> {
  const fails = (method: string, message: object) =>
    ask(method, message).then(
      () => [0, 'answered'],
      ({ code, details }) => [code, details],
    );
  await context.test('live, ready, model ready', async () => {
    assert.deepEqual(await ask('ServerLive', {}), { live: true });
    assert.deepEqual(await ask('ServerReady', {}), { ready: true });
    assert.deepEqual(await ask('ModelReady', { name: 'two', version: '1' }), { ready: true });
    assert.deepEqual(await fails('ModelReady', { name: 'nobody' }), [5, unknown]);
  });
  await context.test('server and model metadata', async () => {
    const { name, extensions: named } = await ask('ServerMetadata', {});
    assert.deepEqual({ name, extensions: named }, { name: 'sluice', extensions });
    const { properties, ...metadata } = await ask('ModelMetadata', { name: 'simple' });
    const texts = JSON.parse(
      JSON.stringify(simpleMetadata, (_, value) => (typeof value === 'number' ? String(value) : value)),
    );
    assert.deepEqual([metadata, properties], [texts, {}]);
  });
  await context.test('model configuration', async () => {
    const { config } = await ask('ModelConfig', { name: 'classes' });
    assert.equal(config.max_batch_size, 8);
    assert.deepEqual(
      config.input.map(({ name, data_type, dims }: Json) => [name, data_type, dims]),
      [['INPUT0', 'TYPE_FP32', ['4']]],
    );
    assert.equal(config.output[0].label_filename, 'labels.txt');
    assert.deepEqual(config.parameters, { owner: { string_value: 'tests' } });
    assert.equal(config.dynamic_batching.priority_levels, '2');
    assert.equal(config.dynamic_batching.default_queue_policy.max_queue_size, 64);
    assert.equal(config.model_transaction_policy.decoupled, false);
  });
  await context.test('statistics', async () => {
    const { model_stats } = await ask('ModelStatistics', { name: 'simple', version: '1' });
    assert.equal(model_stats.length, 1);
    const [{ name, version, inference_stats }] = model_stats;
    assert.deepEqual([name, version], ['simple', '1']);
    assert.ok(BigInt(inference_stats.success.ns) > 0n);
    assert.deepEqual(await fails('ModelStatistics', { name: 'nobody' }), [5, unknown]);
  });
  await context.test('repository index', async () => {
    const { models } = await ask('RepositoryIndex', { ready: true });
    assert.deepEqual(
      models.find(({ name }: Json) => name === 'simple'),
      { name: 'simple', version: '1', state: 'READY', reason: '' },
    );
    assert.deepEqual(await fails('RepositoryIndex', { repository_name: 'x' }), [
      12,
      "'repository_name' specification is not supported",
    ]);
  });
  await context.test('trace and log settings', async () => {
    const changed = await ask('TraceSetting', { settings: { trace_rate: { value: ['7'] } } });
    assert.deepEqual(changed.settings.trace_rate, { value: ['7'] });
    const restored = await ask('TraceSetting', { settings: { trace_rate: { value: [] } } });
    assert.deepEqual(restored.settings.trace_rate, { value: ['1000'] });
    const { settings } = await ask('LogSettings', { settings: { log_verbose_level: { uint32_param: 1 } } });
    assert.equal(settings.log_verbose_level.uint32_param, 1);
    await ask('LogSettings', { settings: { log_verbose_level: { uint32_param: 0 } } });
    assert.equal((await fails('LogSettings', { settings: { log_format: { string_param: 'x' } } }))[0], 3);
  });
}
