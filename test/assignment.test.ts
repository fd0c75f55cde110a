/**
 * Assignment against the specification: vectors computed apart from this code (a plain reading of monitoring §2 in Python),
 * properties over many keys, and the order of decisions.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CallTerms, Parameter } from '../src/core/inference.js';
import { hashAfter, murmur3, prefixOf, uniform, wordsOf } from '../src/core/murmur3.js';
import { candidatesOf, choose } from '../src/core/rendezvous.js';
import type { Condition, Experiment } from '../src/core/route.js';
import { decide, splitOf } from '../src/routing/assignment.js';
import { experimentOf } from './experiment-fixture.js';

interface Given {
  readonly headers?: Readonly<Record<string, string>>;
  readonly parameters?: Readonly<Record<string, Parameter>>;
  readonly variant?: string;
}

function termsOf({ headers = {}, parameters = {}, variant = '' }: Given): CallTerms {
  return {
    requestId: 'r1',
    variant,
    header: (name) => headers[name],
    parameter: (name) => parameters[name],
  };
}

const decided = (experiment: Partial<Experiment>, given: Given) =>
  decide(splitOf('m', experimentOf(experiment)), termsOf(given));

const ofUser = (user: string): Given => ({ headers: { 'x-user-id': user } });

function winners(salt: string, weights: Readonly<Record<string, number>>, count: number): string[] {
  const candidates = candidatesOf(
    salt,
    Object.entries(weights).map(([name, weight]) => ({ name, weight })),
  );
  return Array.from({ length: count }, (_, i) => choose(candidates, wordsOf(`user-${i}`))!);
}

const shareOf = (all: readonly string[], name: string) => all.filter((one) => one === name).length / all.length;

test('the hash is MurmurHash3 x86 32 over UTF-8', () => {
  const vectors: readonly [string, number, number][] = [
    ['', 0, 0],
    ['', 1, 1364076727],
    ['a', 0, 1009084850],
    ['ab', 0, 2613040991],
    ['abc', 0, 3017643002],
    ['sluice', 0, 1546500062],
    ['aaaa', 0x9747b28c, 1519878282],
    ['Hello, world!', 0x9747b28c, 612912314],
    ['日本語', 0, 2779017879],
    ['😀 key', 0, 792115575],
    ['spring:old:key-é7', 0, 3535211191],
  ];
  for (const [text, seed, hash] of vectors) assert.equal(murmur3(text, seed), hash, text);
  assert.equal(murmur3('a\ud800b'), murmur3('a\ufffdb'));
});

test('a hash goes on after a prefix wherever it is cut', () => {
  for (const text of ['digits-2026:treatment:user-4711', 'é:日本語:😀', 'aé', 'key-'.repeat(80), 'é'.repeat(300)]) {
    for (let cut = 0; cut <= text.length; cut++) {
      // Half of a surrogate pair is another text.
      if (!text.slice(0, cut).isWellFormed()) continue;
      assert.equal(hashAfter(prefixOf(text.slice(0, cut)), text.slice(cut)), murmur3(text), `${text} cut at ${cut}`);
    }
  }
});

test('u is inside (0, 1), with the example of the specification', () => {
  assert.equal(uniform('sluice').toFixed(12), '0.360072604963');
  assert.equal(uniform('spring:old:key-é7').toFixed(12), '0.823105497169');
  assert.equal(uniform('spring:new:key-é7').toFixed(12), '0.105310519808');
  assert.equal(uniform('spring:enroll:key-é7').toFixed(12), '0.608276582439');
});

test('the example of the specification: variant, and enrolled at 0.7 but not at 0.5', () => {
  // Not ASCII, so it cannot be a header.
  const key = [{ source: 'param' as const, name: 'key' }];
  const given = { parameters: { key: 'key-é7' } };
  assert.deepEqual(decided({ key }, given), { variant: 'old', reason: 'weight', key: 'key-é7', isSticky: true });
  assert.equal(decided({ key, coverage: 0.7 }, given).reason, 'weight');
  assert.equal(decided({ key, coverage: 0.5 }, given).reason, 'coverage');
});

test('variants are those of an independent computation', () => {
  const picked = (salt: string, weights: Readonly<Record<string, number>>, key: string) =>
    choose(
      candidatesOf(
        salt,
        Object.entries(weights).map(([name, weight]) => ({ name, weight })),
      ),
      wordsOf(key),
    );
  const rows: readonly [string, string, string, string][] = [
    ['user-1', 'control', 'new', 'a'],
    ['user-2', 'control', 'new', 'c'],
    ['user-3', 'control', 'old', 'a'],
    ['7', 'treatment', 'new', 'a'],
    ['é', 'control', 'new', 'a'],
    ['key-é7', 'control', 'old', 'a'],
  ];
  for (const [key, digits, spring, three] of rows) {
    assert.equal(picked('digits-2026', { control: 90, treatment: 10 }, key), digits, key);
    assert.equal(picked('spring', { old: 80, new: 20 }, key), spring, key);
    assert.equal(picked('s', { c: 1, a: 1, b: 1 }, key), three, key);
  }
});

test('shares are within one point of the weights at 100,000 keys', () => {
  for (const weights of [
    { a: 90, b: 10 },
    { a: 50, b: 50 },
    { a: 1, b: 1, c: 1, d: 5 },
  ] as Record<string, number>[]) {
    const total = Object.values(weights).reduce((sum, weight) => sum + weight, 0);
    const all = winners('digits-2026', weights, 100_000);
    for (const [name, weight] of Object.entries(weights)) {
      const share = shareOf(all, name);
      assert.ok(Math.abs(share - weight / total) < 0.01, `${name} ${share}`);
    }
  }
});

test('experiments with different salts are independent on sequential keys', () => {
  const one = winners('spring', { a: 1, b: 1 }, 100_000);
  const two = winners('summer', { a: 1, b: 1 }, 100_000);
  const both = { aa: 0, ab: 0, ba: 0, bb: 0 };
  for (const [i, first] of one.entries()) both[`${first}${two[i]}` as keyof typeof both]++;
  // χ² of four equal shares has three degrees of freedom: above 16.27 once in a thousand.
  const chi2 = Object.values(both).reduce((sum, count) => sum + (count - 25_000) ** 2 / 25_000, 0);
  assert.ok(chi2 < 16.27, `${chi2}`);
});

test('only the ratios of weights matter, and the order of variants does not', () => {
  assert.deepEqual(winners('s', { a: 90, b: 10 }, 5000), winners('s', { b: 0.1, a: 0.9 }, 5000));
});

test('raising a weight moves keys only towards its variant, and no more than it must', () => {
  const before = winners('s', { a: 50, b: 30, c: 20 }, 100_000);
  const after = winners('s', { a: 50, b: 30, c: 60 }, 100_000);
  const moved = before.flatMap((name, i) => (name === after[i] ? [] : [after[i]]));
  assert.ok(moved.every((name) => name === 'c'));
  // Half the sum of |new share − old share|: c goes from 0.2 to 60/140.
  assert.ok(Math.abs(moved.length / 100_000 - (60 / 140 - 0.2)) < 0.005, `${moved.length}`);
});

test('a new variant takes keys only for itself, a removed one gives only its own away', () => {
  const two = winners('s', { a: 50, b: 50 }, 20_000);
  const three = winners('s', { a: 50, b: 50, c: 50 }, 20_000);
  assert.ok(two.every((name, i) => name === three[i] || three[i] === 'c'));
  assert.ok(three.includes('c'));
});

test('a variant of weight 0 never wins, and of none there is no winner', () => {
  assert.equal(shareOf(winners('s', { a: 1, b: 0 }, 10_000), 'a'), 1);
  assert.equal(choose(candidatesOf('s', [{ name: 'a', weight: 0 }]), wordsOf('k')), undefined);
});

test('raising the coverage neither un-enrols a key nor changes its variant', () => {
  for (let i = 0; i < 2000; i++) {
    const at = (coverage: number) => decided({ coverage }, ofUser(`u${i}`));
    const [less, more] = [at(0.3), at(0.6)];
    if (less.reason === 'weight') assert.deepEqual(more, less);
    else assert.equal(less.variant, 'old');
  }
});

test('the first rule that decides wins: override, key, layer, holdout, targeting, coverage, weight', () => {
  const never: Condition = { place: { source: 'header', name: 'x-country' }, is: 'in', values: ['SE'], bound: 0 };
  const all: Partial<Experiment> = {
    layer: { salt: 'l', from: 0.999999, to: 1 },
    holdout: { salt: 'h', share: 1 },
    targeting: [{ conditions: [never], variants: ['old', 'new'] }],
    coverage: 0,
    overrides: { header: '', allowed: ['new'], keys: { bob: 'new' } },
  };
  const user = ofUser('alice');
  assert.deepEqual(decided(all, { ...user, variant: 'new' }).reason, 'override');
  assert.deepEqual(decided(all, { variant: 'new' }), {
    variant: 'new',
    reason: 'override',
    key: undefined,
    isSticky: false,
  });
  assert.deepEqual(decided(all, ofUser('bob')).reason, 'override');
  assert.equal(decided(all, {}).reason, 'no_key');
  assert.equal(decided(all, user).reason, 'layer');
  assert.equal(decided({ ...all, layer: undefined }, user).reason, 'holdout');
  assert.equal(decided({ ...all, layer: undefined, holdout: undefined }, user).reason, 'targeting');
  const rest = { coverage: 0, overrides: all.overrides! };
  assert.equal(decided(rest, user).reason, 'coverage');
  assert.equal(decided({}, user).reason, 'weight');
  for (const given of [{}, user]) assert.equal(decided(all, given).variant, 'old');
});

test('experiments in parts of a layer that lie side by side never share a key, and together have all', () => {
  const part = (from: number, to: number) => ({ layer: { salt: 'checkout', from, to } });
  let inFirst = 0;
  for (let i = 0; i < 10_000; i++) {
    const first = decided(part(0, 0.3), ofUser(`u${i}`)).reason === 'weight';
    const second = decided(part(0.3, 1), ofUser(`u${i}`)).reason === 'weight';
    assert.notEqual(first, second);
    if (first) inFirst++;
  }
  assert.ok(Math.abs(inFirst / 10_000 - 0.3) < 0.015, `${inFirst}`);
});

test('a holdout of one name keeps the same keys out of every experiment', () => {
  const holdout = { salt: 'global', share: 0.2 };
  let held = 0;
  for (let i = 0; i < 5000; i++) {
    const here = decided({ holdout }, ofUser(`u${i}`)).reason;
    const there = decided({ holdout, salt: 'autumn', name: 'autumn' }, ofUser(`u${i}`)).reason;
    assert.equal(here, there);
    if (here === 'holdout') held++;
  }
  assert.ok(Math.abs(held / 5000 - 0.2) < 0.02, `${held}`);
});

test('targeting narrows who may win and keeps everybody else where they were', () => {
  const variants = [...experimentOf().variants, { name: 'third', model: 'm', version: '3', weight: 50 }];
  const se: Condition = { place: { source: 'header', name: 'x-country' }, is: 'in', values: ['SE', 'NO'], bound: 0 };
  const adult: Condition = { place: { source: 'param', name: 'age' }, is: '>=', values: [], bound: 18 };
  const targeting = [{ conditions: [se, adult], variants: ['old', 'new'] }];
  for (let i = 0; i < 500; i++) {
    const given = { headers: { 'x-user-id': `u${i}`, 'x-country': 'NO' }, parameters: { age: 18 } };
    const free = decided({ variants }, given).variant;
    const narrowed = decided({ variants, targeting }, given);
    assert.equal(narrowed.reason, 'weight');
    assert.notEqual(narrowed.variant, 'third');
    if (free !== 'third') assert.equal(narrowed.variant, free);
  }
  const reasonOf = (headers: Record<string, string>, age: Parameter) =>
    decided({ variants, targeting }, { headers: { 'x-user-id': 'u', ...headers }, parameters: { age } }).reason;
  assert.equal(reasonOf({ 'x-country': 'SE' }, 17), 'targeting');
  assert.equal(reasonOf({ 'x-country': 'SE' }, 'old'), 'targeting');
  assert.equal(reasonOf({ 'x-country': 'DK' }, 18), 'targeting');
  assert.equal(reasonOf({}, 18), 'targeting');
  assert.equal(reasonOf({ 'x-country': 'SE' }, '18.5'), 'weight');
});

test('the first value that is there is the key, as it is', () => {
  const key = [
    { source: 'header' as const, name: 'x-user-id' },
    { source: 'cookie' as const, name: 'sid' },
    { source: 'param' as const, name: 'user' },
  ];
  const keyOf = (given: Given) => decided({ key }, given).key;
  assert.equal(keyOf({ headers: { 'x-user-id': ' A b ', cookie: 'sid=x' } }), ' A b ');
  assert.equal(keyOf({ headers: { 'x-user-id': '', cookie: 'a=1; xsid=2; sid=c-3; sid=4' } }), 'c-3');
  assert.equal(keyOf({ headers: { cookie: 'sid=' }, parameters: { user: 'é' } }), 'é');
  assert.equal(keyOf({ parameters: { user: 42 } }), '42');
  assert.equal(keyOf({ parameters: { user: 42n } }), '42');
  assert.equal(keyOf({ parameters: { user: '' } }), undefined);
  assert.equal(keyOf({ headers: { cookie: ';; =; sid' } }), undefined);
});

test('a key of more than 256 bytes, or a header that is not printable ASCII, is missing', () => {
  const param = [{ source: 'param' as const, name: 'user' }];
  assert.equal(decided({}, ofUser('x'.repeat(256))).reason, 'weight');
  assert.equal(decided({}, ofUser('x'.repeat(257))).reason, 'no_key');
  assert.equal(decided({}, ofUser('x'.repeat(1 << 20))).reason, 'no_key');
  assert.equal(decided({}, ofUser('Ã©')).reason, 'no_key');
  assert.equal(decided({}, ofUser('a\tb')).reason, 'no_key');
  assert.equal(decided({ key: param }, { parameters: { user: 'é'.repeat(128) } }).reason, 'weight');
  assert.equal(decided({ key: param }, { parameters: { user: `${'é'.repeat(128)}x` } }).reason, 'no_key');
  assert.equal(decided({ key: param }, { parameters: { user: '日'.repeat(1 << 18) } }).reason, 'no_key');
});

test('without a key the request id decides when the experiment says so, and the row is not sticky', () => {
  const { key, isSticky, reason } = decided({ noKey: 'request' }, {});
  assert.deepEqual({ key, isSticky, reason }, { key: 'r1', isSticky: false, reason: 'weight' });
  assert.equal(decided({ noKey: 'request' }, ofUser('u')).isSticky, true);
});

test('a variant may be asked for only when it is allowed, by its name or with that of the experiment', () => {
  const overrides = { header: 'x-lab', allowed: ['new'], keys: {} };
  const variantOf = (given: Given) => decided({ overrides }, given).variant;
  assert.equal(variantOf({ variant: 'new' }), 'new');
  assert.equal(variantOf({ variant: 'spring/new' }), 'new');
  assert.equal(variantOf({ headers: { 'x-lab': 'new' } }), 'new');
  const text = (variant: string) => `variant '${variant}' of model 'm' cannot be asked for: expected one of new`;
  for (const variant of ['old', 'summer/new', 'spring/', '/new', 'constructor', '\r\nx: y']) {
    assert.throws(() => variantOf({ variant }), { code: 'INVALID_ARGUMENT', message: text(variant) });
  }
  assert.throws(
    () => variantOf({ variant: 'x'.repeat(1 << 20) }),
    ({ message }: Error) => message.length < 250,
  );
  assert.throws(() => decided({}, { variant: 'new' }), { message: /none may be$/ });
});
