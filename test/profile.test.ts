/**
 * Reference profiles: what a value is, how features are binned, and what a profile out of an artifact may say.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uniform } from '../src/core/murmur3.js';
import { castFor, keyIn, numberIn } from '../src/monitor/cleaning.js';
import { binNames, referenceCounts } from '../src/monitor/feature-bins.js';
import { foldedCounts } from '../src/monitor/numeric-bins.js';
import { binIndex, categoricalProfile, featureProfile, kindOf, numericProfile } from '../src/monitor/profile.js';
import { buildProfile, keptFeatures } from '../src/monitor/profile-build.js';
import { checkedProfile, featuresMax, parseProfile, type ReferenceProfile } from '../src/monitor/profile-document.js';
import { WarmUp } from '../src/monitor/warm-up.js';
import { profileOf } from './drift-fixture.js';
import { dice } from './monitor-fixture.js';

const example = numericProfile([2, 2, 5, 7, 7, 7, 9, 12], { bins: 4 });

test('the example of the specification: edges are observed values, bins are closed on the right', () => {
  assert.deepEqual([example.lo, example.edges, example.hi], [2, [2, 7], 12]);
  assert.deepEqual(example.counts, [2, 4, 2]);
  const bins = [1, 2, 2.1, 7, 7.1, 12, 12.5].map((x) => binIndex(example, x));
  assert.deepEqual(bins, [0, 1, 2, 2, 3, 3, 4]);
});

test('what is not a finite number belongs to no bin', () => {
  assert.deepEqual(
    [NaN, Infinity, -Infinity].map((x) => binIndex(example, x)),
    [-1, -1, -1],
  );
});

test('out-of-range counts fold into the end bins, except beside a constant reference', () => {
  assert.deepEqual(foldedCounts([1, 2, 3, 4, 5]), [3, 3, 9]);
  const constant = numericProfile([4, 4, 4]);
  assert.deepEqual(constant.counts, [3]);
  assert.deepEqual(referenceCounts(constant), [0, 3, 0]);
  assert.deepEqual(
    [3, 4, 5].map((x) => binIndex(constant, x)),
    [0, 1, 2],
  );
  assert.deepEqual(foldedCounts([1, 2, 3]), [1, 2, 3]);
});

test('a reference without a single number has no range, and every value is beyond its end', () => {
  const nothing = numericProfile([null, NaN, Infinity, 'a']);
  assert.deepEqual([nothing.n, nothing.missing, nothing.invalid, nothing.lo, nothing.mean], [0, 2, 2, null, null]);
  assert.equal(binIndex(nothing, 0), 2);
  assert.deepEqual(referenceCounts(nothing), [0, 0, 0]);
});

test('no inner bin of a reference is empty, and the order of values does not matter', () => {
  const chance = dice(11);
  for (let round = 0; round < 300; round++) {
    const values = Array.from({ length: 1 + Math.floor(chance() * 60) }, () => Math.floor(chance() * 20) / 4);
    const bins = 1 + Math.floor(chance() * 12);
    const profile = numericProfile(values, { bins });
    assert.ok(profile.counts.every((count) => count > 0) && profile.counts.length <= bins);
    assert.deepEqual(numericProfile(values.toReversed(), { bins }), profile);
  }
});

test('values are cast to the datatype of the input, and −0 is 0', () => {
  const { lo, edges, hi } = numericProfile([0.1, 0.2, 0.3], { bins: 3, datatype: 'FP32' });
  assert.deepEqual([lo, ...edges, hi], [0.1, 0.1, 0.2, 0.3].map(Math.fround));
  assert.equal(numberIn(0.1, castFor('FP16')), 0.0999755859375);
  assert.equal(numberIn(1.01, castFor('BF16')), 1.0078125);
  assert.equal(numberIn(1e39, castFor('FP32')), Infinity);
  assert.ok(Object.is(numberIn(-0, castFor()), 0));
  assert.equal(numberIn(12n, castFor('INT64')), 12);
});

test('a key is the text itself or the JSON text of the value; NaN and the infinities have none', () => {
  const keys = ['', ' A ', 1, -0, 0.1, true, 5n, [1, 'a']].map((value) => keyIn(value, castFor()));
  assert.deepEqual(keys, ['', ' A ', '1', '0', '0.1', 'true', '5', '[1,"a"]']);
  for (const value of [null, undefined, NaN, Infinity]) assert.equal(keyIn(value, castFor()), null);
});

test('the kind follows from the values: few numbers are categories, many singleton texts are ids', () => {
  const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);
  assert.equal(kindOf([1, 1, 1]), 'numeric');
  assert.equal(kindOf([1, 2, NaN, Infinity, null]), 'categorical');
  assert.equal(kindOf(upTo(20)), 'categorical');
  assert.equal(kindOf(upTo(21)), 'numeric');
  assert.equal(kindOf([true, false]), 'categorical');
  assert.equal(kindOf(upTo(1000).map(String)), 'categorical');
  assert.equal(kindOf(upTo(1001).map(String)), 'id');
  assert.equal(kindOf([...upTo(1001), ...upTo(600)].map(String)), 'categorical');
  assert.equal(kindOf([...upTo(30), 'n/a']), 'numeric');
  assert.equal(kindOf(['a', null], 'BYTES'), 'categorical');
});

test('bins of categories are named in code-unit order, with other and unseen behind', () => {
  const few = categoricalProfile(['b', 'a', 'é', 'a', null]);
  assert.deepEqual(binNames(few), ['a', 'b', 'é', 'unseen']);
  assert.deepEqual(referenceCounts(few), [2, 1, 1, 0]);
  const many = categoricalProfile(Array.from({ length: 101 }, (_, i) => `k${i}`));
  assert.equal(binNames(many).length, 102);
  assert.deepEqual([many.other, many.other_keys], [1, ['k99']]);
});

test('a category with a million values makes a small profile, in which new keys cannot be told', () => {
  const values = Array.from({ length: 1_000_000 }, (_, i) => `v${i}`);
  const profile = categoricalProfile(values);
  assert.equal(profile.n, 1_000_000);
  assert.equal(profile.unseen_tracked, false);
  assert.ok(JSON.stringify(profile).length < 20_000);
  assert.equal(binNames(profile).at(-1), 'other');
  assert.equal(featureProfile(values).kind, 'id');
});

test('a category called __proto__ and one of a megabyte are counted', () => {
  const profile = categoricalProfile(['__proto__', 'constructor', 'x'.repeat(1_000_000)]);
  assert.deepEqual(Object.keys(profile.counts), ['__proto__', 'constructor']);
  assert.equal(profile.other, 1);
  assert.equal(profile.unseen_tracked, false);
  assert.deepEqual(referenceCounts(profile), [1, 1, 1]);
  const read = parseProfile(JSON.stringify(profileOf({ c: profile }))).features.c!;
  assert.deepEqual(Object.entries((read as typeof profile).counts), Object.entries(profile.counts));
});

test('of ten thousand features the weightiest 200 are kept, ties by hash', () => {
  const columns = Array.from({ length: 10_000 }, (_, i) => ({
    name: `f${i}`,
    weight: i === 77 ? 2 : 1,
    values: [i, i + 1, i + 2],
  }));
  const kept = keptFeatures('m', columns).map(({ name }) => name);
  assert.equal(kept.length, featuresMax);
  assert.ok(kept.includes('f77'));
  const byHash = columns
    .filter(({ weight }) => weight === 1)
    .map(({ name }) => ({ name, u: uniform(`feature:m:${name}`) }));
  const expected = byHash.sort((a, b) => a.u - b.u).slice(0, 199);
  assert.deepEqual(new Set(kept), new Set(['f77', ...expected.map(({ name }) => name)]));
  const profile = buildProfile({ model: 'm', version: '1', baseline: 'training', columns });
  assert.equal(Object.keys(profile.features).length, featuresMax);
});

function rich(): ReferenceProfile {
  const rows = Array.from({ length: 50 }, (_, i) => i);
  return buildProfile({
    model: 'fraud',
    version: '7',
    baseline: 'training',
    source: { dataset: 's3://x/y', rows: 50, sha256: 'ab' },
    columns: [
      { name: 'amount', datatype: 'FP32', values: rows.map((i) => i * 1.1), weight: 3, critical: true },
      { name: 'age', values: rows },
      { name: 'country', values: rows.map((i) => (i % 3 === 0 ? 'DK' : 'NO')) },
      { name: 'user', kind: 'id', values: rows.map(String) },
    ],
    prediction: { values: rows.map((i) => i % 2) },
    score: { values: rows.map((i) => i / 50) },
    calibration: { x: [0, 1], y: [0.1, 0.9] },
    performance: { accuracy: 0.9, n: 50, chunks: [0.9, 0.91] },
    pca: { features: ['amount', 'age'], mean: [27, 24], scale: [15, 14], components: [[Math.SQRT1_2, Math.SQRT1_2]] },
  });
}

test('a profile that was built is read back as it was', () => {
  const profile = rich();
  assert.deepEqual(parseProfile(JSON.stringify(profile)), JSON.parse(JSON.stringify(profile)));
  assert.equal(profile.pca!.error!.n, 50);
  assert.equal(profile.features.user!.kind, 'id');
});

test('a document as the specification prints it, with defaults left out, is read', () => {
  const read = checkedProfile({
    profile_version: 1,
    model: 'fraud',
    version: '7',
    baseline: 'training',
    features: {
      country: { kind: 'categorical', n: 10, missing: 1, counts: { DK: 6, NO: 4 } },
      amount: { kind: 'numeric', n: 2, missing: 0, lo: 1, hi: 2, edges: [1], counts: [1, 1], mean: 1.5, m2: 0.5 },
    },
  });
  assert.deepEqual(referenceCounts(read.features.country as never), [6, 4, 0]);
});

test('a hostile profile is refused with the place and what was expected', () => {
  const wrong = (change: (profile: Record<string, never>) => void): string => {
    const profile = JSON.parse(JSON.stringify(rich()));
    change(profile);
    let message = '';
    assert.throws(
      () => checkedProfile(profile),
      (error: Error & { code: string }) => {
        message = error.message;
        return error.code === 'FAILED_PRECONDITION';
      },
    );
    assert.ok(message.length < 600, 'a message is no copy of the profile');
    return message;
  };
  // biome-ignore lint/suspicious/noExplicitAny: documents that are wrong on purpose.
  type Any = any;
  const changes: [(profile: Any) => void, RegExp][] = [
    [(p) => (p.profile_version = 2), /'profile_version'/],
    [(p) => (p.feature = {}), /unknown key 'feature' \(did you mean 'features'\?\)/],
    [(p) => (p.features.amount.edges = [3, 2]), /'features.amount': expected edges strictly ascending/],
    [(p) => (p.features.amount.edges[0] = -5), /expected edges in \[lo, hi\), got -5/],
    [(p) => p.features.amount.counts.pop(), /expected 10 counts, got 9/],
    [(p) => (p.features.amount.n = 51), /add up to n = 51, got 50/],
    [(p) => (p.features.amount.n = 1e300), /'features.amount.n'/],
    [(p) => (p.features.amount.lo = null), /lo and hi exactly when n > 0/],
    [(p) => (p.features.amount.edges = new Array(5000).fill(1)), /'features.amount.edges'/],
    [(p) => (p.features.amount.weight = -1), /'features.amount.weight'/],
    [(p) => (p.features.country.counts.DK = -1), /at most 100 categories with their counts/],
    [(p) => (p.features.country.other_keys = ['DK']), /other_keys without the keys of counts/],
    [(p) => (p.features.country.other = 5), /add up to n = 50, got 55/],
    [(p) => (p.features.country.kind = 'text'), /'features.country.kind'/],
    [(p) => (p.calibration.y = [0.1]), /as many x as y, got 2 and 1/],
    [(p) => (p.pca.components = [[1]]), /expected 2 numbers in mean, scale and each component/],
    [(p) => (p.pca.scale = [0, 1]), /'pca.scale.0'/],
    [(p) => (p.performance.accuracy = 'high'), /'performance.accuracy'/],
    [(p) => (p.features = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`f${i}`, 1]))), /got 10000/],
    [(p) => (p.features = []), /'features'/],
    [(p) => (p.features = null), /'features'/],
  ];
  for (const [change, expected] of changes) assert.match(wrong(change as never), expected);
});

test('text that is no profile at all is refused, too', () => {
  for (const text of ['', '[]', 'null', '"x"', '{', '{"features":{"__proto__":{"kind":"id","n":0,"missing":0}}}']) {
    assert.throws(() => parseProfile(text), /^GatewayError: profile\.json: /);
  }
  assert.throws(() => parseProfile(`"${'x'.repeat(17 * 1024 * 1024)}"`), /longer than/);
});

test('without a profile the first rows make one, marked as live and bounded', () => {
  const warmUp = new WarmUp('fraud', [{ name: 'x', datatype: 'FP32' }, { name: 'c' }], 1000);
  for (let i = 0; i < 5000 && !warmUp.isFull; i++) warmUp.add([i / 7, i % 2 === 0 ? 'a' : 'y'.repeat(5000)]);
  assert.ok(warmUp.isFull);
  warmUp.add([1e9, 'new']);
  const profile = warmUp.profile('7');
  assert.equal(profile.baseline, 'live');
  assert.equal(profile.source!.rows, 1000);
  assert.deepEqual(profile.features.c, {
    kind: 'categorical',
    n: 1000,
    missing: 0,
    counts: { a: 500 },
    other: 500,
    other_keys: [],
    unseen_tracked: false,
    weight: 1,
    critical: false,
  });
  assert.deepEqual(checkedProfile(profile), profile);
});
