/**
 * The statistics module against an independent computation (reference/statistics.py, with scipy), within the tolerances of
 * the specification of monitoring §1, and the properties that hold for any input.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { GatewayError } from '../src/core/errors.js';
import { jensenShannonNats } from '../src/monitor/stats/distances.js';
import { klNats, psiCritical95, psiJeffreys, psiPValue } from '../src/monitor/stats/stability.js';
import { Sum } from '../src/monitor/stats/sum.js';
import { chiSquareFit, chiSquareYates, gTest } from '../src/monitor/stats/tests.js';
import { wassersteinNormed } from '../src/monitor/stats/transport.js';
import * as stats from '../src/monitor/stats.js';
import { pseudoRandom } from './fixtures.js';

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
interface Case {
  readonly args: readonly Json[];
  readonly expected: Json;
}

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const reference: Readonly<Record<string, readonly Case[]>> = JSON.parse(
  readFileSync(join(root, 'test', 'reference', 'statistics.json'), 'utf8'),
);

type Checked = (...args: never[]) => unknown;
const beside = {
  klNats,
  psiCritical95,
  psiJeffreys,
  psiPValue,
  chiSquareFit,
  chiSquareYates,
  gTest,
  wassersteinNormed,
};
const functions = { ...stats, ...beside, jensenShannonNats } as unknown as Readonly<Record<string, Checked>>;

const numbersAsText: Readonly<Record<string, number>> = { NaN: Number.NaN, Infinity: Infinity, '-Infinity': -Infinity };
const exact = ['murmur3', 'unitInterval', 'assignVariant'];

/** Infinity and NaN, which JSON has not, stand as texts. */
function decoded(value: Json): unknown {
  if (typeof value === 'string') return numbersAsText[value] ?? value;
  if (Array.isArray(value)) return value.map(decoded);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, decoded(item)]));
}

/** Names of p-values: `p`, or `p` and a capital. */
const isP = (name: string) => /^p([A-Z]|$)/.test(name) || name === 'psiPValue' || name === 'benjaminiHochberg';

function isClose(name: string, got: number, expected: number): boolean {
  if (got === expected) return true;
  const apart = Math.abs(got - expected);
  if (isP(name)) return expected < 1e-12 ? got < 1e-12 : apart <= Math.max(1e-9, 1e-6 * expected);
  const relative = name === 'logBayesFactor' || name === 'psiCritical95' ? 1e-7 : 1e-9;
  return apart <= Math.max(1e-9, relative * Math.abs(expected));
}

function assertAgrees(name: string, got: unknown, expected: unknown, place: string): void {
  if (typeof got === 'number' && typeof expected === 'number') {
    assert.ok(isClose(name, got, expected), `${place}: expected ${expected}, got ${got}`);
  } else if (Array.isArray(expected)) {
    assert.equal((got as unknown[]).length, expected.length, place);
    expected.forEach((item, index) => {
      assertAgrees(name, (got as unknown[])[index], item, `${place}[${index}]`);
    });
  } else if (typeof expected === 'object' && expected !== null) {
    assert.deepEqual(Object.keys(got as object).sort(), Object.keys(expected).sort(), place);
    for (const [field, item] of Object.entries(expected)) {
      assertAgrees(field, (got as Record<string, unknown>)[field], item, `${place}.${field}`);
    }
  } else assert.equal(got, expected, place);
}

for (const [name, cases] of Object.entries(reference)) {
  test(`${name} agrees with the independent computation`, () => {
    assert.ok(cases.length >= 20, `${cases.length} cases`);
    for (const [index, { args, expected }] of cases.entries()) {
      const got = functions[name]!(...(args.map(decoded) as never[]));
      const place = `${name}, case ${index}`;
      if (exact.includes(name)) assert.equal(got, expected, place);
      else assertAgrees(name, got, decoded(expected), place);
    }
  });
}

function near(got: number | null, expected: number, allowed: number): void {
  assert.ok(got !== null && Math.abs(got - expected) <= allowed, `expected ${expected}, got ${got}`);
}

test('the module exports one name for each formula, and nothing else', () => {
  const names =
    'psi psiCorrected psiNullMean jensenShannon hellinger lInfinity totalVariation chiSquareHomogeneity binnedKs ksTwoSample ' +
    'wasserstein benjaminiHochberg numericProfile binIndex decideDrift murmur3 unitInterval assignVariant srm twoProportions ' +
    'wilson newcombe welch confidenceSequence msprt nonInferiority compareOutputs mcnemar cbpe';
  assert.deepEqual(Object.keys(stats).sort(), names.split(' ').sort());
});

