import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../src/core/errors.js';
import type { InferenceReply } from '../src/core/inference.js';
import type { Version } from '../src/core/model.js';
import type { Tensor } from '../src/core/tensor.js';
import {
  type CodecOptions,
  type DecodedRequest,
  decodeRequest,
  httpStatus,
  jsonLength,
  parametersOf,
  readRequest,
} from '../src/http/codec.js';
import { encodeReply } from '../src/http/reply.js';
import { createTestPlane, testApiOptions } from './http-plane.js';

const plane = createTestPlane();

function version(model: string): Version {
  return plane.find(model, {}) as Version;
}

interface Sent {
  readonly model: string;
  readonly body: unknown;
  readonly blobs?: Buffer;
  readonly options?: Partial<CodecOptions>;
}

/** A request as its sender would put it together. Text bodies are sent as they are. */
function decode({ model, body, blobs, options }: Sent): DecodedRequest {
  const json = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  const all = { ...testApiOptions, ...options };
  const header = blobs === undefined ? undefined : String(json.length);
  return decodeRequest(version(model), readRequest(Buffer.concat([json, blobs ?? Buffer.alloc(0)]), header, all), all);
}

function refusal(sent: Sent): string {
  try {
    decode(sent);
  } catch (thrown) {
    assert.ok(thrown instanceof GatewayError, String(thrown));
    return `${httpStatus(thrown)} ${thrown.message}`;
  }
  throw new Error(`not refused: ${JSON.stringify(sent.body).slice(0, 200)}`);
}

/** One input `X` of a datatype; `elements` is the JSON text of `data`. */
function echo(datatype: string, shape: readonly number[], elements: string): Sent {
  return {
    model: `echo_${datatype}`,
    body: `{"inputs":[{"name":"X","shape":${JSON.stringify(shape)},"datatype":"${datatype}","data":${elements}}]}`,
  };
}

function elements(datatype: string, text: string, count: number): unknown[] {
  return Array.from(decode(echo(datatype, [count], text)).inputs[0]!.data as Float64Array);
}

function pair(first: object, second?: object): object {
  const input = (name: string) => ({ name, shape: [1, 16], datatype: 'INT32', data: new Array(16).fill(1) });
  return {
    inputs: [
      { ...input('INPUT0'), ...first },
      { ...input('INPUT1'), ...second },
    ],
  };
}

test('inputs come out in the order of the model, whatever theirs was', () => {
  const body = { id: 'a', inputs: [...(pair({}) as { inputs: object[] }).inputs].reverse() };
  const { inputs, rows, outputs, form } = decode({ model: 'simple', body });
  assert.deepEqual(
    inputs.map(({ name }) => name),
    ['INPUT0', 'INPUT1'],
  );
  assert.ok(inputs[0]!.data instanceof Int32Array);
  assert.equal(rows, 1);
  assert.equal(outputs, undefined);
  assert.equal(form.id, 'a');
});

test('data may be flat or nested to any depth', () => {
  for (const text of [
    '[1,2,3,4]',
    '[[1,2],[3,4]]',
    '[[[1]],[[2]],[[3]],[[4]]]',
    '[1,[2,[3]],4]',
    ' [ [ 1 , 2 ] ,\n[ 3 , 4 ] ]',
    '[[],1,2,3,[4,[]]]',
  ]) {
    for (const datatype of ['FP32', 'INT32', 'FP64', 'INT8'])
      assert.deepEqual(elements(datatype, text, 4), [1, 2, 3, 4], text);
  }
});

test('broken arrays are refused', () => {
  for (const text of [
    '[1,,2]',
    '[,1,2]',
    '[1,2,]',
    '[1 2]',
    '[[1]2]',
    '[1[2]]',
    '[[1,2]',
    '[1,2]]',
    '[1,2}',
    '{}',
    '1',
    'null',
    '"[1,2]"',
    '[[1],,2]',
    '[[1,],2]',
  ]) {
    assert.match(refusal(echo('FP32', [2], text)), /^400 /, text);
  }
});

test('floats are read to the bit', () => {
  const special = [
    '0',
    '-0',
    '-0.0',
    '0.1',
    '1e0',
    '1E+2',
    '1.5e-7',
    '16777217',
    '9007199254740993',
    '0.3333333333333333',
    '123456789012345678901234567890',
    '1e-45',
    '3.4028234663852886e38',
    '1.401298464324817e-45',
    '0.000000000000000000000000000000000000000000001',
  ];
  assert.deepEqual(elements('FP64', `[${special.join()}]`, special.length), special.map(Number));
  assert.deepEqual(
    elements('FP32', `[${special.join()}]`, special.length),
    special.map((text) => Math.fround(Number(text))),
  );
  assert.ok(Object.is(elements('FP32', '[-0]', 1)[0], -0));
  assert.ok(Object.is(elements('INT32', '[-0]', 1)[0], 0) || elements('INT32', '[-0]', 1)[0] === 0);
});

