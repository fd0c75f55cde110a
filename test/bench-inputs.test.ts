import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadSync } from '@grpc/proto-loader';
import { seededRandom } from '../bench/chance.js';
import { parseCsv } from '../bench/csv.js';
import { encodeAll } from '../bench/encode.js';
import { readInputs } from '../bench/input-file.js';
import { type RandomInputsOptions, randomInputs } from '../bench/inputs.js';
import type { ModelFacts } from '../bench/target.js';
import type { DataType } from '../src/core/tensor.js';
import { freshDirectory } from './system/server.js';

function factsOf(datatype: DataType, shape: readonly number[], rowsMax: number | undefined = 8): ModelFacts {
  return { inputs: [{ name: 'x', datatype, shape }], rowsMax, server: 's' };
}

const facts = factsOf('FP32', [-1, 3]);

function made(options: Partial<RandomInputsOptions> = {}) {
  return randomInputs({ model: 'm', facts, rows: 1, shapes: new Map(), random: seededRandom(1), ...options });
}

test('the same seed makes the same rows, another seed makes others', () => {
  assert.deepEqual(made(), made());
  assert.notDeepEqual(made(), made({ random: seededRandom(2) }));
});

test('random rows have the shape of the metadata, and several different requests take turns', () => {
  const requests = made({ rows: 4 });
  assert.ok(requests.length > 1);
  for (const [tensor] of requests) {
    assert.deepEqual(tensor!.shape, [4, 3]);
    assert.ok((tensor!.data as Float32Array).every((value) => value >= 0 && value < 1));
  }
  assert.notDeepEqual(requests[0], requests[1]);
});

test('every datatype can be made, and sent as binary and as gRPC', () => {
  const types: DataType[] = ['BOOL', 'UINT8', 'UINT64', 'INT8', 'INT64', 'FP16', 'BF16', 'FP32', 'FP64', 'BYTES'];
  for (const datatype of types) {
    const requests = made({ facts: factsOf(datatype, [-1, 3]) });
    for (const protocol of ['http-binary', 'grpc', 'http-json'] as const) {
      if (datatype === 'BF16' && protocol === 'http-json') {
        assert.throws(() => encodeAll(requests, protocol, { model: 'm', version: undefined }), { exitCode: 2 });
        continue;
      }
      const [payload] = encodeAll(requests, protocol, { model: 'm', version: undefined });
      assert.ok(payload!.body.length > 0, datatype);
      if (protocol === 'http-json') assert.equal(JSON.parse(payload!.body.toString()).inputs[0].data.length, 3);
    }
  }
});

test('a dimension that varies has to be given, and has to fit', () => {
  const image = factsOf('FP32', [-1, 3, -1, -1]);
  assert.throws(() => made({ facts: image }), { exitCode: 2, message: /give them, for example --shape x=3,8,8/ });
  const [request] = made({ facts: image, shapes: new Map([['x', [3, 16, 32]]]) });
  assert.deepEqual(request![0]!.shape, [1, 3, 16, 32]);
  assert.throws(() => made({ facts: image, shapes: new Map([['x', [4, 16, 32]]]) }), { exitCode: 2 });
  assert.throws(() => made({ shapes: new Map([['z', [3]]]) }), {
    message: "--shape: model 'm' has no input 'z', it has 'x'",
  });
});

test('more rows than the model takes are refused before anything is sent', () => {
  assert.throws(() => made({ rows: 9 }), { message: "--rows: model 'm' takes at most 8 rows in a request, got 9" });
  assert.throws(() => made({ rows: 2, facts: factsOf('FP32', [3], 0) }), { exitCode: 2 });
});

test('a binary request says where its JSON ends and its tensors are what is left', () => {
  const [request] = made({ rows: 2 });
  const [{ body, headers }] = encodeAll([request!], 'http-binary', { model: 'm', version: undefined }) as [
    { body: Buffer; headers: Record<string, string> },
  ];
  const length = Number(headers['inference-header-content-length']);
  const head = JSON.parse(body.toString('utf8', 0, length));
  assert.deepEqual(head.inputs, [{ name: 'x', datatype: 'FP32', shape: [2, 3], parameters: { binary_data_size: 24 } }]);
  assert.equal(body.length, length + 24);
  assert.equal(body.readFloatLE(length), (request![0]!.data as Float32Array)[0]);
});

test('a message is what the protocol’s own definition reads', () => {
  const proto = fileURLToPath(new URL('../../proto/', import.meta.url));
  const definition = loadSync('inference.proto', { includeDirs: [proto], keepCase: true, longs: Number });
  const service = definition['inference.GRPCInferenceService'] as unknown as {
    ModelInfer: { requestDeserialize: (bytes: Buffer) => Record<string, unknown> };
  };
  const [request] = made({ rows: 300, facts: factsOf('FP32', [-1, 3], 512) });
  const [payload] = encodeAll([request!], 'grpc', { model: 'm', version: '7' });
  const message = service.ModelInfer.requestDeserialize(payload!.body);
  assert.equal(message.model_name, 'm');
  assert.equal(message.model_version, '7');
  const [input] = message.inputs as Record<string, unknown>[];
  assert.deepEqual([input!.name, input!.datatype, input!.shape], ['x', 'FP32', [300, 3]]);
  const [raw] = message.raw_input_contents as Buffer[];
  assert.equal(raw!.length, 3600);
  assert.equal(raw!.readFloatLE(4), (request![0]!.data as Float32Array)[1]);
});

