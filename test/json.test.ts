import assert from 'node:assert/strict';
import { test } from 'node:test';
import { halfOf, numberOf } from '../src/core/half.js';
import { JsonReader } from '../src/http/json-reader.js';
import { jsonValueOf } from '../src/http/json-value.js';
import { booleansText, floatsText, integersText, jsonText, quoted, stringsText } from '../src/http/json-writer.js';

function read(text: string | Buffer, depthMax = 100): unknown {
  return jsonValueOf(Buffer.from(text), depthMax);
}

test('every JSON text is read as JSON.parse reads it', () => {
  const texts = [
    'null',
    'true',
    'false',
    '0',
    '-0',
    '1.5',
    '-1.25e-3',
    '1E5',
    '"a"',
    '""',
    '"\\u00e9\\n\\"\\\\"',
    '"é😀"',
    '[]',
    '[1,[2,[]]]',
    '{}',
    ' { "a" : [ 1 , 2 ] , "b" : { "c" : null } } ',
    '[1,\n2,\t3\r]',
    '"\\ud83d\\ude00"',
    '1e-400',
    '[0.1, 1e22, 5e-324]',
  ];
  for (const text of texts)
    assert.deepEqual(JSON.parse(JSON.stringify(read(text))), JSON.parse(JSON.stringify(JSON.parse(text))), text);
});

test('what JSON.parse refuses is refused', () => {
  const texts = [
    '',
    ' ',
    '[',
    ']',
    '{',
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '[1,]',
    '[,1]',
    '[1 2]',
    '01',
    '-',
    '+1',
    '1.',
    '.5',
    '1e',
    '1e+',
    'nul',
    'tru',
    'True',
    '"',
    '"\\x"',
    '"\\u12"',
    '"a\nb"',
    '{a:1}',
    "'a'",
    '1 2',
    '{} {}',
    '[1]]',
    '\u00a01',
    'NaN',
    '[Infinity]',
    '"\\',
    '{"a":1 "b":2}',
    '\ufeff{}',
  ];
  for (const text of texts) {
    assert.throws(() => JSON.parse(text), text);
    assert.throws(() => read(text), /failed to parse the request JSON buffer: .+ at \d+/, text);
  }
});

test('bytes that are not UTF-8 are refused', () => {
  assert.throws(() => read(Buffer.from([0xff, 0xfe])), /failed to parse/);
  assert.throws(() => read(Buffer.from([0x22, 0xc3, 0x22])), /failed to parse/);
  assert.throws(() => read(Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])), /failed to parse/);
});

test('integers beyond 2^53 are exact', () => {
  for (const digits of [
    '9007199254740993',
    '-9223372036854775808',
    '18446744073709551615',
    '123456789012345678901234567890',
  ]) {
    assert.equal(read(digits), BigInt(digits));
    assert.equal(jsonText(BigInt(digits)), digits);
  }
});

test('a finite token beyond the range of a double is refused', () => {
  assert.throws(() => read('1e999'), /too big/);
  assert.throws(() => read('[-1e400]'), /too big/);
});

test('members never touch a prototype', () => {
  const value = read('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}') as Record<
    string,
    unknown
  >;
  assert.equal(({} as Record<string, unknown>).polluted, undefined);
  assert.equal(Object.getPrototypeOf(value), null);
  assert.deepEqual(Object.keys(value), ['__proto__', 'constructor']);
});

test('a member that occurs twice is refused', () => {
  assert.throws(() => read('{"a":1,"a":2}'), /Unable to parse 'a': the member occurs twice/);
  assert.throws(() => read('{"a":1,"\\u0061":2}'), /occurs twice/);
});

test('nesting is read at the limit and refused beyond it', () => {
  assert.doesNotThrow(() => read('['.repeat(100) + ']'.repeat(100)));
  assert.throws(() => read('['.repeat(101) + ']'.repeat(101)), {
    message: 'JSON nesting depth exceeds maximum allowed limit (100)',
  });
  assert.throws(() => read('{"a":'.repeat(101)), { message: 'JSON nesting depth exceeds maximum allowed limit (100)' });
});

test('a million levels are refused without a deep stack', () => {
  assert.throws(() => read('['.repeat(1_000_000)), /nesting depth/);
  assert.throws(() => read('{"a":['.repeat(500_000)), /nesting depth/);
});

test('elements are passed over with their strings and nested brackets', () => {
  for (const text of ['[1,2]', '[]', '["]","\\"]"]', '[[1],[2,[3]]]', '[["]"],[]]', '[NaN,-Infinity]']) {
    const bytes = Buffer.from(`${text},"next"`);
    const reader = new JsonReader(bytes, bytes.length, 100);
    reader.skipElements();
    assert.equal(reader.at, text.length, text);
  }
});