test('random floats are read as JSON.parse and a rounding read them', () => {
  const bits = new Uint32Array(2);
  const double = new Float64Array(bits.buffer);
  let seed = 12345;
  const next = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed;
  };
  const texts: string[] = [];
  for (let i = 0; i < 20_000; i++) {
    bits[0] = next();
    bits[1] = next();
    const kind = i % 5;
    const value =
      kind === 0
        ? double[0]!
        : kind === 1
          ? Math.fround((next() / 2 ** 32) * 10 ** ((next() % 60) - 30))
          : next() / 2 ** (next() % 64);
    if (!Number.isFinite(value)) continue;
    texts.push(
      kind === 3 ? value.toPrecision(1 + (next() % 21)) : kind === 4 ? value.toFixed(next() % 20) : String(value),
    );
  }
  assert.deepEqual(elements('FP64', `[${texts.join()}]`, texts.length), texts.map(Number));
  const small = texts.filter((text) => Number.isFinite(Math.fround(Number(text))));
  assert.deepEqual(
    elements('FP32', `[${small.join()}]`, small.length),
    small.map((text) => Math.fround(Number(text))),
  );
});

test('floats halfway between two neighbours of FP32 are rounded as the double is', () => {
  const single = new Float32Array(1);
  const pattern = new Uint32Array(single.buffer);
  const texts: string[] = [];
  for (let i = 0; i < 2000; i++) {
    pattern[0] = Math.imul(i, 2654435761) >>> 1;
    const low = single[0]!;
    pattern[0]++;
    const middle = (low + single[0]!) / 2;
    if (!Number.isFinite(middle)) continue;
    texts.push(middle.toPrecision(17), middle.toPrecision(21), String(middle));
  }
  assert.deepEqual(
    elements('FP32', `[${texts.join()}]`, texts.length),
    texts.map((text) => Math.fround(Number(text))),
  );
});

test('NaN and the infinities are read bare and as strings', () => {
  for (const datatype of ['FP32', 'FP64']) {
    assert.deepEqual(elements(datatype, '[NaN,Infinity,-Infinity,"NaN","Infinity","-Infinity",1]', 7), [
      NaN,
      Infinity,
      -Infinity,
      NaN,
      Infinity,
      -Infinity,
      1,
    ]);
    for (const text of [
      '["nan"]',
      '["1"]',
      '[nan]',
      '[+Infinity]',
      '[-NaN]',
      '[Infinit]',
      '[null]',
      '[true]',
      '[{}]',
      '["NaN]',
    ]) {
      assert.match(refusal(echo(datatype, [1], text)), /^400 /, text);
    }
  }
  assert.match(refusal({ model: 'echo_FP32', body: '{"id":NaN,"inputs":[]}' }), /^400 /);
});

test('a finite token that overflows its type is refused', () => {
  assert.match(
    refusal(echo('FP32', [1], '[1e39]')),
    /^400 Unable to parse 'data': element 0 of input 'X' for model 'echo_FP32': expected a number within the range of FP32, got 1e39/,
  );
  assert.match(refusal(echo('FP32', [1], '[3.4028235677973366e38]')), /^400 /);
  assert.match(refusal(echo('FP64', [1], '[-1e999]')), /^400 /);
  assert.deepEqual(elements('FP32', '[3.4028235e38]', 1), [3.4028234663852886e38]);
});

test('64-bit integers are exact over their whole range, bare and as strings', () => {
  assert.deepEqual(
    elements(
      'INT64',
      '[9223372036854775807,-9223372036854775808,9007199254740993,-9007199254740993,"9223372036854775807","-5"]',
      6,
    ),
    [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n, -(2n ** 53n) - 1n, 2n ** 63n - 1n, -5n],
  );
  assert.deepEqual(elements('UINT64', '[18446744073709551615,0,"18446744073709551615"]', 3), [
    2n ** 64n - 1n,
    0n,
    2n ** 64n - 1n,
  ]);
});

