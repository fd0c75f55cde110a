/** ModelInfer over a real connection: tensors in every form, the texts of refusals, metadata, time limits. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import type { DataType } from '../src/core/tensor.js';
import { oneInput, Rig, rawOf, rawStrings, simpleRequest } from './grpc-fixture.js';

let rig: Rig;
before(async () => {
  rig = await Rig.open();
});
after(() => rig.close());

const uuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

async function refused(request: object, code: number, details: string | RegExp): Promise<void> {
  const events = rig.plane.refusals.length + rig.plane.seen.length;
  const failure = await rig.fails('ModelInfer', request);
  assert.equal(rig.plane.refusals.length + rig.plane.seen.length, events + 1, 'one event for one request');
  if (typeof details === 'string') assert.equal(failure.details, details);
  else assert.match(failure.details, details);
  assert.equal(failure.code, code);
}

function invalid(request: object, details: string | RegExp): Promise<void> {
  return refused(request, status.INVALID_ARGUMENT, details);
}

test('raw contents are answered with raw contents, the id and the version that answered', async () => {
  const { message, metadata } = await rig.call('ModelInfer', simpleRequest({ id: 'mine', model_version: '1' }));
  assert.equal(message.model_name, 'simple');
  assert.equal(message.model_version, '1');
  assert.equal(message.id, 'mine');
  assert.deepEqual(
    message.outputs.map(({ name, datatype, shape }: never) => [name, datatype, shape]),
    [
      ['OUTPUT0', 'INT32', ['1', '16']],
      ['OUTPUT1', 'INT32', ['1', '16']],
    ],
  );
  assert.equal(message.raw_output_contents.length, 2);
  assert.equal(message.raw_output_contents[0].readInt32LE(60), 16);
  assert.equal(message.raw_output_contents[1].readInt32LE(60), 14);
  assert.deepEqual(message.outputs[0].contents, null);
  assert.equal(metadata.get('x-request-id')[0], 'mine');
  assert.equal(metadata.get('x-sluice-model')[0], 'simple');
  assert.equal(metadata.get('x-sluice-version')[0], '1');
});

test('without a version the server chooses, and says which', async () => {
  const { message } = await rig.call('ModelInfer', simpleRequest());
  assert.equal(message.model_version, '2');
  const labelled = simpleRequest({ parameters: { sluice_label: { string_param: 'stable' } } });
  assert.equal((await rig.call('ModelInfer', labelled)).message.model_version, '1');
});

test('inputs in any order reach the model in its own', async () => {
  const request = simpleRequest();
  request.inputs.reverse();
  request.raw_input_contents.reverse();
  const { message } = await rig.call('ModelInfer', request);
  assert.equal(message.raw_output_contents[1].readInt32LE(60), 14);
  assert.deepEqual(
    rig.plane.seen.at(-1)!.inputs.map(({ name }) => name),
    ['INPUT0', 'INPUT1'],
  );
});

test('only the outputs asked for come back', async () => {
  const { message } = await rig.call('ModelInfer', simpleRequest({ outputs: [{ name: 'OUTPUT1' }] }));
  assert.deepEqual(
    message.outputs.map(({ name }: { name: string }) => name),
    ['OUTPUT1'],
  );
  assert.equal(message.raw_output_contents.length, 1);
});

interface Typed {
  readonly datatype: DataType;
  readonly field: string;
  readonly values: readonly (number | string | boolean | Buffer)[];
  readonly raw: Buffer;
}

const typed: readonly Typed[] = [
  { datatype: 'BOOL', field: 'bool_contents', values: [true, false, true], raw: Buffer.from([1, 0, 1]) },
  { datatype: 'UINT8', field: 'uint_contents', values: [0, 255], raw: Buffer.from([0, 255]) },
  { datatype: 'UINT16', field: 'uint_contents', values: [0, 65535], raw: rawOf(new Uint16Array([0, 65535])) },
  {
    datatype: 'UINT32',
    field: 'uint_contents',
    values: [0, 2 ** 32 - 1],
    raw: rawOf(new Uint32Array([0, 2 ** 32 - 1])),
  },
  {
    datatype: 'UINT64',
    field: 'uint64_contents',
    values: ['0', '18446744073709551615', '9007199254740993'],
    raw: rawOf(new BigUint64Array([0n, 18446744073709551615n, 9007199254740993n])),
  },
  { datatype: 'INT8', field: 'int_contents', values: [-128, 127, -1], raw: rawOf(new Int8Array([-128, 127, -1])) },
  { datatype: 'INT16', field: 'int_contents', values: [-32768, 32767], raw: rawOf(new Int16Array([-32768, 32767])) },
  {
    datatype: 'INT32',
    field: 'int_contents',
    values: [-(2 ** 31), 2 ** 31 - 1, -1],
    raw: rawOf(new Int32Array([-(2 ** 31), 2 ** 31 - 1, -1])),
  },
  {
    datatype: 'INT64',
    field: 'int64_contents',
    values: ['9223372036854775807', '-9223372036854775808', '9007199254740993', '-9007199254740993'],
    raw: rawOf(new BigInt64Array([2n ** 63n - 1n, -(2n ** 63n), 9007199254740993n, -9007199254740993n])),
  },
  {
    datatype: 'FP32',
    field: 'fp32_contents',
    values: [Number.NaN, Infinity, -Infinity, -0, 0.1, 1e-45, 3.4028234663852886e38],
    raw: rawOf(new Float32Array([Number.NaN, Infinity, -Infinity, -0, 0.1, 1e-45, 3.4028234663852886e38])),
  },
  {
    datatype: 'FP64',
    field: 'fp64_contents',
    values: [Number.NaN, -Infinity, -0, 1 / 3, 5e-324],
    raw: rawOf(new Float64Array([Number.NaN, -Infinity, -0, 1 / 3, 5e-324])),
  },
  {
    datatype: 'BYTES',
    field: 'bytes_contents',
    values: ['', 'x'.repeat(1000), '"\\', '😀', '\ufeffbom'].map((text) => Buffer.from(text)),
    raw: rawStrings(['', 'x'.repeat(1000), '"\\', '😀', '\ufeffbom']),
  },
];

for (const { datatype, field, values, raw } of typed) {
  test(`${datatype} comes back bit for bit, from typed and from raw contents`, async () => {
    const input = { name: 'IN', datatype, shape: [values.length], contents: { [field]: values } };
    const fromTyped = await rig.call('ModelInfer', { model_name: `echo_${datatype}`, inputs: [input] });
    assert.deepEqual(fromTyped.message.raw_output_contents, [raw]);
    const fromRaw = await rig.call('ModelInfer', oneInput(`echo_${datatype}`, datatype, [values.length], raw));
    assert.deepEqual(fromRaw.message.raw_output_contents, [raw]);
    assert.equal(fromRaw.message.outputs[0].datatype, datatype);
  });
}

test('FP16 has only the raw form', async () => {
  const raw = rawOf(new Uint16Array([0x3c00, 0x7e00]));
  const { message } = await rig.call('ModelInfer', oneInput('echo_FP16', 'FP16', [2], raw));
  assert.deepEqual(message.raw_output_contents, [raw]);
  const contents = { fp32_contents: [1] };
  await invalid(
    { model_name: 'echo_FP16', inputs: [{ name: 'IN', datatype: 'FP16', shape: [1], contents }] },
    `unexpected explicit tensor data for input tensor 'IN' for model 'echo_FP16' of type 'FP32', expected datatype 'FP16'`,
  );
});

test('any non-zero BOOL byte is true and comes back as 1', async () => {
  const { message } = await rig.call('ModelInfer', oneInput('echo_BOOL', 'BOOL', [3], Buffer.from([7, 0, 255])));
  assert.deepEqual([...message.raw_output_contents[0]], [1, 0, 1]);
});

test('a scalar has one element and an empty shape', async () => {
  const raw = rawOf(new Float32Array([2.5]));
  const { message } = await rig.call('ModelInfer', oneInput('scalar', 'FP32', [], raw));
  assert.deepEqual(message.outputs[0].shape, []);
  assert.deepEqual(message.raw_output_contents, [raw]);
});

for (const shape of [
  [0, 16],
  [8, 0],
]) {
  test(`a tensor of shape [${shape}] is answered with one empty entry, whatever form it came in`, async () => {
    const input = { name: 'IN', datatype: 'FP32', shape };
    for (const request of [
      { inputs: [input], raw_input_contents: [Buffer.alloc(0)] },
      { inputs: [{ ...input, contents: {} }] },
      { inputs: [input] },
    ]) {
      const { message } = await rig.call('ModelInfer', { model_name: 'matrix', ...request });
      assert.deepEqual(message.outputs[0].shape, shape.map(String));
      assert.deepEqual(message.raw_output_contents, [Buffer.alloc(0)]);
    }
  });
}

const raw16 = rawOf(new Int32Array(16));
const input0 = { name: 'INPUT0', datatype: 'INT32', shape: [1, 16] };
const input1 = { name: 'INPUT1', datatype: 'INT32', shape: [1, 16] };
const zeros = { int_contents: new Array(16).fill(0) };

test('unknown models, versions and bad names have their codes and texts', async () => {
  const { NOT_FOUND, UNAVAILABLE } = status;
  await refused(simpleRequest({ model_name: 'nope' }), NOT_FOUND, `Request for unknown model: 'nope' is not found`);
  const version99 = `Request for unknown model: 'simple' version 99 is not found`;
  await refused(simpleRequest({ model_version: '99' }), NOT_FOUND, version99);
  await invalid(
    simpleRequest({ model_version: 'abc' }),
    `failed to get model version from specified version string 'abc', version should be an integral value > 0`,
  );
  await invalid(
    simpleRequest({ model_name: '../etc' }),
    `invalid model name '../etc', model name must not contain path traversal characters`,
  );
  await invalid(simpleRequest({ model_name: '' }), 'Model name cannot be empty. Please enter a valid name to deploy.');
  rig.plane.loading.add('scores');
  const notReady = `Request for unknown model: 'scores' version 1 is not at ready state`;
  await refused(oneInput('scores', 'FP32', [1, 4], raw16), UNAVAILABLE, notReady);
  rig.plane.loading.delete('scores');
});

test('an error of the model and an unforeseen one are INTERNAL, the latter without its text', async () => {
  const raw = rawOf(new Float32Array([1]));
  await refused(oneInput('broken', 'FP32', [1], raw), status.INTERNAL, 'onnx runtime error: it broke');
  await refused(oneInput('odd', 'FP32', [1], raw), status.INTERNAL, 'internal error');
  await refused(oneInput('busy', 'FP32', [1], raw), status.RESOURCE_EXHAUSTED, 'Exceeds maximum queue size');
});

test('raw and typed contents together are refused', () =>
  invalid(
    simpleRequest({ inputs: [input0, { ...input1, contents: zeros }] }),
    `contents field must not be specified when using raw_input_contents for 'INPUT1' for model 'simple'`,
  ));

test('too few raw entries, or no data at all, are refused', async () => {
  const text = `unable to find data for input tensor 'INPUT1' for model 'simple' in request.`;
  await invalid(simpleRequest({ raw_input_contents: [raw16] }), text);
  await invalid(simpleRequest({ inputs: [{ ...input0, contents: zeros }, input1], raw_input_contents: [] }), text);
});

test('too many raw entries are refused', () =>
  invalid(
    simpleRequest({ raw_input_contents: [raw16, raw16, raw16] }),
    `unexpected additional input data for model 'simple'`,
  ));

test('a typed field of another type, and two typed fields, are refused', async () => {
  const only = (contents: object) =>
    simpleRequest({
      inputs: [
        { ...input0, contents },
        { ...input1, contents: zeros },
      ],
      raw_input_contents: [],
    });
  await invalid(
    only({ fp32_contents: new Array(16).fill(0) }),
    `unexpected explicit tensor data for input tensor 'INPUT0' for model 'simple' of type 'FP32', expected datatype 'INT32'`,
  );
  await invalid(
    only({ ...zeros, fp64_contents: [1] }),
    `unexpected explicit tensor data for input tensor 'INPUT0' for model 'simple', binary data was already supplied.`,
  );
  await invalid(
    only({ int_contents: new Array(15).fill(0) }),
    `input byte size mismatch for input 'INPUT0' for model 'simple'. Expected 64, got 60`,
  );
});

test('blobs that are short or long are refused', async () => {
  for (const got of [63, 65, 0]) {
    await invalid(
      simpleRequest({ raw_input_contents: [Buffer.alloc(got), raw16] }),
      `input byte size mismatch for input 'INPUT0' for model 'simple'. Expected 64, got ${got}`,
    );
  }
});

test('typed values outside their type are refused', async () => {
  for (const [datatype, field, value] of [
    ['UINT8', 'uint_contents', 256],
    ['INT8', 'int_contents', -129],
    ['INT16', 'int_contents', 32768],
    ['UINT16', 'uint_contents', 65536],
  ] as const) {
    const input = { name: 'IN', datatype, shape: [1], contents: { [field]: [value] } };
    await invalid({ model_name: `echo_${datatype}`, inputs: [input] }, /element 0 of input 'IN' .* expected/);
  }
});

test('missing, extra and duplicate inputs and outputs are refused', async () => {
  await invalid(
    simpleRequest({ inputs: [input0], raw_input_contents: [raw16] }),
    `expected 2 inputs but got 1 inputs for model 'simple'. Got input(s) ['INPUT0'], but missing required input(s) ['INPUT1']. Please provide all required input(s).`,
  );
  await invalid({ model_name: 'simple' }, /^expected 2 inputs but got 0 inputs/);
  await invalid(
    simpleRequest({ inputs: [input0, input1, { ...input1, name: 'X' }], raw_input_contents: [raw16, raw16, raw16] }),
    `unexpected inference input 'X' for model 'simple'`,
  );
  await invalid(
    simpleRequest({ inputs: [input0, input0], raw_input_contents: [raw16, raw16] }),
    `input 'INPUT0' already exists in request`,
  );
  await invalid(
    simpleRequest({ outputs: [{ name: 'OUTPUT0' }, { name: 'OUTPUT0' }] }),
    `output 'OUTPUT0' already exists in request`,
  );
  await invalid(simpleRequest({ outputs: [{ name: 'Y' }] }), `unexpected inference output 'Y' for model 'simple'`);
});

test('unknown and unfitting datatypes are refused', async () => {
  for (const datatype of ['FLOAT', 'int32', '', 'BF17', 'STRING']) {
    await invalid(simpleRequest({ inputs: [{ ...input0, datatype }, input1] }), 'invalid datatype for input INPUT0');
  }
  for (const datatype of ['FP32', 'BF16']) {
    await invalid(
      simpleRequest({ inputs: [{ ...input0, datatype }, input1] }),
      `inference input 'INPUT0' data-type is '${datatype}', but model 'simple' expects 'INT32'`,
    );
  }
});

test('shapes that do not fit are refused', async () => {
  const both = (shape: readonly (number | string)[]) =>
    simpleRequest({ inputs: [input0, input1].map((input) => ({ ...input, shape })) });
  for (const shape of [[1, 15], [16], [1, 16, 1], [4, 4]]) {
    await invalid(
      both(shape),
      `unexpected shape for input 'INPUT0' for model 'simple'. Expected [-1,16], got [${shape}].`,
    );
  }
  await invalid(
    both([-1, 16]),
    `All input dimensions should be specified for input 'INPUT0' for model 'simple', got [-1,16]`,
  );
  await invalid(
    both(['-9223372036854775808', 16]),
    `All input dimensions should be specified for input 'INPUT0' for model 'simple', got [-9223372036854775808,16]`,
  );
  await invalid(both([]), `input 'INPUT0' has no shape but model requires batch dimension for 'simple'`);
  await invalid(
    simpleRequest({ inputs: [input0, { ...input1, shape: [2, 16] }] }),
    `input 'INPUT1' batch size does not match other inputs for 'simple'`,
  );
  await invalid(
    both(['1152921504606846978', 16]),
    `invalid shape for input 'INPUT0': shape [1152921504606846978,16] causes total element count to exceed maximum size of 9223372036854775807`,
  );
  await invalid(
    both(['1152921504606846978', 4]),
    `byte size overflow for input 'INPUT0': element count (4611686018427387912) * data type size (4) exceeds maximum allowed size (9223372036854775807)`,
  );
  await invalid(both([2 ** 31, 2 ** 31, 2 ** 31]), /causes total element count to exceed maximum size/);
  await invalid(
    both(new Array(33).fill(1)),
    `invalid shape for input 'INPUT0': 33 dimensions, at most 32 are accepted`,
  );
  await invalid(
    { ...both([9, 16]), model_name: 'contract', raw_input_contents: [Buffer.alloc(576), Buffer.alloc(576)] },
    `inference request batch-size must be <= 8 for 'contract'`,
  );
});

test('a dimension beyond exact numbers is refused even where there are no elements', () =>
  invalid(
    oneInput('matrix', 'FP32', ['9007199254740993', 0] as never, Buffer.alloc(0)),
    `invalid shape for input 'IN': shape [9007199254740993,0] contains one or more invalid dimensions`,
  ));

test('a huge shape with little data is refused by its bytes and costs no memory', async () => {
  const before = process.memoryUsage().arrayBuffers;
  await invalid(
    oneInput('matrix', 'FP32', [2 ** 20, 2 ** 18], Buffer.alloc(4)),
    `input byte size mismatch for input 'IN' for model 'matrix'. Expected 1099511627776, got 4`,
  );
  assert.ok(process.memoryUsage().arrayBuffers - before < 10e6);
});

test('strings are refused where the runtime would change them, or their prefixes lie', async () => {
  const model = 'echo_BYTES';
  const strings = (count: number, raw: Buffer) => oneInput(model, 'BYTES', [count], raw);
  await invalid(
    strings(1, rawStrings(['abc\0def'])),
    `string element 0 of input 'IN' for model '${model}' contains a NUL byte`,
  );
  await invalid(
    strings(2, rawStrings(['ok', Buffer.from([0xff, 0xfe])])),
    `string element 1 of input 'IN' for model '${model}' is not valid UTF-8`,
  );
  await invalid(
    strings(1, Buffer.from('05000000616263', 'hex')),
    `incomplete string data for inference input 'IN' for model '${model}', expecting string of length 5 but only 3 bytes available`,
  );
  await invalid(
    strings(1, Buffer.from('010000', 'hex')),
    `incomplete string length indicator for inference input 'IN' for model '${model}', expecting 4 bytes but only 3 bytes available`,
  );
  await invalid(strings(1, Buffer.from('ffffffff61', 'hex')), /expecting string of length 4294967295 but only 1 bytes/);
  await invalid(
    strings(16, rawStrings(new Array(14).fill('a'))),
    `expected 16 string elements for inference input 'IN' for model '${model}', got 14`,
  );
  await invalid(
    strings(16, rawStrings(new Array(17).fill('a'))),
    `unexpected number of string elements 17 for inference input 'IN' for model '${model}', expecting 16`,
  );
  await invalid(
    strings(1, Buffer.alloc(0)),
    `expected 1 string elements for inference input 'IN' for model '${model}', got 0`,
  );
  const typedStrings = (bytes: Buffer[]) => ({
    model_name: model,
    inputs: [{ name: 'IN', datatype: 'BYTES', shape: [1], contents: { bytes_contents: bytes } }],
  });
  await invalid(
    typedStrings([Buffer.from('a\0')]),
    `string element 0 of input 'IN' for model '${model}' contains a NUL byte`,
  );
  await invalid(
    typedStrings([Buffer.from([0xff])]),
    `string element 0 of input 'IN' for model '${model}' is not valid UTF-8`,
  );
  await invalid(
    typedStrings([Buffer.from('a'), Buffer.from('b')]),
    `unexpected number of string elements 2 for inference input 'IN' for model '${model}', expecting 1`,
  );
});

test('classification gives the best classes as text', async () => {
  const raw = rawOf(new Float32Array([1, Number.NaN, 101, 1, 0, 0, 5, 0]));
  const ask = (k: number) => ({
    ...oneInput('scores', 'FP32', [2, 4], raw),
    outputs: [{ name: 'OUT', parameters: { classification: { int64_param: k } } }],
  });
  const two = (await rig.call('ModelInfer', ask(2))).message;
  assert.deepEqual(two.outputs[0].shape, ['2', '2']);
  assert.equal(two.outputs[0].datatype, 'BYTES');
  const expected = rawStrings(['101.000000:2', '1.000000:0:cat', '5.000000:2', '0.000000:0:cat']);
  assert.deepEqual(two.raw_output_contents[0], expected);
  const all = (await rig.call('ModelInfer', ask(99))).message;
  assert.deepEqual(all.outputs[0].shape, ['2', '4']);
  assert.match(all.raw_output_contents[0].toString('latin1'), /NaN:1:dog/);
  for (const k of [0, -1]) await invalid(ask(k), /^invalid value for classification of output 'OUT'/);
  const strings = oneInput('echo_BYTES', 'BYTES', [1], rawStrings(['a']));
  await invalid(
    { ...strings, outputs: [{ name: 'OUT', parameters: { classification: { int64_param: 1 } } }] },
    `class result not available for output due to unsupported type 'BYTES'`,
  );
});

test('parameters arrive with their types; known keys of the wrong type are refused', async () => {
  const parameters = {
    priority: { uint64_param: 3 },
    timeout: { int64_param: 2500 },
    flag: { bool_param: false },
    big: { int64_param: '9007199254740993' },
    ratio: { double_param: 0.5 },
    text: { string_param: 'ü' },
    constructor: { string_param: 'own' },
  };
  await rig.call('ModelInfer', simpleRequest({ parameters }));
  const request = rig.plane.seen.at(-1)!;
  assert.equal(request.priority, 3);
  assert.equal(request.timeoutMs, 2.5);
  assert.deepEqual(request.parameters.get('flag'), false);
  assert.deepEqual(request.parameters.get('big'), 9007199254740993n);
  assert.deepEqual(request.parameters.get('ratio'), 0.5);
  assert.deepEqual(request.parameters.get('text'), 'ü');
  assert.deepEqual(request.parameters.get('constructor'), 'own');
  const wrong = (key: string, value: object) => simpleRequest({ parameters: { [key]: value } });
  await invalid(wrong('timeout', { string_param: 'x' }), /^Unable to parse 'timeout': /);
  await invalid(wrong('priority', { int64_param: -1 }), /^Unable to parse 'priority': /);
  await invalid(wrong('sequence_id', { bool_param: true }), /^Unable to parse 'sequence_id': /);
  await invalid(wrong('sequence_start', { int64_param: 1 }), /^Unable to parse 'sequence_start': /);
  await invalid(
    wrong('triton_x', { bool_param: true }),
    `parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified.`,
  );
  await invalid(wrong('sluice_labl', { string_param: 'x' }), /'sluice_label'/);
  await invalid(
    wrong('other', {}),
    `parameter 'other' has invalid type. It should be either 'int', 'bool', or 'string'.`,
  );
  await rig.call('ModelInfer', wrong('triton_enable_empty_final_response', { bool_param: true }));
});

test('shared memory is UNIMPLEMENTED', async () => {
  const parameters = { shared_memory_region: { string_param: 'r' } };
  const text = 'shared memory is not supported';
  await refused(simpleRequest({ inputs: [{ ...input0, parameters }, input1] }), status.UNIMPLEMENTED, text);
  await refused(simpleRequest({ outputs: [{ name: 'OUTPUT0', parameters }] }), status.UNIMPLEMENTED, text);
});

test('limits hold at the limit and one beyond', async () => {
  const parameters = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, { bool_param: true }]));
  await rig.call('ModelInfer', simpleRequest({ parameters: parameters(256) }));
  await invalid(simpleRequest({ parameters: parameters(257) }), 'more than 256 request parameters');
  const mapped = (count: number) => simpleRequest({ inputs: [{ ...input0, parameters: parameters(count) }, input1] });
  await rig.call('ModelInfer', mapped(1000));
  await invalid(mapped(1001), /^failed to parse request: more than 1000 parameters/);
  await rig.call('ModelInfer', simpleRequest({ id: 'i'.repeat(1024) }));
  await invalid(simpleRequest({ id: 'i'.repeat(1025) }), /^failed to parse request: id of 1025 bytes/);
});

test("the request id is the body's, else the header's, else a new one", async () => {
  const header = { metadata: { 'x-request-id': 'from-header' } };
  const both = await rig.call('ModelInfer', simpleRequest({ id: 'body' }), header);
  assert.equal(both.metadata.get('x-request-id')[0], 'body');
  const one = await rig.call('ModelInfer', simpleRequest(), header);
  assert.equal(one.metadata.get('x-request-id')[0], 'from-header');
  assert.equal(one.message.id, '');
  assert.equal(rig.plane.seen.at(-1)!.id, 'from-header');
  const none = await rig.call('ModelInfer', simpleRequest());
  assert.match(String(none.metadata.get('x-request-id')[0]), uuid7);
  const odd = await rig.call('ModelInfer', simpleRequest({ id: 'ü\r\nx: y' }));
  assert.match(String(odd.metadata.get('x-request-id')[0]), uuid7);
  assert.equal(odd.message.id, 'ü\r\nx: y');
  const failure = await rig.fails('ModelInfer', simpleRequest({ id: 'bad', model_name: 'nope' }));
  assert.equal(failure.metadata.get('x-request-id')[0], 'bad');
});

test('a request id or time limit that is none is refused', async () => {
  const fails = (metadata: Record<string, string>) => rig.fails('ModelInfer', simpleRequest(), { metadata });
  assert.match((await fails({ 'x-request-id': 'a b' })).details, /x-request-id/);
  assert.match((await fails({ 'x-request-id': 'a'.repeat(129) })).details, /x-request-id/);
  for (const text of ['0', '-1', 'abc', '1.5']) {
    const failure = await fails({ 'x-sluice-timeout-ms': text });
    assert.equal(failure.code, status.INVALID_ARGUMENT);
    assert.match(failure.details, /x-sluice-timeout-ms/);
  }
});

test('the shortest time limit wins', async () => {
  const left = async (options: object) => {
    await rig.call('ModelInfer', simpleRequest(), options);
    const { deadlineAt, receivedAt } = rig.plane.seen.at(-1)!;
    return Math.round(deadlineAt - receivedAt);
  };
  assert.equal(await left({}), 30_000);
  assert.equal(await left({ metadata: { 'x-sluice-timeout-ms': '700' } }), 700);
  assert.equal(await left({ metadata: { 'x-sluice-timeout-ms': '999999' } }), 30_000);
  const byDeadline = await left({ deadlineMs: 900, metadata: { 'x-sluice-timeout-ms': '2000' } });
  assert.ok(byDeadline > 0 && byDeadline <= 901, `${byDeadline}`);
});

test('a passed limit is DEADLINE_EXCEEDED, whoever set it', async () => {
  const request = oneInput('held', 'FP32', [1], rawOf(new Float32Array([1])));
  const byHeader = await rig.fails('ModelInfer', request, { metadata: { 'x-sluice-timeout-ms': '30' } });
  assert.equal(byHeader.code, status.DEADLINE_EXCEEDED);
  assert.equal(byHeader.details, 'Request timeout expired');
  const byClient = await rig.fails('ModelInfer', request, { deadlineMs: 30 });
  assert.equal(byClient.code, status.DEADLINE_EXCEEDED);
  rig.plane.held.length = 0;
});

test('a cancelled call cancels its request', async () => {
  rig.plane.held.length = 0;
  const request = oneInput('held', 'FP32', [1], rawOf(new Float32Array([1])));
  const failed = new Promise<{ code: number }>((resolve) => {
    const call = rig.client.ModelInfer(request, resolve);
    void rig.plane.untilHeld(1).then(() => call.cancel());
  });
  assert.equal((await failed).code, status.CANCELLED);
  const { cancellation } = rig.plane.held[0]!.request;
  await rig.plane.untilCancelled(1);
  assert.ok(cancellation.isCancelled);
  rig.plane.held.length = 0;
});

test('an answered call is never cancelled afterwards', async () => {
  await rig.call('ModelInfer', simpleRequest());
  const { cancellation } = rig.plane.seen.at(-1)!;
  await rig.call('ModelInfer', simpleRequest());
  assert.equal(cancellation.isCancelled, false);
});