test('the example of §10.3: edges of 2 2 5 7 7 7 9 12 in four bins, and where 1, 7 and 12.5 go', () => {
  const profile = stats.numericProfile([2, 2, 5, 7, 7, 7, 9, 12], { bins: 4 });
  assert.deepEqual([profile.lo, profile.edges, profile.hi, profile.counts], [2, [2, 7], 12, [2, 4, 2]]);
  assert.deepEqual(
    [1, 2, 2.5, 7, 12, 12.5].map((x) => stats.binIndex(profile, x)),
    [0, 1, 2, 2, 3, 4],
  );
});

test('the example of §11: psi and χ² of 40 35 25 and 15 20 15 show no drift', () => {
  const [a, b] = [
    [40, 35, 25],
    [15, 20, 15],
  ];
  near(stats.psi(a!, b!), 0.04456085, 5e-9);
  near(stats.psiNullMean(a!, b!), 0.06, 1e-15);
  near(stats.psiCorrected(a!, b!), -0.01543915, 5e-9);
  const { statistic, df, p } = stats.chiSquareHomogeneity(a!, b!);
  near(statistic, 1.44886364, 5e-9);
  assert.equal(df, 2);
  near(p, 0.4845998, 5e-8);
});

test('the examples of §2: hash, u and variant', () => {
  assert.equal(stats.murmur3('sluice', 0), 0x5c2db7de);
  assert.equal(stats.unitInterval('sluice').toFixed(12), '0.360072604963');
  assert.equal(stats.unitInterval('spring:enroll:key-é7').toFixed(12), '0.608276582439');
  assert.equal(stats.assignVariant('spring', 'key-é7', { old: 80, new: 20 }), 'old');
  assert.equal(stats.murmur3('a\ud800', 0), stats.murmur3('a\ufffd', 0));
});

const divergences = {
  psi: stats.psi,
  jensenShannon: stats.jensenShannon,
  hellinger: stats.hellinger,
  lInfinity: stats.lInfinity,
  totalVariation: stats.totalVariation,
  binnedKs: stats.binnedKs,
};

/** Whole numbers below `most`, the first never 0. */
function countsFrom(random: () => number, bins: number, most = 50): number[] {
  return Array.from({ length: bins }, (_, i) => Math.floor(random() * most) + (i === 0 ? 1 : 0));
}

test('distances are symmetric, 0 for equal shares, in their bounds, and do not see a bin that is empty on both sides', () => {
  const random = pseudoRandom(11);
  for (let round = 0; round < 200; round++) {
    const bins = 2 + Math.floor(random() * 12);
    const [a, b] = [countsFrom(random, bins), countsFrom(random, bins)];
    for (const [name, distance] of Object.entries(divergences)) {
      const forth = distance(a, b)!;
      near(distance(b, a), forth, 1e-12);
      near(
        distance(
          a,
          a.map((count) => count * 3),
        ),
        0,
        1e-12,
      );
      near(distance([...a, 0], [...b, 0]), forth, 1e-12);
      assert.ok(forth >= 0, name);
      if (name !== 'psi') assert.ok(forth <= 1 + 1e-12, `${name}: ${forth}`);
    }
    assert.ok(stats.binnedKs(a, b)! <= stats.totalVariation(a, b)! + 1e-12);
    assert.ok(stats.lInfinity(a, b)! <= stats.totalVariation(a, b)! + 1e-12);
    assert.ok(stats.hellinger(a, b)! ** 2 <= stats.totalVariation(a, b)! + 1e-12);
    near(klNats(a, b)! + klNats(b, a)!, stats.psi(a, b)!, 1e-9);
  }
});

test('distances without an order of bins do not depend on it, and nor does the test', () => {
  const random = pseudoRandom(12);
  const [a, b] = [countsFrom(random, 9), countsFrom(random, 9)];
  const order = [4, 2, 8, 0, 6, 1, 7, 3, 5];
  const [mixedA, mixedB] = [order.map((at) => a[at]!), order.map((at) => b[at]!)];
  for (const distance of [stats.psi, stats.jensenShannon, stats.hellinger, stats.lInfinity, stats.totalVariation]) {
    near(distance(mixedA, mixedB), distance(a, b)!, 1e-12);
  }
  const [plain, mixed] = [stats.chiSquareHomogeneity(a, b), stats.chiSquareHomogeneity(mixedA, mixedB)];
  near(mixed.statistic, plain.statistic!, 1e-10);
  near(mixed.p, plain.p!, 1e-12);
});