test('integers out of range, with a fraction or an exponent are refused', () => {
  const refused: [string, string[]][] = [
    ['UINT8', ['256', '-1']],
    ['INT8', ['-129', '128']],
    ['UINT16', ['-1', '65536']],
    ['INT16', ['32768']],
    ['INT32', ['2147483648', '-2147483649']],
    ['UINT32', ['4294967296']],
    ['INT64', ['9223372036854775808', '-9223372036854775809', '"1.0"', '"x"', '" 1"', '""', '"1']],
    ['UINT64', ['-1', '18446744073709551616']],
  ];
  for (const [datatype, texts] of refused) {
    for (const text of [...texts, '1.5', '1.0', '1e3', '1E3', 'null', 'true', 'NaN', '01', '-', '[{}]']) {
      assert.match(refusal(echo(datatype, [1], `[${text}]`)), /^400 /, `${datatype} ${text}`);
    }
  }
  assert.match(
    refusal(echo('INT8', [3], '[1,2,300]')),
    /element 2 of input 'X' for model 'echo_INT8': expected an integer from -128 to 127, got 300/,
  );
  assert.match(refusal(echo('INT32', [1], '["1"]')), /^400 /);
});

test('booleans are true and false only', () => {
  assert.deepEqual(elements('BOOL', '[true,false]', 2), [1, 0]);
  for (const text of ['1', '0', '"true"', 'truex', 'True', 'null'])
    assert.match(refusal(echo('BOOL', [1], `[${text}]`)), /^400 /, text);
});

test('strings keep their bytes, and those the runtime would change are refused', () => {
  const texts = ['', 'x'.repeat(1000), 'q"\\', '😀', '\ufeffa', ']', '[', 'é', '\u2028'];
  assert.deepEqual(elements('BYTES', JSON.stringify(texts), texts.length), texts);
  assert.equal(
    refusal(echo('BYTES', [2], '["a","b\\u0000c"]')),
    `400 string element 1 of input 'X' for model 'echo_BYTES' contains a NUL byte`,
  );
  assert.equal(
    refusal(echo('BYTES', [1], '["\\ud800"]')),
    `400 string element 0 of input 'X' for model 'echo_BYTES' is not valid UTF-8`,
  );
  for (const text of ['1', 'null', '{}', 'true']) assert.match(refusal(echo('BYTES', [1], `[${text}]`)), /^400 /);
});

test('the number of elements must be that of the shape', () => {
  for (const datatype of ['FP32', 'INT8', 'INT64', 'FP64']) {
    assert.equal(
      refusal(echo(datatype, [3], '[1,2]')),
      `400 Failed to parse 'data' field: shape does not match true shape`,
    );
    assert.equal(
      refusal(echo(datatype, [2], '[1,2,3]')),
      `400 Unable to parse 'data': Shape does not match true shape of 'data' field`,
    );
  }
  assert.match(refusal(echo('BOOL', [2], '[true]')), /shape does not match/);
  assert.match(refusal(echo('BYTES', [1], '["a","b"]')), /Shape does not match/);
});

test('a large shape with one element is refused before anything is allocated for it', () => {
  const before = process.memoryUsage().arrayBuffers;
  assert.match(
    refusal({
      model: 'square',
      body: `{"inputs":[{"name":"X","shape":[1048576,262144],"datatype":"FP32","data":[1]}]}`,
    }),
    /shape does not match true shape/,
  );
  assert.ok(process.memoryUsage().arrayBuffers - before < 1e7);
});

test('shapes beyond what 63 bits hold are refused with their texts', () => {
  const shape = (text: string) =>
    refusal({ model: 'square', body: `{"inputs":[{"name":"X","shape":${text},"datatype":"FP32","data":[1]}]}` });
  assert.equal(
    shape('[9223372036854775808,16]'),
    `400 invalid shape for input 'X': shape [9223372036854775808,16] contains one or more invalid dimensions`,
  );
  assert.equal(
    shape('[16,1152921504606846978]'),
    `400 invalid shape for input 'X': shape [16,1152921504606846978] causes total element count to exceed maximum size of 9223372036854775807`,
  );
  assert.equal(
    shape('[4,1152921504606846978]'),
    `400 byte size overflow for input 'X': element count (4611686018427387912) * data type size (4) exceeds maximum allowed size (9223372036854775807)`,
  );
  assert.match(shape('[2147483648,2147483648,2147483648]'), /^400 invalid shape/);
  for (const text of ['[-1,16]', '[1.5,16]', '["1",16]', 'null', '16', '[true,16]', '[1e1,1]', '[[1],1]', '[01]'])
    assert.match(shape(text), /^400 /, text);
  assert.match(shape('[-1,16]'), /^400 Unable to parse 'shape': /);
  assert.match(
    shape(`[${new Array(33).fill(1).join()}]`),
    /^400 Unable to parse 'shape': expected at most 32 dimensions/,
  );
});

