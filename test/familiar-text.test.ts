import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../bench/chance.js';
import { GatewayError } from '../src/core/errors.js';
import type { Version } from '../src/core/model.js';
import { decodeRequest, readRequest } from '../src/http/codec.js';
import type { Span } from '../src/http/element-cursor.js';
import { FamiliarTexts } from '../src/http/familiar-text.js';
import { JsonReader } from '../src/http/json-reader.js';
import { createTestPlane, testApiOptions } from './http-plane.js';

const plane = createTestPlane();
let places = 0;

/** What becomes of a text, as a text. @param place where it is read: its own, or one that knows others */
function outcome(text: string, place = `place ${++places}`): string {
  try {
    const version = plane.find('rows', {}) as Version;
    const wire = readRequest(Buffer.from(text), undefined, testApiOptions, place);
    const { inputs, rows, outputs, form } = decodeRequest(version, wire, testApiOptions);
    return JSON.stringify({
      inputs: inputs.map((input) => ({ ...input, data: [...input.data].map(String) })),
      rows,
      outputs,
      form,
    });
  } catch (thrown) {
    assert.ok(thrown instanceof GatewayError, String(thrown));
    return `${thrown.code} ${thrown.message}`;
  }
}

const row = '0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15';
const around = [
  ['{"inputs":[{"name":"X","shape":[1,16],"datatype":"FP32","data":[', ']}]}'],
  [
    '{ "id" : "a", "inputs" : [ { "data" : [',
    '], "shape":[1,16], "name":"X", "datatype":"FP32" } ], "outputs":[{"name":"Y"}] }',
  ],
  [
    '{"parameters":{"binary_data_output":true},"inputs":[{"name":"X","shape":[2,16],"datatype":"FP32","data":[',
    ']}],"id":"b"}\n',
  ],
  ['{"inputs":[{"name":"X","shape":[1,16],"datatype":"FP32","x":[', '],"data":[1]}]}'],
  ['{"inputs":[{"name":"X","shape":[1,16],"datatype":"FP32","parameters":{"binary_data_size":[', ']}}]}'],
] as const;
/** Numbers, and what could be taken for the end of them. */
const pieces = [
  row,
  row,
  ',',
  `[${row}]`,
  '[',
  ']',
  '"',
  '"NaN"',
  'NaN',
  '1e5',
  '-0',
  '01',
  ' ',
  '\n',
  '}',
  ']}]}',
  '],"data":[',
  'é',
  '\u0000',
  '{}',
];

test('a text says the same whether the one before is known or not, whatever stands where its numbers were', () => {
  const random = seededRandom(7);
  const piece = () => pieces[Math.floor(random() * pieces.length)]!;
  let known = 0;
  for (const [before, after] of around) {
    for (let i = 0; i < 2000; i++) {
      const place = `place ${++places}`;
      outcome(before + row + after, place);
      const text =
        before + Array.from({ length: 1 + Math.floor(random() * 4) }, piece).join(random() < 0.5 ? ',' : '') + after;
      const expected = outcome(text);
      assert.equal(outcome(text, place), expected, text);
      assert.equal(outcome(before + row + after, place), outcome(before + row + after), 'and it has spoilt nothing');
      if (expected.startsWith('{')) known++;
    }
  }
  assert.ok(known > 100, `only ${known} texts were right`);
});

function reader(text: string): JsonReader {
  const bytes = Buffer.from(text);
  return new JsonReader(bytes, bytes.length, 16);
}

function spanIn(text: string): Span {
  return { start: text.indexOf('['), end: text.lastIndexOf(']') + 1 };
}

test('a text is recognised by what stands around its numbers, in its own place only', () => {
  const texts = new FamiliarTexts<string>(2);
  const first = '{"data":[1,2,3]}';
  texts.read('a', reader(first), spanIn(first), 'three');
  assert.deepEqual(texts.recognise('a', reader('{"data":[44, 55]}')), {
    meaning: 'three',
    span: { start: 8, end: 16 },
  });
  for (const other of [
    '{"data": [1]}',
    '{"data":[1] }',
    '{"data":[[1]]}',
    '{"data":["1"]}',
    '{"data":[1],[2]}',
    '{"data":[',
    '{"data":]}',
  ])
    assert.equal(texts.recognise('a', reader(other)), undefined, other);
  assert.equal(texts.recognise('b', reader(first)), undefined);
});

test('whoever comes to write another text is soon recognised again, however often texts were others', () => {
  const texts = new FamiliarTexts<number>(2);
  const numbered = (i: number) => `{"id":${i},"data":[1]}`;
  for (let i = 0; i < 1000; i++) {
    assert.equal(texts.recognise('a', reader(numbered(i))), undefined);
    texts.read('a', reader(numbered(i)), spanIn(numbered(i)), i);
  }
  let reads = 0;
  while (texts.recognise('a', reader(numbered(-1))) === undefined) {
    texts.read('a', reader(numbered(-1)), spanIn(numbered(-1)), -1);
    assert.ok(++reads <= 256);
  }
  assert.equal(texts.recognise('a', reader(numbered(-1)))?.meaning, -1);
});

test('places and bytes have a limit', () => {
  const texts = new FamiliarTexts<string>(2);
  const text = '{"data":[1]}';
  for (const place of ['a', 'b', 'c']) texts.read(place, reader(text), spanIn(text), place);
  assert.deepEqual(
    ['a', 'b', 'c'].map((place) => texts.recognise(place, reader(text))?.meaning),
    [undefined, undefined, 'c'],
  );
  const long = `{"x":"${'x'.repeat(5000)}","data":[1]}`;
  texts.read('long', reader(long), spanIn(long), 'long');
  assert.equal(texts.recognise('long', reader(long)), undefined);
});
