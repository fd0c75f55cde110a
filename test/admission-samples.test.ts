/** Golden samples as files and as tensors, and the rule by which an answer is the promised one. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, test } from 'node:test';
import { disagreementOf } from '../src/core/agreement.js';
import { halfOf } from '../src/core/half.js';
import type { DataType, Tensor, TensorData } from '../src/core/tensor.js';
import { readGolden, requestOf, responseOf } from '../src/registry/golden.js';
import { parseWideJson } from '../src/registry/wide-json.js';
import { freshDirectory } from './system/server.js';

function responseText(datatype: string, shape: string, elements: string): string {
  return `{"model_name":"m","outputs":[{"name":"y","datatype":"${datatype}","shape":${shape},"data":${elements}}]}`;
}

function elementsOf(datatype: string, shape: string, elements: string): TensorData {
  return responseOf('golden/0.out.json', responseText(datatype, shape, elements))[0]!.data;
}

describe('the elements of a golden tensor', () => {
  const cases: readonly (readonly [DataType, string, TensorData])[] = [
    ['BOOL', '[true,false]', Uint8Array.of(1, 0)],
    ['UINT8', '[0,255]', Uint8Array.of(0, 255)],
    ['UINT16', '[0,65535]', Uint16Array.of(0, 65535)],
    ['UINT32', '[0,4294967295]', Uint32Array.of(0, 4294967295)],
    ['UINT64', '[9007199254740993,18446744073709551615]', BigUint64Array.of(9007199254740993n, 2n ** 64n - 1n)],
    ['INT8', '[-128,127]', Int8Array.of(-128, 127)],
    ['INT16', '[-32768,32767]', Int16Array.of(-32768, 32767)],
    ['INT32', '[-2147483648,2147483647]', Int32Array.of(-(2 ** 31), 2 ** 31 - 1)],
    ['INT64', '[-9223372036854775808,9223372036854775807]', BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n)],
    ['FP16', '[1.5,65504]', Uint16Array.of(halfOf(1.5), halfOf(65504))],
    ['FP32', '[0.1,12345678901234567890]', Float32Array.of(0.1, Number('12345678901234567890'))],
    ['FP64', '[-0.30000000000000004,1e300]', Float64Array.of(-0.30000000000000004, 1e300)],
    ['BYTES', '["a \\"9007199254740993\\" NaN","ä"]', ['a "9007199254740993" NaN', 'ä']],
  ];
  for (const [datatype, text, expected] of cases) {
    it(`are exact for ${datatype}`, () => assert.deepEqual(elementsOf(datatype, '[2]', text), expected));
  }

  it('may be nested', () => assert.deepEqual(elementsOf('INT8', '[2,1]', '[[1],[2]]'), Int8Array.of(1, 2)));

  it('may be NaN and infinite, bare or as text', () => {
    const expected = Float32Array.of(NaN, Infinity, -Infinity, NaN);
    assert.deepEqual(elementsOf('FP32', '[4]', '[NaN, Infinity, -Infinity, "NaN"]'), expected);
  });

  const wrong = [
    ['BOOL', '[1,0]', /element 0: expected BOOL, got 1/],
    ['UINT8', '[0,256]', /element 1: expected UINT8, got 256/],
    ['INT32', '[0,1.5]', /element 1: expected INT32, got 1.5/],
    ['INT64', '[0,9223372036854775808]', /element 1: expected INT64, got 9223372036854775808/],
    ['UINT64', '[-1,0]', /element 0: expected UINT64, got -1/],
    ['FP16', '[0,65520]', /element 1: expected FP16, got 65520/],
    ['FP32', '[1e39,0]', /element 0: expected FP32, got 1e\+39/],
    ['FP32', '[null,0]', /element 0: expected FP32, got null/],
    ['BYTES', '["a",1]', /element 1: expected BYTES, got 1/],
    ['BYTES', '["a\\u0000","b"]', /NUL byte/],
    ['INT8', '[1]', /has 1 elements, expected 2/],
    ['INT8', '[[1],[[2]]]', /element 1: expected INT8, got a nested value/],
    ['BF16', '[1,2]', /expected a V2 datatype other than BF16/],
    ['FLOAT', '[1,2]', /expected a V2 datatype/],
  ] as const;
  for (const [datatype, text, message] of wrong) {
    it(`are refused: ${datatype} ${text}`, () =>
      assert.throws(() => elementsOf(datatype, '[2]', text), { kind: 'golden', message }));
  }
});

test('wide numbers become text and nothing else changes', () => {
  const text = '{"a":[1,-0.12345678901234567890,1e20,123456789012345,1234567890123456],"\\"12345678901234567890":null}';
  assert.deepEqual(parseWideJson(text), {
    a: [1, -0.12345678901234568, 1e20, 123456789012345, '1234567890123456'],
    '"12345678901234567890': null,
  });
  assert.throws(() => parseWideJson('['.repeat(65)), /nested more than 64 deep/);
  for (const broken of ['', '{', '[1,]', '01234567890123456789', '"open', '[NaNa]']) {
    assert.throws(() => parseWideJson(broken), SyntaxError, broken);
  }
});

test('a request says which outputs it asks for', () => {
  const inputs = '"inputs":[{"name":"x","datatype":"INT8","shape":[1],"data":[1]}]';
  assert.equal(requestOf('r', `{${inputs}}`).requested, undefined);
  assert.deepEqual(requestOf('r', `{${inputs},"outputs":[{"name":"y"}]}`).requested, ['y']);
});

test('samples are read from the files that the manifest names, and what is wrong names the file', async (context) => {
  const directory = freshDirectory(context);
  mkdirSync(join(directory, 'golden'));
  const write = (file: string, text: string) => writeFileSync(join(directory, 'golden', file), text);
  write('0.json', '{"inputs":[{"name":"x","datatype":"INT8","shape":[1],"data":[1]}]}');
  write('0.out.json', responseText('INT8', '[1]', '[2]'));
  write('binary.json', '{"inputs":[{"name":"x","datatype":"INT8","shape":[1],"parameters":{"binary_data_size":1}}]}');
  const listed = (request: string) => [{ request, response: 'golden/0.out.json', atol: 0.5, rtol: 0 }];
  assert.deepEqual(await readGolden(directory, listed('golden/0.json')), [
    {
      name: 'golden/0.json',
      inputs: [{ name: 'x', datatype: 'INT8', shape: [1], data: Int8Array.of(1) }],
      requested: undefined,
      outputs: [{ name: 'y', datatype: 'INT8', shape: [1], data: Int8Array.of(2) }],
      tolerance: { atol: 0.5, rtol: 0 },
    },
  ]);
  const refuses = (request: string, message: RegExp) =>
    assert.rejects(readGolden(directory, listed(request)), { kind: 'golden', message });
  await refuses('golden/absent.json', /^golden\/absent.json: it cannot be read \(ENOENT\)$/);
  await refuses('golden/binary.json', /^golden\/binary.json: 'inputs.0.data': expected an array \(binary/);
  write('large.json', ' '.repeat(16 * 1024 * 1024 + 1));
  await refuses('golden/large.json', /^golden\/large.json: it has 16777217 bytes, at most 16777216 are read$/);
});

function y(datatype: DataType, data: TensorData, shape: readonly number[] = [data.length]): Tensor {
  return { name: 'y', datatype, shape, data };
}

const fp64 = (...values: number[]) => y('FP64', Float64Array.from(values));
const tolerance = { atol: 0.5, rtol: 0.25 };

describe('two tensors agree', () => {
  it('at the edge of the tolerance, and not beyond it', () => {
    assert.equal(disagreementOf(fp64(2), fp64(3), tolerance), undefined);
    assert.equal(disagreementOf(fp64(-2), fp64(-1), tolerance), undefined);
    assert.equal(
      disagreementOf(fp64(0, 2), fp64(0, 3.001), tolerance),
      "output 'y', element 1: expected 2, got 3.001, allowed ±1",
    );
  });

  it('when both are NaN, or the same infinity', () => {
    assert.equal(disagreementOf(fp64(NaN, Infinity, -Infinity), fp64(NaN, Infinity, -Infinity), tolerance), undefined);
    for (const [expected, got] of [
      [NaN, 1],
      [1, NaN],
      [Infinity, -Infinity],
      [Infinity, 1e308],
      [1e308, Infinity],
    ] as const) {
      assert.match(disagreementOf(fp64(expected), fp64(got), tolerance)!, /element 0: expected/);
    }
  });

  it('in half precision by their numbers, not their bits', () => {
    const half = (value: number) => y('FP16', Uint16Array.of(halfOf(value)));
    assert.equal(disagreementOf(half(2), half(2.5), tolerance), undefined);
    assert.match(disagreementOf(half(2), half(4), tolerance)!, /expected 2, got 4/);
  });

  it('as integers, booleans and texts only when they are equal', () => {
    const loose = { atol: 100, rtol: 100 };
    assert.match(disagreementOf(y('INT64', BigInt64Array.of(1n)), y('INT64', BigInt64Array.of(2n)), loose)!, /got 2$/);
    assert.match(disagreementOf(y('BOOL', Uint8Array.of(0)), y('BOOL', Uint8Array.of(1)), loose)!, /got 1$/);
    assert.match(disagreementOf(y('BYTES', ['a']), y('BYTES', ['b']), loose)!, /expected 'a', got 'b'$/);
  });

  it('in name, datatype and shape exactly', () => {
    const one = fp64(1, 2);
    assert.match(disagreementOf(one, { ...one, name: 'z' }, tolerance)!, /expected output 'y', got 'z'/);
    assert.match(disagreementOf(one, y('FP32', Float32Array.of(1, 2)), tolerance)!, /expected FP64, got FP32/);
    assert.match(disagreementOf(one, { ...one, shape: [1, 2] }, tolerance)!, /expected shape \[2\], got \[1,2\]/);
  });
});