test('tensors without elements and scalars', () => {
  assert.deepEqual(elements('FP32', '[]', 0), []);
  assert.deepEqual(elements('FP32', '[[],[]]', 0), []);
  assert.equal(
    decode({ model: 'rows', body: `{"inputs":[{"name":"X","shape":[0,16],"datatype":"FP32","data":[]}]}` }).rows,
    0,
  );
  const { inputs } = decode({
    model: 'scalar',
    body: `{"inputs":[{"name":"X","shape":[],"datatype":"FP32","data":[2.5]}]}`,
  });
  assert.deepEqual([inputs[0]!.shape, Array.from(inputs[0]!.data as Float32Array)], [[], [2.5]]);
});

test('bodies that are no request are refused with a text', () => {
  for (const body of [
    '',
    '[]',
    '"x"',
    'nope',
    '{}',
    '{"inputs":{}}',
    '{"inputs":[1]}',
    '{"inputs":null}',
    '{"inputs":[]} {}',
    '{"inputs":"x"}',
    '1',
    'null',
  ]) {
    assert.match(refusal({ model: 'simple', body }), /^400 .{10,}/, body);
  }
  assert.match(refusal({ model: 'simple', body: '{"inputs":{}}' }), /Unable to parse 'inputs': expected an array/);
  assert.match(refusal({ model: 'simple', body: '{}' }), /Unable to parse 'inputs'/);
  assert.match(
    refusal({ model: 'simple', body: '' }),
    /failed to parse the request JSON buffer: The document is empty. at 0/,
  );
});

test('a member that V2 defines may occur once; unknown ones are passed over', () => {
  const input = '"name":"X","shape":[1],"datatype":"FP32","data":[1]';
  const ok = `{"model_name":"a","model_name":"b","__proto__":{"a":[1]},"constructor":1,"inputs":[{${input},"extra":{"deep":[[]]}}],"outputs":[]}`;
  assert.deepEqual(Array.from(decode({ model: 'echo_FP32', body: ok }).inputs[0]!.data as Float32Array), [1]);
  for (const body of [
    `{"id":"a","id":"b","inputs":[{${input}}]}`,
    `{"inputs":[{${input}}],"inputs":[]}`,
    `{"inputs":[{${input},"name":"X"}]}`,
    `{"inputs":[{${input},"data":[2]}]}`,
    `{"inputs":[{${input},"sh\\u0061pe":[1]}]}`,
    `{"inputs":[{${input}}],"outputs":[{"name":"Y","name":"Y"}]}`,
    `{"parameters":{},"parameters":{},"inputs":[{${input}}]}`,
  ]) {
    assert.match(refusal({ model: 'echo_FP32', body }), /^400 Unable to parse '\w+': the member occurs twice/, body);
  }
});

test('names are compared before elements are converted', () => {
  assert.equal(
    refusal({
      model: 'simple',
      body: {
        inputs: [
          ...(pair({}) as { inputs: object[] }).inputs,
          { name: 'EXTRA', shape: [1], datatype: 'FP32', data: ['broken'] },
        ],
      },
    }),
    `400 unexpected inference input 'EXTRA' for model 'simple'`,
  );
});

test('what does not fit the model is refused with the wire text', () => {
  const cases: [object, string][] = [
    [pair({ name: 'NOPE' }), `unexpected inference input 'NOPE' for model 'simple'`],
    [pair({ name: 'INPUT1' }), `input 'INPUT1' already exists in request`],
    [pair({ datatype: 'FP32' }), `inference input 'INPUT0' data-type is 'FP32', but model 'simple' expects 'INT32'`],
    [pair({ shape: [1, 15] }), `unexpected shape for input 'INPUT0' for model 'simple'. Expected [-1,16], got [1,15].`],
    [pair({ shape: [2, 16] }), `input 'INPUT1' batch size does not match other inputs for 'simple'`],
    [pair({ shape: [] }), `input 'INPUT0' has no shape but model requires batch dimension for 'simple'`],
    [pair({ shape: [9, 16] }, { shape: [9, 16] }), `inference request batch-size must be <= 8 for 'simple'`],
    [
      { inputs: [(pair({}) as { inputs: object[] }).inputs[0]] },
      `expected 2 inputs but got 1 inputs for model 'simple'. Got input(s) ['INPUT0'], but missing required input(s) ['INPUT1']. Please provide all required input(s).`,
    ],
    [{ ...pair({}), outputs: [{ name: 'NOPE' }] }, `unexpected inference output 'NOPE' for model 'simple'`],
    [
      { ...pair({}), outputs: [{ name: 'OUTPUT0' }, { name: 'OUTPUT0' }] },
      `output 'OUTPUT0' already exists in request`,
    ],
  ];
  for (const [body, text] of cases) assert.equal(refusal({ model: 'simple', body }), `400 ${text}`);
  for (const datatype of ['FLOAT', 'int32', '', 'BF17', 'STRING']) {
    assert.equal(refusal({ model: 'simple', body: pair({ datatype }) }), '400 invalid datatype for input INPUT0');
  }
  for (const shape of [[16], [1, 16, 1], [4, 4]])
    assert.match(
      refusal({ model: 'simple', body: pair({ shape }) }),
      /^400 (unexpected shape|input 'INPUT1' batch size)/,
    );
});

