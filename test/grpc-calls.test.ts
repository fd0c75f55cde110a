/** The calls beside inference: server, models, repository, statistics, settings, health. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { GatewayError } from '../src/core/errors.js';
import { type Message, Rig } from './grpc-fixture.js';

let rig: Rig;
before(async () => {
  rig = await Rig.open();
});
after(() => rig.close());

async function answer(method: string, request: object = {}): Promise<Message> {
  return (await rig.call(method, request)).message;
}

test('live, ready and metadata of the server', async () => {
  assert.equal((await answer('ServerLive')).live, true);
  assert.equal((await answer('ServerReady')).ready, true);
  rig.plane.isReady = false;
  assert.equal((await answer('ServerReady')).ready, false);
  rig.plane.isReady = true;
  assert.deepEqual(await answer('ServerMetadata'), {
    name: 'sluice',
    version: '0.1.0',
    extensions: ['statistics', 'classification'],
  });
});

test('a model that is known and not ready is not ready; an unknown one is NOT_FOUND', async () => {
  assert.equal((await answer('ModelReady', { name: 'simple', version: '1' })).ready, true);
  rig.plane.loading.add('simple');
  assert.equal((await answer('ModelReady', { name: 'simple' })).ready, false);
  rig.plane.loading.delete('simple');
  for (const request of [{ name: 'nope' }, { name: 'simple', version: '99' }]) {
    assert.equal((await rig.fails('ModelReady', request)).code, status.NOT_FOUND);
  }
  assert.equal((await rig.fails('ModelReady', { name: 'simple', version: 'abc' })).code, status.INVALID_ARGUMENT);
  assert.equal((await rig.fails('ModelReady', { name: 'a/../b' })).code, status.INVALID_ARGUMENT);
});

test('model metadata and configuration have the fields of the protocol', async () => {
  const metadata = await answer('ModelMetadata', { name: 'simple' });
  assert.deepEqual(metadata.versions, ['1', '2']);
  assert.deepEqual(metadata.inputs[0], { name: 'INPUT0', datatype: 'INT32', shape: ['-1', '16'] });
  assert.deepEqual(metadata.properties, { kind: 'test' });
  const { config } = await answer('ModelConfig', { name: 'simple' });
  assert.equal(config.max_batch_size, 8);
  assert.equal(config.input[0].data_type, 'TYPE_INT32');
  assert.equal(config.scheduling_choice, 'dynamic_batching');
  assert.deepEqual(config.dynamic_batching.preferred_batch_size, [8]);
  assert.equal(config.instance_group[0].kind, 'KIND_CPU');
  assert.equal(config.parameters.owner.string_value, 'us');
  assert.equal(config.version_policy.latest.num_versions, 1);
});

test('statistics keep integers that pass 2^53', async () => {
  const zero = { count: 0, ns: 0 };
  rig.plane.relayAnswer = {
    model_stats: [
      {
        name: 'simple',
        version: '1',
        last_inference: 1763719200000,
        inference_count: 4,
        execution_count: 2,
        inference_stats: { success: { count: 3, ns: 9007199254740993n }, fail: zero },
        response_stats: {},
        batch_stats: [
          { batch_size: 2, compute_input: zero, compute_infer: { count: 2, ns: 5n }, compute_output: zero },
        ],
        memory_usage: [],
      },
    ],
  };
  const { model_stats } = await answer('ModelStatistics', { name: 'simple' });
  assert.equal(model_stats[0].inference_stats.success.ns, '9007199254740993');
  assert.equal(model_stats[0].last_inference, '1763719200000');
  assert.equal(model_stats[0].batch_stats[0].compute_infer.ns, '5');
  assert.deepEqual(rig.plane.relayed.at(-1), { call: 'statistics', model: 'simple', version: '' });
  await answer('ModelStatistics');
  assert.deepEqual(rig.plane.relayed.at(-1), { call: 'statistics', model: '', version: '' });
});

test('the repository index is passed on; a repository name is not supported', async () => {
  const entry = { name: 'simple', version: '1', state: 'READY', reason: '' };
  rig.plane.relayAnswer = [entry];
  assert.deepEqual((await answer('RepositoryIndex', { ready: true })).models, [entry]);
  assert.deepEqual(rig.plane.relayed.at(-1), { call: 'index', ready: true });
  const failure = await rig.fails('RepositoryIndex', { repository_name: 'r' });
  assert.equal(failure.code, status.UNIMPLEMENTED);
  assert.equal(failure.details, `'repository_name' specification is not supported`);
});

test('load and unload take the name from either field and pass parameters on', async () => {
  const files = Buffer.from([1, 2, 3]);
  const request = {
    model_name: 'simple',
    parameters: { config: { string_param: '{}' }, 'file:1/model.onnx': { bytes_param: files }, n: { int64_param: 5 } },
  };
  assert.deepEqual(await answer('RepositoryModelLoad', request), { model_name: 'simple', isLoaded: true });
  const call = rig.plane.relayed.at(-1)! as { call: string; model: string; parameters: Message };
  assert.equal(call.model, 'simple');
  assert.equal(call.parameters.config, '{}');
  assert.equal(call.parameters.n, 5);
  assert.deepEqual(Buffer.from(call.parameters['file:1/model.onnx']), files);
  await answer('RepositoryModelLoad', { repository_name: 'simple' });
  assert.deepEqual(rig.plane.relayed.at(-1), { call: 'load', model: 'simple', parameters: {} });
  const both = await rig.fails('RepositoryModelLoad', { repository_name: 'r', model_name: 'simple' });
  assert.equal(both.code, status.UNIMPLEMENTED);
  const unloaded = await answer('RepositoryModelUnload', {
    repository_name: 'simple',
    parameters: { unload_dependents: { bool_param: true } },
  });
  assert.deepEqual(unloaded, { model_name: 'simple', isUnloaded: true });
  assert.deepEqual(rig.plane.relayed.at(-1), { call: 'unload', model: 'simple' });
  for (const name of ['../etc', 'a/../b', '..', '/etc/passwd', ' ..', '', 'x'.repeat(256)]) {
    assert.equal((await rig.fails('RepositoryModelLoad', { model_name: name })).code, status.INVALID_ARGUMENT, name);
  }
});

test('the refusal of a relayed call keeps its code and text', async () => {
  rig.plane.relayAnswer = new GatewayError('UNAVAILABLE', 'explicit model load / unload is not allowed');
  const failure = await rig.fails('RepositoryModelLoad', { model_name: 'simple' });
  assert.equal(failure.code, status.UNAVAILABLE);
  assert.equal(failure.details, 'explicit model load / unload is not allowed');
});

test('trace and log settings go through their maps both ways', async () => {
  rig.plane.relayAnswer = { trace_level: ['TIMESTAMPS', 'TENSORS'], trace_rate: '1000', trace_file: '' };
  const request = {
    model_name: 'simple',
    settings: { trace_level: { value: ['OFF'] }, trace_rate: { value: ['7'] }, trace_count: { value: [] } },
  };
  const { settings } = await answer('TraceSetting', request);
  assert.deepEqual(settings.trace_level.value, ['TIMESTAMPS', 'TENSORS']);
  assert.deepEqual(settings.trace_rate.value, ['1000']);
  assert.deepEqual(rig.plane.relayed.at(-1), {
    call: 'trace',
    model: 'simple',
    settings: { trace_level: ['OFF'], trace_rate: '7', trace_count: null },
  });
  await answer('TraceSetting');
  assert.deepEqual(rig.plane.relayed.at(-1), { call: 'trace', model: '', settings: undefined });
  rig.plane.relayAnswer = { log_file: '', log_info: true, log_verbose_level: 2 };
  const logs = await answer('LogSettings', {
    settings: { log_info: { bool_param: false }, log_verbose_level: { uint32_param: 2 }, log_format: {} },
  });
  assert.equal(logs.settings.log_info.bool_param, true);
  assert.equal(logs.settings.log_verbose_level.uint32_param, 2);
  assert.equal(logs.settings.log_file.string_param, '');
  assert.deepEqual(rig.plane.relayed.at(-1), {
    call: 'logging',
    settings: { log_info: false, log_verbose_level: 2, log_format: null },
  });
});

test('a call that came through a proxy changes nothing, and reads', async () => {
  rig.plane.relayAnswer = [];
  const metadata = { 'x-forwarded-for': '127.0.0.1' };
  const failure = await rig.fails('RepositoryModelLoad', { model_name: 'simple' }, { metadata });
  assert.equal(failure.code, status.PERMISSION_DENIED);
  assert.equal(failure.details, 'model control is not allowed on this listener');
  await rig.call('RepositoryIndex', {}, { metadata });
});

test('changes and reads can be switched off', async () => {
  const closed = await Rig.open({ relayRead: 'off', relayChange: 'off' });
  closed.plane.relayAnswer = {};
  for (const [method, request] of [
    ['RepositoryModelUnload', { model_name: 'simple' }],
    ['LogSettings', { settings: { log_info: { bool_param: true } } }],
    ['LogSettings', {}],
    ['RepositoryIndex', {}],
  ] as const) {
    assert.equal((await closed.fails(method, request)).code, status.PERMISSION_DENIED, method);
  }
  assert.deepEqual(closed.plane.relayed, []);
  await closed.close();
});

test('what is not offered is UNIMPLEMENTED', async () => {
  for (const method of ['SystemSharedMemoryStatus', 'CudaSharedMemoryRegister', 'Nonsense']) {
    await assert.rejects(rig.raw(method, Buffer.alloc(0)), { code: status.UNIMPLEMENTED });
  }
});

test('health knows the server, the service and models by name', async () => {
  const check = async (service: string) => (await answer('Check', { service })).status;
  for (const name of ['', 'inference.GRPCInferenceService', 'model/simple']) assert.equal(await check(name), 'SERVING');
  rig.plane.loading.add('simple');
  assert.equal(await check('model/simple'), 'NOT_SERVING');
  rig.plane.loading.delete('simple');
  for (const service of ['simple', 'model/nope']) {
    assert.equal((await rig.fails('Check', { service })).code, status.NOT_FOUND);
  }
});

test('a watcher hears of a drain at once, and of the end', async () => {
  const other = await Rig.open();
  const heard: string[] = [];
  const call = other.health.Watch({ service: '' });
  const ended = new Promise<{ code: number }>((resolve) => call.on('error', resolve));
  const told = new Promise<void>((resolve) => {
    call.on('data', ({ status }: { status: string }) => {
      heard.push(status);
      if (heard.length === 1) other.door.setServing(false);
      else resolve();
    });
  });
  await told;
  assert.deepEqual(heard, ['SERVING', 'NOT_SERVING']);
  assert.equal((await other.call('ServerReady', {})).message.ready, false);
  assert.equal((await other.call('Check', { service: 'model/simple' })).message.status, 'NOT_SERVING');
  await other.close();
  assert.equal((await ended).code, status.UNAVAILABLE);
});

test('a watcher of an unknown model hears SERVICE_UNKNOWN, and of the model when it comes', async () => {
  const call = rig.health.Watch({ service: 'model/later' });
  call.on('error', () => {});
  const heard: string[] = [];
  await new Promise<void>((resolve) => {
    call.on('data', ({ status }: { status: string }) => {
      heard.push(status);
      if (heard.length === 1) rig.plane.versions.set('later', rig.plane.versions.get('simple')!);
      else resolve();
    });
  });
  assert.deepEqual(heard, ['SERVICE_UNKNOWN', 'SERVING']);
  call.cancel();
});
