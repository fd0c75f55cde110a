/** The canonical text of RFC 8785, for the values that the audit log allows, and the hash of a configuration. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { canonicalOf } from '../src/audit/canonical.js';
import { configHash, withDecimalsAsText } from '../src/audit/config-hash.js';

test('keys are sorted by UTF-16 code units, as in the example of RFC 8785 §3.2.3', () => {
  const value = {
    '\u20ac': 'Euro Sign',
    '\r': 'Carriage Return',
    '\ufb33': 'Hebrew Letter Dalet With Dagesh',
    '1': 'One',
    '\ud83d\ude00': 'Emoji: Grinning Face',
    '\u0080': 'Control',
    '\u00f6': 'Latin Small Letter O With Diaeresis',
  };
  const order = [...canonicalOf(value).matchAll(/:"([^"]*)"/g)].map(([, name]) => name);
  assert.deepEqual(order, [
    'Carriage Return',
    'One',
    'Control',
    'Latin Small Letter O With Diaeresis',
    'Euro Sign',
    'Emoji: Grinning Face',
    'Hebrew Letter Dalet With Dagesh',
  ]);
});

test('strings and literals are written as in the example of RFC 8785 §3.2.2', () => {
  const value = { string: '\u20ac$\u000F\u000aA\'\u0042\u0022\u005c\\"/', literals: [null, true, false] };
  assert.equal(canonicalOf(value), '{"literals":[null,true,false],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}');
});

test('members are sorted at every level and whitespace is left out', () => {
  assert.equal(canonicalOf({ b: [{ z: 1, a: -2 }], a: {} }), '{"a":{},"b":[{"a":-2,"z":1}]}');
  assert.equal(canonicalOf(JSON.parse('{"__proto__":1,"A":-0}')), '{"A":0,"__proto__":1}');
});

test('what has more than one text, or none, is refused with its place', () => {
  const refused: readonly (readonly [unknown, RegExp])[] = [
    [{ a: [0, 0.5] }, /^'a\[1\]' is a number that is no safe integer/],
    [{ a: 2 ** 53 }, /^'a' is a number/],
    [Number.NaN, /^the value is a number/],
    [{ a: undefined }, /^'a' is of type undefined/],
    [new Array(1), /^'\[0\]' is of type undefined/],
    [{ a: { b: 1n } }, /^'a\.b' is of type bigint/],
    [{ a: new Date(0) }, /^'a' is no plain object/],
    [{ a: new Map() }, /^'a' is no plain object/],
    [{ a: '\ud800' }, /^'a' is a string with half of a surrogate pair/],
    [{ '\ud800': 1 }, /is a string with half of a surrogate pair/],
  ];
  for (const [value, message] of refused) {
    assert.throws(() => canonicalOf(value), { code: 'INVALID_ARGUMENT', message }, String(message));
  }
});

test('nesting has a limit, so a cycle is refused', () => {
  const cyclic: Record<string, unknown> = {};
  cyclic.a = cyclic;
  assert.throws(() => canonicalOf(cyclic), /nested more than 32 deep/);
  const deep = (depth: number): unknown => (depth === 0 ? 1 : [deep(depth - 1)]);
  assert.equal(canonicalOf(deep(32)), `${'['.repeat(32)}1${']'.repeat(32)}`);
  assert.throws(() => canonicalOf(deep(33)), /nested more than 32 deep/);
});

test('the hash of a configuration is that of its canonical form, with decimals as strings', () => {
  const text = '{"batching":{"delay_us":500},"threshold":"0.5"}';
  const expected = createHash('sha256').update(text).digest('hex');
  assert.equal(configHash({ threshold: 0.5, batching: { delay_us: 500, absent: undefined } }), expected);
});

test('the hash of a configuration changes with every threshold and not with the order of keys', () => {
  const hash = configHash({ a: 1, b: [0.1, 2] });
  assert.equal(configHash({ b: [0.1, 2], a: 1 }), hash);
  for (const other of [{ a: 1, b: [0.2, 2] }, { a: 2, b: [0.1, 2] }, { a: 1, b: [2, 0.1] }, { a: 1 }]) {
    assert.notEqual(configHash(other), hash);
  }
});

test('a detail with decimals becomes one that an entry can hold', () => {
  const detail = withDecimalsAsText({ psi: 0.25, n: 500, worst: Number.POSITIVE_INFINITY, none: undefined });
  assert.deepEqual(detail, { psi: '0.25', n: 500, worst: 'Infinity' });
  assert.throws(() => configHash({ at: new Date(0) }), /no plain object/);
});