test('exactly one form of data', () => {
  const form = (input: object) =>
    refusal({ model: 'echo_FP32', body: { inputs: [{ name: 'X', shape: [1], datatype: 'FP32', ...input }] } });
  const text = `400 Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', 'shared_memory_region' in 'parameters'. But`;
  assert.equal(form({}), `${text} no field is set`);
  assert.equal(form({ parameters: {} }), `${text} no field is set`);
  assert.equal(form({ data: [1], parameters: { binary_data_size: 4 } }), `${text} set 'data' 'binary_data_size'`);
  assert.equal(form({ parameters: { shared_memory_region: 'r' } }), '501 shared memory is not supported');
});

test('binary inputs follow the JSON in the order of the inputs', () => {
  const bytes = Buffer.alloc(64);
  for (let i = 0; i < 16; i++) bytes.writeInt32LE(i * 1000 - 5, i * 4);
  const blob = { data: undefined, parameters: { binary_data_size: 64 } };
  const mixed = decode({ model: 'simple', body: pair({}, blob), blobs: bytes });
  assert.deepEqual(
    Array.from(mixed.inputs[1]!.data as Int32Array),
    Array.from({ length: 16 }, (_, i) => i * 1000 - 5),
  );
  const both = decode({
    model: 'simple',
    body: { inputs: [...(pair(blob, blob) as { inputs: object[] }).inputs].reverse() },
    blobs: Buffer.concat([bytes, Buffer.alloc(64)]),
  });
  assert.equal((both.inputs[1]!.data as Int32Array)[1], 995);
  assert.equal((both.inputs[0]!.data as Int32Array)[1], 0);
});

test('blobs that are short, long, missing or of another size', () => {
  const blob = (size: unknown) => ({
    inputs: [{ name: 'X', shape: [2], datatype: 'FP32', parameters: { binary_data_size: size } }],
  });
  const sent = (size: unknown, bytes: number) =>
    refusal({ model: 'echo_FP32', body: blob(size), blobs: Buffer.alloc(bytes) });
  assert.equal(sent(8, 7), `400 unexpected size for input 'X', expecting 1 additional bytes for model 'echo_FP32'`);
  assert.equal(sent(8, 0), `400 unexpected size for input 'X', expecting 8 additional bytes for model 'echo_FP32'`);
  assert.equal(sent(8, 9), `400 unexpected additional input data for model 'echo_FP32'`);
  assert.equal(sent(12, 12), `400 input byte size mismatch for input 'X' for model 'echo_FP32'. Expected 8, got 12`);
  assert.equal(
    refusal({ model: 'echo_FP32', body: blob(8) }),
    `400 unexpected size for input 'X', expecting 8 additional bytes for model 'echo_FP32'`,
  );
  for (const size of [-1, '64', 1.5, null, [64], true, {}])
    assert.match(sent(size, 8), /^400 Unable to parse 'binary_data_size': /);
  assert.match(
    refusal({
      model: 'echo_FP32',
      body: '{"inputs":[{"name":"X","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":9223372036854775808}}]}',
      blobs: Buffer.alloc(8),
    }),
    /^400 Unable to parse 'binary_data_size'/,
  );
  assert.match(
    refusal({ model: 'echo_FP32', body: { inputs: [] }, blobs: Buffer.alloc(4) }),
    /^400 unexpected additional input data/,
  );
  assert.match(sent(2 ** 52, 8), /^400 unexpected size/);
});