test('rows come from one request, from lines of requests and from CSV', (context) => {
  const folder = freshDirectory(context);
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return { file: join(folder, name), model: 'm', facts, rows: undefined };
  };
  const request = (...data: unknown[]) =>
    JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 3], data }] });
  const valuesOf = (requests: readonly (readonly { data: ArrayLike<unknown> }[])[]) =>
    requests.map(([tensor]) => Array.from(tensor!.data));
  assert.deepEqual(valuesOf(readInputs(file('a.json', request(1, 2, 3)))), [[1, 2, 3]]);
  assert.deepEqual(valuesOf(readInputs(file('n.json', request([1, 2, 3])))), [[1, 2, 3]]);
  assert.deepEqual(valuesOf(readInputs(file('b.jsonl', `${request(1, 2, 3)}\n\n${request(4, 5, 6)}\n`))), [
    [1, 2, 3],
    [4, 5, 6],
  ]);
  const csv = file('c.csv', 'a,b,c\r\n1,2,3\r\n4,"5",6\r\n7,8,9\r\n');
  assert.deepEqual(valuesOf(readInputs({ ...csv, rows: 2 })), [[1, 2, 3, 4, 5, 6]]);
  assert.equal(readInputs(csv).length, 3);
});

test('a file that does not fit the model is one line with file, line and tensor', (context) => {
  const folder = freshDirectory(context);
  const input = (change: object) =>
    JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 3], data: [1, 2, 3], ...change }] });
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['a.json', input({ name: 'y' }), /model 'm' has no input 'y', it has 'x'$/],
    ['a.json', input({ datatype: 'INT64' }), /expected datatype FP32 of input 'x', got INT64$/],
    ['a.json', input({ shape: [1, 4] }), /expected shape \[-1,3\] of input 'x' \(-1 varies\), got \[1,4\]$/],
    ['a.json', input({ data: [1, 2] }), /expected 3 elements in input 'x' of shape \[1,3\], got 2$/],
    ['a.json', input({ data: [1, 2, 'no'] }), /expected a number as element 2 of input 'x', got "no"$/],
    ['a.json', '{"inputs":[]}', /expected input 'x' of model 'm' once, got it 0 times$/],
    ['a.json', '{}', /expected a V2 request, it has no "inputs"$/],
    ['a.jsonl', `${input({})}\n{nope\n`, /line 2: expected a V2 request in JSON/],
    ['a.json', '', /the file is empty$/],
    ['a.csv', '1,2,3\n1,2\n', /line 2: expected 3 columns for input 'x' of shape \[-1,3\], got 2$/],
    ['a.csv', '1,2,x\n', /line 1: expected a number as element 2 of input 'x', got "x"$/],
    ['a.csv', '"1,2\n', /line 1: expected quotes around a whole cell$/],
    ['a.parquet', '', /prediction log of a running gateway is read by --input log$/],
    ['a.jsonl', '{"captureData":{}}\n', /expected a V2 request, this is a captured one of another server/],
  ];
  for (const [name, text, message] of cases) {
    const file = join(folder, name);
    writeFileSync(file, text);
    assert.throws(() => readInputs({ file, model: 'm', facts, rows: undefined }), { exitCode: 2, message }, text);
  }
  const missing = { file: join(folder, 'missing'), model: 'm', facts, rows: undefined };
  assert.throws(() => readInputs(missing), { exitCode: 2, message: /it does not exist$/ });
});

test('integers beyond 2^53 are refused rather than changed', (context) => {
  const file = join(freshDirectory(context), 'a.json');
  writeFileSync(file, '{"inputs":[{"name":"x","datatype":"INT64","shape":[1,1],"data":[9007199254740993]}]}');
  const options = { file, model: 'm', facts: factsOf('INT64', [-1, 1]), rows: undefined };
  assert.throws(() => readInputs(options), { exitCode: 2, message: /expected an integer below 2\^53 as element 0/ });
});

test('CSV keeps commas, quotes and line ends that are quoted, and knows its lines', () => {
  assert.deepEqual(parseCsv('a,"b,""c""\nd",\n\n e ,f\n'), [
    { cells: ['a', 'b,"c"\nd', ''], line: 1 },
    { cells: ['e', 'f'], line: 4 },
  ]);
  assert.deepEqual(parseCsv('1,2'), [{ cells: ['1', '2'], line: 1 }]);
  assert.deepEqual(parseCsv('1,'), [{ cells: ['1', ''], line: 1 }]);
});