test('shares that have nothing in common are as far apart as can be', () => {
  const [a, b] = [
    [3, 4, 0, 0],
    [0, 0, 9, 1],
  ];
  for (const distance of [stats.jensenShannon, stats.hellinger, stats.totalVariation, stats.binnedKs]) {
    near(distance(a!, b!), 1, 1e-12);
  }
});

test('a sum keeps what is small beside what is large, and stays infinite when it is', () => {
  const sumOf = (...terms: number[]) => {
    const sum = new Sum();
    for (const term of terms) sum.add(term);
    return sum.value;
  };
  assert.equal(sumOf(1, 1e100, 1, -1e100), 2);
  assert.equal(sumOf(1, Infinity, 2), Infinity);
});

test('typed arrays are counts and values like any other', () => {
  assert.equal(
    stats.psi(Float64Array.of(40, 35, 25), Uint32Array.of(15, 20, 15)),
    stats.psi([40, 35, 25], [15, 20, 15]),
  );
  assert.equal(stats.wasserstein(Float32Array.of(1, 2), Float32Array.of(3, 4)), 2);
});

test('an empty side is insufficient data, not agreement', () => {
  for (const distance of [...Object.values(divergences), stats.psiCorrected, stats.psiNullMean]) {
    assert.equal(distance([0, 0], [1, 2]), null);
    assert.equal(distance([1, 2], [0, 0]), null);
    assert.equal(distance([], []), null);
  }
  const nothing = { statistic: null, df: null, p: null, insufficientData: true };
  assert.deepEqual(stats.chiSquareHomogeneity([1, 2], [0, 0]), nothing);
  assert.equal(stats.ksTwoSample([], [1]).insufficientData, true);
  assert.equal(stats.wasserstein([1], []), null);
  assert.equal(stats.srm([0, 0], [1, 1]).insufficientData, true);
  assert.equal(stats.twoProportions(0, 0, 1, 2).insufficientData, true);
  assert.equal('insufficientData' in stats.chiSquareHomogeneity([1, 2], [3, 4]), false);
});

function refused(call: () => unknown): void {
  assert.throws(call, (error) => error instanceof GatewayError && error.code === 'INVALID_ARGUMENT');
}

test('what no data can be is refused by name instead of being computed with', () => {
  refused(() => stats.psi([1, 2], [1, 2, 3]));
  refused(() => stats.psi([1, -2], [1, 2]));
  refused(() => stats.hellinger([1, Number.NaN], [1, 2]));
  refused(() => stats.chiSquareHomogeneity([1, Infinity], [1, 2]));
  refused(() => stats.wilson(3, 2));
  refused(() => stats.wilson(1, 2, 1));
  refused(() => stats.newcombe(-1, 2, 1, 2));
  refused(() => stats.welch({ mean: 1, variance: -1, n: 5 }, { mean: 1, variance: 1, n: 5 }));
  refused(() => stats.msprt({ mean: 1, variance: 1, n: 5 }, { mean: 1, variance: 1, n: 5 }, 0));
  refused(() => stats.nonInferiority(1, 2, 1, 2, -0.1));
  refused(() => stats.mcnemar(1.5, 2));
  refused(() => stats.srm([1, 2], [1]));
  refused(() => stats.srm([1, -2], [1, 1]));
  refused(() => stats.assignVariant('s', 'k', { a: Number.NaN }));
  refused(() => stats.compareOutputs([[1, 2], [3]], [[1, 2], [3]]));
  refused(() => stats.compareOutputs([1, 2, 3], [1, 2, 3], { rows: 1.5 }));
  refused(() => stats.compareOutputs([1, 2, 3], [1, 2, 3], { rows: 2 }));
});