test('binary strings, booleans and empty tensors', () => {
  const input = (datatype: string, shape: number[], size: number) => ({
    inputs: [{ name: 'X', shape, datatype, parameters: { binary_data_size: size } }],
  });
  const strings = Buffer.from([5, 0, 0, 0, ...Buffer.from('hello'), 0, 0, 0, 0]);
  assert.deepEqual(
    decode({ model: 'echo_BYTES', body: input('BYTES', [2], strings.length), blobs: strings }).inputs[0]!.data,
    ['hello', ''],
  );
  assert.deepEqual(
    Array.from(
      decode({ model: 'echo_BOOL', body: input('BOOL', [3], 3), blobs: Buffer.from([0, 7, 1]) }).inputs[0]!
        .data as Uint8Array,
    ),
    [0, 1, 1],
  );
  assert.equal(
    decode({ model: 'echo_FP32', body: input('FP32', [0], 0), blobs: Buffer.alloc(0) }).inputs[0]!.data.length,
    0,
  );
  for (const bytes of [[5, 0, 0, 0, 97, 98, 99], [1, 0, 0], [255, 255, 255, 255, 1, 1], []]) {
    assert.match(
      refusal({ model: 'echo_BYTES', body: input('BYTES', [1], bytes.length), blobs: Buffer.from(bytes) }),
      /^400 /,
    );
  }
});

test('the header length follows its rules', () => {
  assert.equal(jsonLength(undefined, 10), 10);
  assert.equal(jsonLength('10', 10), 10);
  assert.equal(jsonLength('0', 10), 0);
  for (const text of ['abc', '', '1e3', '0x10', '12abc', ' 5', '+5', '--1']) {
    assert.throws(() => jsonLength(text, 10), {
      message: `Unable to parse Inference-Header-Content-Length, got: ${text}`,
    });
  }
  assert.throws(() => jsonLength('99999999999', 10), {
    message:
      'Unable to parse Inference-Header-Content-Length, value is out of range [ -2147483648, 2147483647 ], got: 99999999999',
  });
  for (const text of ['-1', '11'])
    assert.throws(() => jsonLength(text, 10), {
      message: `inference header size should be in range (0, 10), got: ${text}`,
    });
});

function raw(model: string, bytes: Buffer): DecodedRequest {
  return decodeRequest(version(model), readRequest(bytes, '0', testApiOptions), testApiOptions);
}

test('a raw request is the data of the only input', () => {
  const floats = Buffer.from(new Float32Array(16).fill(2).buffer);
  const { inputs, rows, form } = raw('rows', floats);
  assert.deepEqual([inputs[0]!.shape, rows, form.isBinary], [[1, 16], 1, true]);
  assert.deepEqual(raw('echo_FP32', floats).inputs[0]!.shape, [16]);
  assert.deepEqual(raw('raw_bytes', Buffer.from('héllo')).inputs[0]!.data, ['héllo']);
  assert.throws(() => raw('simple', floats), {
    message: `Raw request must only have 1 input (found 1) to be deduced but got 2 inputs in 'simple' model configuration`,
  });
  assert.throws(() => raw('square', floats), {
    message: `The shape of the raw input 'X' can not be deduced because there are more than one variable-sized dimension`,
  });
  assert.throws(() => raw('echo_BYTES', floats), {
    message: `For BYTE datatype raw input 'X', the model must have input shape [1]`,
  });
  assert.throws(() => raw('rows', floats.subarray(1)), /input byte size mismatch/);
  assert.throws(() => raw('echo_FP32', floats.subarray(1)), /input byte size mismatch/);
});

test('FP16 is refused in JSON both ways, and converted when the option says so', () => {
  assert.equal(
    refusal({ ...echo('FP16', [1], '[1]') }),
    '400 sending FP16 data via JSON is not supported. Please use the binary data format for output Y',
  );
  const binaryOut = `{"parameters":{"binary_data_output":true},"inputs":[{"name":"X","shape":[1],"datatype":"FP16","data":[1]}]}`;
  assert.equal(
    refusal({ model: 'echo_FP16', body: binaryOut }),
    '400 receiving FP16 data via JSON is not supported. Please use the binary data format for input X',
  );
  const converted = decode({ ...echo('FP16', [4], '[1,-2,65504,NaN]'), options: { fp16Json: 'convert' } });
  assert.deepEqual(Array.from(converted.inputs[0]!.data as Uint16Array), [0x3c00, 0xc000, 0x7bff, 0x7e00]);
  assert.match(refusal({ ...echo('FP16', [1], '[65520]'), options: { fp16Json: 'convert' } }), /^400 /);
});