test('elements that never end are refused', () => {
  for (const text of ['[1,2', '["]', '[[1]', '[[[[']) {
    const bytes = Buffer.from(text);
    assert.throws(() => new JsonReader(bytes, bytes.length, 100).skipElements(), /failed to parse/, text);
  }
  const deep = Buffer.from('['.repeat(200) + ']'.repeat(200));
  assert.throws(() => new JsonReader(deep, deep.length, 100).skipElements(), /nesting depth/);
});

test('elements do not run past the JSON into the blobs', () => {
  const bytes = Buffer.from('[1,2 ] ');
  assert.throws(() => new JsonReader(bytes, 4, 100).skipElements(), /failed to parse/);
});

test('random documents are read as JSON.parse reads them', () => {
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return seed % below;
  };
  const make = (depth: number): unknown => {
    switch (random(depth > 4 ? 5 : 7)) {
      case 0:
        return random(2) === 0;
      case 1:
        return null;
      case 2:
        return random(1_000_000) - 500_000;
      case 3:
        return (random(1_000_000) - 500_000) / 1024;
      case 4:
        return String.fromCharCode(...Array.from({ length: random(6) }, () => 1 + random(0xd000)));
      case 5:
        return Array.from({ length: random(5) }, () => make(depth + 1));
      default:
        return Object.fromEntries(Array.from({ length: random(5) }, (_, i) => [`k${i}${random(9)}`, make(depth + 1)]));
    }
  };
  for (let i = 0; i < 500; i++) {
    const text = JSON.stringify(make(0), undefined, random(3));
    assert.equal(jsonText(read(text)), JSON.stringify(JSON.parse(text)), text);
  }
});

test('a document cut anywhere is refused, never misread', () => {
  const text = '{"a":[1,2.5,"x\\n"],"b":{"c":true}}';
  for (let length = 0; length < text.length; length++)
    assert.throws(() => read(text.slice(0, length)), /failed to parse/, String(length));
});

test('floats are written so that they read back to the same bits', () => {
  const values = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 1e21, 1e-7, -0, 0, 123456789.123];
  const text = floatsText(Float64Array.from(values), 'bare');
  assert.deepEqual(
    (JSON.parse(text) as number[]).map((value) => Object.is(value, -0)),
    values.map((value) => Object.is(value, -0)),
  );
  assert.deepEqual(JSON.parse(text), values);
  assert.equal(floatsText(Float32Array.of(0.1), 'bare'), '[0.10000000149011612]');
  assert.equal(floatsText(Float32Array.of(-0, 1), 'bare'), '[-0.0,1]');
  assert.equal(floatsText(new Float32Array(0), 'bare'), '[]');
});

test('NaN and the infinities are written as the option says', () => {
  const values = Float32Array.of(1, NaN, Infinity, -Infinity);
  assert.equal(floatsText(values, 'bare'), '[1,NaN,Infinity,-Infinity]');
  assert.equal(floatsText(values, 'null'), '[1,null,null,null]');
  assert.equal(floatsText(values, 'string'), '[1,"NaN","Infinity","-Infinity"]');
});

test('integers are written as digits, 64-bit ones exactly', () => {
  assert.equal(integersText(Int32Array.of(-2147483648, 0, 2147483647)), '[-2147483648,0,2147483647]');
  assert.equal(
    integersText(BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n)),
    '[-9223372036854775808,9223372036854775807]',
  );
  assert.equal(integersText(BigUint64Array.of(2n ** 64n - 1n)), '[18446744073709551615]');
  assert.equal(integersText(new BigInt64Array(0)), '[]');
});

test('booleans, strings and names are written as JSON', () => {
  assert.equal(booleansText(Uint8Array.of(1, 0, 1)), '[true,false,true]');
  assert.equal(stringsText(['a"b', '😀\n']), JSON.stringify(['a"b', '😀\n']));
  for (const name of ['plain_name.1', 'a"b', 'é', 'a\\b', '\n']) assert.equal(JSON.parse(quoted(name)), name);
});

test('every half survives the way to a number and back', () => {
  for (let bits = 0; bits < 65536; bits++) {
    const value = numberOf(bits);
    if (Number.isNaN(value)) assert.ok(Number.isNaN(numberOf(halfOf(value))));
    else assert.equal(halfOf(value), bits);
  }
});

test('numbers between two halves go to the nearer one, ties to the even one', () => {
  for (let bits = 0; bits < 0x7bff; bits += 7) {
    const [low, high] = [numberOf(bits), numberOf(bits + 1)];
    const middle = (low + high) / 2;
    assert.equal(halfOf(middle), bits % 2 === 0 ? bits : bits + 1);
    assert.equal(halfOf(middle - (high - low) / 1024), bits);
    assert.equal(halfOf(middle + (high - low) / 1024), bits + 1);
  }
  assert.equal(halfOf(65519), 0x7bff);
  assert.equal(halfOf(65520), 0x7c00);
});