test('Kolmogorov–Smirnov and Wasserstein: symmetric, 0 for the same values in any order, NaN and infinities left out', () => {
  const random = pseudoRandom(13);
  for (let round = 0; round < 50; round++) {
    const x = Array.from({ length: 2 + Math.floor(random() * 40) }, () => Math.round(random() * 20) / 4);
    const y = Array.from({ length: 2 + Math.floor(random() * 40) }, () => Math.round(random() * 30) / 4);
    near(stats.ksTwoSample(y, x).statistic, stats.ksTwoSample(x, y).statistic!, 1e-12);
    near(stats.wasserstein(y, x), stats.wasserstein(x, y)!, 1e-12);
    const shuffled = [...x.slice(3).reverse(), ...x.slice(0, 3)];
    assert.equal(stats.wasserstein(x, shuffled), 0);
    assert.deepEqual([stats.ksTwoSample(x, shuffled).statistic, stats.ksTwoSample(x, shuffled).p], [0, 1]);
    const dirty = [Number.NaN, ...x, Infinity, -Infinity];
    assert.deepEqual(stats.ksTwoSample(dirty, y), stats.ksTwoSample(x, y));
    const shifted = x.map((value) => value + 2.5);
    near(stats.wasserstein(x, shifted), 2.5, 1e-12);
  }
});

test('the two series of the Kolmogorov distribution meet without a step', () => {
  // D is 1 for samples that do not overlap, so the sizes alone choose t; 2.784 / 2 samples straddle t = 1.18.
  const apart = (n: number, m: number) =>
    stats.ksTwoSample(
      Array.from({ length: n }, () => 0),
      Array.from({ length: m }, () => 1),
    ).pKolmogorov!;
  const tail = (t: number) =>
    2 * [1, 2, 3, 4, 5, 6].reduce((sum, j) => sum - (-1) ** j * Math.exp(-2 * j * j * t * t), 0);
  for (const [n, m] of [
    [2, 4],
    [2, 5],
    [3, 3],
    [2, 6],
    [3, 4],
  ]) {
    near(apart(n!, m!), tail(Math.sqrt((n! * m!) / (n! + m!))), 1e-12);
  }
});

test('adjusted p-values are never below the raw ones, keep their order and stay at 1 or less', () => {
  const random = pseudoRandom(14);
  const ps = Array.from({ length: 60 }, () => random() ** 4);
  const adjusted = stats.benjaminiHochberg(ps);
  for (const [i, p] of ps.entries()) {
    assert.ok(adjusted[i]! >= p && adjusted[i]! <= 1);
    for (const [j, other] of ps.entries()) if (p < other) assert.ok(adjusted[i]! <= adjusted[j]!);
  }
  const mixed = [...ps].reverse();
  assert.deepEqual(stats.benjaminiHochberg(mixed), [...adjusted].reverse());
});

test('exchanging the arms turns differences and intervals round and leaves the p of two sides', () => {
  const [forth, back] = [stats.twoProportions(100, 1000, 130, 1010), stats.twoProportions(130, 1010, 100, 1000)];
  near(back.p, forth.p!, 1e-15);
  near(back.zPooled, -forth.zPooled!, 1e-15);
  near(back.low, -forth.high!, 1e-15);
  const [apart, turned] = [stats.newcombe(56, 70, 48, 80), stats.newcombe(48, 80, 56, 70)];
  near(turned.low, -apart.high!, 1e-12);
  const [a, b] = [
    { mean: 1, variance: 2, n: 30 },
    { mean: 2, variance: 1, n: 50 },
  ];
  near(stats.welch(b, a).statistic, -stats.welch(a, b).statistic!, 1e-12);
  near(stats.welch(b, a).df, stats.welch(a, b).df!, 1e-12);
  near(stats.confidenceSequence(b, a).high, -stats.confidenceSequence(a, b).low!, 1e-12);
});

test('a confidence sequence is wider than the interval of one look, and excludes 0 exactly when p is below α', () => {
  const random = pseudoRandom(15);
  for (let round = 0; round < 300; round++) {
    const arm = () => ({ mean: random(), variance: 0.1 + random(), n: 2 + Math.floor(random() * 400) });
    const [a, b] = [arm(), arm()];
    const alpha = [0.01, 0.05, 0.2][round % 3]!;
    const look = stats.confidenceSequence(a, b, { alpha, plannedN: 500 });
    assert.equal(look.p < alpha, look.low! > 0 || look.high! < 0);
    const single = stats.twoProportions(Math.round(a.mean * a.n), a.n, Math.round(b.mean * b.n), b.n, alpha);
    assert.ok(look.high! - look.low! > single.high! - single.low!);
  }
});