test('parameters have their types and meanings', () => {
  const withParameters = (parameters: object) => ({
    model: 'echo_FP32',
    body: { parameters, inputs: [{ name: 'X', shape: [1], datatype: 'FP32', data: [1] }] },
  });
  const read = (parameters: object) =>
    parametersOf(readRequest(Buffer.from(JSON.stringify(withParameters(parameters).body)), undefined, testApiOptions));
  const given = read({
    priority: 2,
    timeout: 1500,
    sequence_id: 'a',
    sequence_start: true,
    binary_data_output: true,
    user: 'x',
    weight: 1.5,
    flag: false,
    headers: { a: [] },
    triton_enable_empty_final_response: false,
  });
  assert.deepEqual([given.priority, given.timeoutMs, given.isBinary], [2, 1.5, true]);
  assert.deepEqual(
    [...given.others],
    [
      ['user', 'x'],
      ['weight', 1.5],
      ['flag', false],
      ['triton_enable_empty_final_response', false],
    ],
  );
  const cases: [object, string][] = [
    [{ k: [1] }, `parameter 'k' has invalid type. It should be either 'int', 'bool', or 'string'.`],
    [{ k: null }, `parameter 'k' has invalid type. It should be either 'int', 'bool', or 'string'.`],
    [
      { triton_x: 1 },
      `parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified.`,
    ],
    [{ timeout: 'x' }, `Unable to parse 'timeout': expected an integer of at least 0`],
    [{ timeout: 1.5 }, `Unable to parse 'timeout': expected an integer of at least 0`],
    [{ priority: -1 }, `Unable to parse 'priority': expected an integer of at least 0`],
    [{ sequence_end: 1 }, `Unable to parse 'sequence_end': expected a boolean`],
    [{ binary_data_output: 'yes' }, `Unable to parse 'binary_data_output': expected a boolean`],
    [{ sluice_lable: 'x' }, `unknown parameter 'sluice_lable'; the nearest known one is 'sluice_label'`],
    [{ ['k'.repeat(257)]: 1 }, 'a parameter key may have at most 256 bytes'],
    [{ k: 'v'.repeat(4097) }, `parameter 'k' may have at most 4096 bytes`],
    [
      Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`k${i}`, 1])),
      'a request may have at most 256 parameters',
    ],
  ];
  for (const [parameters, text] of cases) assert.equal(refusal(withParameters(parameters)), `400 ${text}`);
  assert.match(refusal({ model: 'echo_FP32', body: '{"parameters":{"a":1,"a":2},"inputs":[]}' }), /occurs twice/);
});

test('limits hold at the limit and one beyond', () => {
  const inputs = (count: number) =>
    refusal({
      model: 'echo_FP32',
      body: {
        inputs: Array.from({ length: count }, (_, i) => ({ name: `X${i}`, shape: [1], datatype: 'FP32', data: [1] })),
      },
    });
  assert.match(inputs(1024), /expected 1 inputs but got 1024/);
  assert.match(inputs(1025), /expected at most 1024 elements/);
  const id = (length: number) => ({
    model: 'echo_FP32',
    body: { id: 'x'.repeat(length), inputs: [{ name: 'X', shape: [1], datatype: 'FP32', data: [1] }] },
  });
  assert.equal(decode(id(1024)).form.id.length, 1024);
  assert.match(refusal(id(1025)), /Unable to parse 'id'/);
  assert.match(
    refusal({ ...echo('BYTES', [1001], `[${new Array(1001).fill('""').join()}]`) }),
    /at most 1000 are accepted/,
  );
  assert.equal(elements('BYTES', `[${new Array(1000).fill('""').join()}]`, 1000).length, 1000);
});

test('nesting beyond the limit is refused wherever it is', () => {
  const nested = (depth: number) => `${'['.repeat(depth)}1${']'.repeat(depth)}`;
  assert.deepEqual(elements('FP32', nested(97), 1), [1]);
  for (const body of [
    `{"inputs":[{"name":"X","shape":[1],"datatype":"FP32","data":${nested(120)}}]}`,
    `{"x":${nested(250_000)}}`,
    '['.repeat(250_000),
    '{"inputs":['.repeat(120_000),
    '{"parameters":{"headers":'.repeat(90_000),
  ]) {
    assert.match(
      refusal({ model: 'echo_FP32', body }),
      /^400 (JSON nesting depth exceeds maximum allowed limit \(100\)|Unable to parse)/,
    );
  }
});

test('a request cut anywhere is refused, never misread', () => {
  const text = `{"id":"a","inputs":[{"name":"X","shape":[2],"datatype":"FP32","data":[1.5,2]}],"outputs":[{"name":"Y"}]}`;
  assert.deepEqual(decode({ model: 'echo_FP32', body: text }).outputs, ['Y']);
  for (let length = 0; length < text.length; length++)
    assert.match(refusal({ model: 'echo_FP32', body: text.slice(0, length) }), /^400 /, text.slice(0, length));
});

test('a request with any one byte changed is answered or refused, never worse', () => {
  const text = Buffer.from(
    `{"id":"a","parameters":{"p":1},"inputs":[{"name":"X","shape":[2],"datatype":"FP32","data":[1.5,[2e1]]}]}`,
  );
  for (let at = 0; at < text.length; at++) {
    for (const byte of [0x00, 0x20, 0x22, 0x2c, 0x30, 0x3a, 0x5b, 0x5d, 0x7b, 0x7d, 0x5c, 0x2d, 0x65, 0xff]) {
      const changed = Buffer.from(text);
      changed[at] = byte;
      try {
        decodeRequest(version('echo_FP32'), readRequest(changed, undefined, testApiOptions), testApiOptions);
      } catch (thrown) {
        assert.ok(thrown instanceof GatewayError && thrown.code !== 'INTERNAL', `${at} ${byte}: ${thrown}`);
      }
    }
  }
});

function reply(outputs: readonly Tensor[]): InferenceReply {
  return {
    version: { model: 'm', version: '3' },
    outputs,
    timing: { queueMs: 0, inputMs: 0, inferMs: 0, outputMs: 0, batchRows: 1 },
  };
}

const scores: Tensor = { name: 'probabilities', datatype: 'FP32', shape: [1, 3], data: Float32Array.of(0.5, NaN, 101) };

test('a reply names model, version and outputs in this order', () => {
  const { body, headerLength } = encodeReply('asked', version('dense'), reply([scores]), {
    form: { id: 'a"b', choices: undefined, isBinary: false },
    nonFinite: 'null',
  });
  assert.equal(
    body,
    `{"id":"a\\"b","model_name":"asked","model_version":"3","outputs":[{"name":"probabilities","datatype":"FP32","shape":[1,3],"data":[0.5,null,101]}]}`,
  );
  assert.equal(headerLength, undefined);
});

test('binary outputs follow the JSON, which says their sizes', () => {
  const second: Tensor = { name: 'é', datatype: 'BYTES', shape: [2], data: ['a', ''] };
  const form = { id: '', choices: undefined, isBinary: true };
  const { body, headerLength } = encodeReply('m', version('dense'), reply([scores, second]), {
    form,
    nonFinite: 'bare',
  });
  const [json, first, strings] = body as [string, Uint8Array, Uint8Array];
  assert.equal(headerLength, Buffer.byteLength(json));
  assert.deepEqual(
    JSON.parse(json).outputs.map((output: { parameters: object }) => output.parameters),
    [{ binary_data_size: 12 }, { binary_data_size: 9 }],
  );
  assert.deepEqual([first.length, Buffer.from(strings).toString('hex')], [12, '010000006100000000']);
});

test('a reply whose binary outputs are empty is plain JSON', () => {
  const empty: Tensor = { name: 'Y', datatype: 'FP32', shape: [0], data: new Float32Array(0) };
  const { body, headerLength } = encodeReply('m', version('dense'), reply([empty]), {
    form: { id: '', choices: undefined, isBinary: true },
    nonFinite: 'bare',
  });
  assert.equal(headerLength, undefined);
  assert.deepEqual(JSON.parse(body as string).outputs, [
    { name: 'Y', datatype: 'FP32', shape: [0], parameters: { binary_data_size: 0 } },
  ]);
});

test('classes stand in place of values, with their labels', () => {
  const choices = [{ name: 'probabilities', isBinary: false, classes: 2 }];
  const { body } = encodeReply('m', version('dense'), reply([scores]), {
    form: { id: '', choices, isBinary: false },
    nonFinite: 'bare',
  });
  assert.deepEqual(JSON.parse(body as string).outputs[0], {
    name: 'probabilities',
    datatype: 'BYTES',
    shape: [1, 2],
    data: ['101.000000:2', '0.500000:0:benign'],
  });
  assert.match(
    refusal({ model: 'echo_FP32', body: { inputs: [], outputs: [{ name: 'Y', parameters: { classification: 0 } }] } }),
    /Unable to parse 'classification'/,
  );
  assert.equal(
    refusal({
      ...echo('BYTES', [1], '["a"]'),
      body: `{"inputs":[{"name":"X","shape":[1],"datatype":"BYTES","data":["a"]}],"outputs":[{"name":"Y","parameters":{"classification":1}}]}`,
    }),
    `400 class result not available for output due to unsupported type 'BYTES'`,
  );
});