test('the sample ratio test keeps the smallest p of earlier looks and sees a key on a variant of weight 0', () => {
  assert.equal(stats.srm([5000, 5000], [1, 1], 0.0002).pSequential, 0.0002);
  const stray = stats.srm([5000, 1], [100, 0]);
  assert.deepEqual([stray.p, stray.pSequential, stray.logBayesFactor], [0, 0, Infinity]);
  assert.equal(stats.srm([520, 480], [1, 1]).p, stats.srm([520, 480], [50, 50]).p);
});

test('assignment: shares as the weights say, only ratios matter, and a raised weight moves keys only towards it', () => {
  const keys = Array.from({ length: 20_000 }, (_, i) => `user-${i}`);
  const of = (weights: Readonly<Record<string, number>>) =>
    keys.map((key) => stats.assignVariant('spring', key, weights));
  const before = of({ old: 80, new: 20 });
  near(before.filter((name) => name === 'new').length / keys.length, 0.2, 0.01);
  assert.deepEqual(of({ new: 1, old: 4 }), before);
  const after = of({ old: 80, new: 40 });
  for (const [i, name] of after.entries()) if (name !== before[i]) assert.equal(name, 'new');
  assert.equal(stats.assignVariant('spring', 'x', { old: 0, new: 0 }), null);
});

test('assignment: two variants whose hashes collide tie, and the name that is first in code-unit order wins', () => {
  assert.equal(stats.murmur3('tie:v28113:key'), stats.murmur3('tie:v130208:key'));
  assert.equal(stats.assignVariant('tie', 'key', { v28113: 1, v130208: 1 }), 'v130208');
  assert.equal(stats.assignVariant('tie', 'key', { v130208: 1, v28113: 1 }), 'v130208');
});

test('outputs: NaN is NaN, an infinity only itself, and integers match only when equal', () => {
  assert.equal(stats.compareOutputs([Number.NaN, Infinity], [Number.NaN, Infinity]).matchRate, 1);
  assert.equal(stats.compareOutputs([Infinity], [-Infinity]).matchRate, 0);
  assert.equal(stats.compareOutputs([1e9], [1e9 + 1]).matchRate, 1);
  assert.equal(stats.compareOutputs([1e9], [1e9 + 1], { exact: true }).matchRate, 0);
  assert.equal(stats.compareOutputs([5n], [5n]).agreement, 1);
  assert.equal(stats.compareOutputs([1000], [1000.2], { rel: 1e-3 }).matchRate, 1);
});

test('outputs of other shapes are not compared', () => {
  const { shapeMismatch, items, matchRate, rmse } = stats.compareOutputs([[1, 2]], [[1], [2]]);
  assert.deepEqual([shapeMismatch, items, matchRate, rmse], [true, 0, null, null]);
  assert.equal(stats.compareOutputs([1, 2], [[1, 2]]).shapeMismatch, true);
  assert.equal(stats.compareOutputs([], []).matchRate, null);
});

test('outputs of texts, booleans and single integers are labels, an item each', () => {
  const texts = stats.compareOutputs(['cat', 'dog', 'cat', 'cat'], ['cat', 'dog', 'dog', 'cat']);
  assert.deepEqual([texts.items, texts.matchRate, texts.agreement, texts.maxAbsDiff], [4, 0.75, 0.75, null]);
  near(texts.cohenKappa, 0.5, 1e-12);
  assert.equal(stats.compareOutputs([true, false], [true, true]).agreement, 0.5);
  const classes = stats.compareOutputs([1, 0, 2], [1, 1, 2], { rows: 3, exact: true });
  near(classes.agreement, 2 / 3, 1e-12);
  assert.equal(stats.compareOutputs(['a', 'a'], ['a', 'a']).cohenKappa, null);
});

test('a batch of outputs of more dimensions is compared item by item', () => {
  const p = [
    [
      [1, 2],
      [3, 4],
    ],
    [
      [5, 6],
      [7, 8],
    ],
  ];
  const q = [p[0]!, [p[1]![0]!, [7, 9]]];
  const { items, matchRate, argmaxAgree, maxAbsDiff } = stats.compareOutputs(p, q);
  assert.deepEqual([items, matchRate, argmaxAgree, maxAbsDiff], [2, 0.5, true, 1]);
});
