/**
 * Tests, intervals and p-values of experiments against an independent computation.
 *
 * Reference: scipy 1.17 (`stats.binomtest(k, n).proportion_ci(.95, 'wilson')`, `stats.ttest_ind_from_stats(…, equal_var=False)`,
 * `stats.mannwhitneyu(x, y, method='asymptotic')`, `stats.false_discovery_control`, numerical integration of Beta densities);
 * formulas that scipy does not have, in mpmath with 40 digits as the specification writes them.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { benjaminiHochberg, bonferroni, holm } from '../src/monitor/adjust.js';
import {
  alwaysValid,
  guardrailVerdict,
  mixtureTest,
  oriented,
  successVerdict,
  withDoubt,
} from '../src/monitor/always-valid.js';
import { chanceAbove, credibleInterval, expectedLoss, posteriorOf } from '../src/monitor/bayes.js';
import { welch } from '../src/monitor/mean.js';
import { type Moments, momentsOfCounts } from '../src/monitor/moments.js';
import { driftVerdict, predictionDrift, usedBins } from '../src/monitor/prediction-drift.js';
import {
  mcNemar,
  newcombeInterval,
  nonInferiority,
  pooledZ,
  sampleSizePerArm,
  waldInterval,
  wilsonInterval,
} from '../src/monitor/proportion.js';
import { hodgesLehmann, mannWhitney } from '../src/monitor/ranks.js';
import { sampleRatio } from '../src/monitor/srm.js';
import { keyMoments } from './monitor-fixture.js';

function near(got: number | undefined | null, expected: number, allowed = 1e-9): void {
  assert.ok(typeof got === 'number' && Math.abs(got - expected) <= allowed, `expected ${expected}, got ${got}`);
}

const a = { hits: 100, n: 1000 };
const b = { hits: 130, n: 1010 };

test('two shares: pooled z, Wald, Wilson and Newcombe', () => {
  const test = pooledZ(a, b)!;
  near(test.z, 2.0219081393581573);
  near(test.pTwoSided, 0.043185842748423915);
  near(waldInterval(a, b, 0.05)!.low, 0.0009231313748782055);
  near(waldInterval(a, b, 0.05)!.high, 0.056502611199379216);
  near(wilsonInterval(a, 0.05)!.low, 0.08290944359309571);
  near(wilsonInterval(a, 0.05)!.high, 0.1201519631953484);
  near(newcombeInterval(a, b, 0.05)!.low, 0.000840876210396968);
  near(newcombeInterval(a, b, 0.05)!.high, 0.05662526083289972);
});

test('a share of nothing has an upper bound, and an empty arm no number at all', () => {
  near(wilsonInterval({ hits: 0, n: 20 }, 0.05)!.low, 0);
  near(wilsonInterval({ hits: 0, n: 20 }, 0.05)!.high, 0.16112515805281935);
  const empty = { hits: 0, n: 0 };
  assert.equal(pooledZ(empty, b), null);
  assert.equal(wilsonInterval(empty, 0.05), null);
  assert.equal(newcombeInterval(a, empty, 0.05), null);
  assert.deepEqual(pooledZ({ hits: 0, n: 10 }, { hits: 0, n: 20 }), { z: 0, pTwoSided: 1 });
});

test('sample size and non-inferiority', () => {
  assert.equal(sampleSizePerArm(0.1, 0.12, 0.05, 0.8), 3841);
  assert.equal(sampleSizePerArm(0.1, 0.1, 0.05, 0.8), null);
  const result = nonInferiority(a, b, 0.01, 0.05)!;
  near(result.pOneSided, 0.003163315419320493);
  near(result.lowerOneSided, 0.005390986371253518);
  assert.equal(result.isNonInferior, true);
});

test('Welch from moments', () => {
  const result = welch(
    { mean: 4.2, variance: 9, n: 55, observations: 55 },
    { mean: 5, variance: 4, n: 40, observations: 40 },
    0.05,
  )!;
  near(result.t, 1.558071309952324);
  near(result.df, 92.39154929577465);
  near(result.pTwoSided, 0.12263532498493324);
  near(result.interval.low, -0.21970900272857263);
  near(result.interval.high, 1.8197090027285727);
  const constant = { mean: 1, variance: 0, n: 9, observations: 9 };
  assert.equal(welch(constant, constant, 0.05), null);
});

test('ranks with ties: Mann–Whitney and the Hodges–Lehmann shift', () => {
  const [x, y] = [
    [1.1, 2.2, 2.2, 3.5, 9, 4.4, 5],
    [2.2, 1, 0.5, 3.5, 2, 1.7],
  ];
  const result = mannWhitney(x!, y!)!;
  near(result.u, 34.5);
  near(result.p, 0.06147952877355991);
  near(result.cles, 0.8214285714285715);
  near(hodgesLehmann(x!, y!), 1.6, 1e-12);
  assert.deepEqual(mannWhitney([1, 1], [1, 1, 1])!.p, 1);
  assert.equal(mannWhitney([], [1]), null);
});

test('McNemar counts only the pairs that differ', () => {
  near(mcNemar(5, 15), 0.04138946533203125, 1e-12);
  near(mcNemar(15, 5), 0.04138946533203125, 1e-12);
  assert.equal(mcNemar(0, 0), 1);
  assert.equal(mcNemar(4, 4), 1);
});

test('adjusted p-values stand in the order of their input', () => {
  const ps = [0.01, 0.04, 0.03, 0.005, 0.5];
  assert.deepEqual(
    benjaminiHochberg(ps).map((p) => Number(p.toPrecision(12))),
    [0.025, 0.05, 0.05, 0.025, 0.5],
  );
  assert.deepEqual(
    holm(ps).map((p) => Number(p.toPrecision(12))),
    [0.04, 0.09, 0.09, 0.025, 0.5],
  );
  assert.deepEqual(bonferroni(ps), [0.05, 0.2, 0.15, 0.025, 1]);
  assert.deepEqual(benjaminiHochberg([]), []);
});

test('Beta–Binomial: chance, loss and interval', () => {
  const [before, after] = [posteriorOf({ hits: 100, n: 1000 }), posteriorOf({ hits: 130, n: 1010 })];
  near(chanceAbove(before, after), 0.9782945316247751);
  near(chanceAbove(after, before)! + chanceAbove(before, after)!, 1);
  const loss = expectedLoss(before, after)!;
  near(loss.choosingB, 0.00011469514817479422, 1e-8);
  near(loss.choosingA, 0.028762932270767552, 1e-8);
  const interval = credibleInterval(posteriorOf({ hits: 12, n: 100 }));
  near(interval.low, 0.07035018147341375);
  near(interval.high, 0.1983450632635714);
});

test('the chance that one is above the other survives a first term below the smallest double', () => {
  const [worse, better] = [posteriorOf({ hits: 20_000, n: 40_000 }), posteriorOf({ hits: 20_200, n: 40_000 })];
  // Both are nearly normal: z = 0.005 / √(2·¼/40,000).
  near(chanceAbove(worse, better), 0.9213504, 1e-4);
});

test('the delta method: a ratio over keys', () => {
  const moments = keyMoments([0, 1, 2, 0, 3, 1], [1, 2, 5, 1, 4, 3]);
  near(moments.mean, 0.4375, 1e-15);
  near(moments.variance, 0.05888671875000001, 1e-15);
  assert.equal(moments.n, 6);
  assert.equal(moments.observations, 16);
});

test('keys with one observation each give the ordinary mean and sample variance, and a key without any is no unit', () => {
  const moments = keyMoments([3, 5, 10, 0], [1, 1, 1, 0]);
  assert.deepEqual(moments, { mean: 6, variance: 13, n: 3, observations: 3 });
  assert.deepEqual(keyMoments([], []), { mean: 0, variance: 0, n: 0, observations: 0 });
});

test('sample ratio: one look and all looks', () => {
  const look = sampleRatio(
    [
      { weight: 50, keys: 5200 },
      { weight: 50, keys: 4800 },
    ],
    1,
  );
  near(look.chi2, 16);
  near(look.p, 6.334248366623988e-5);
  near(look.logBayesFactor, 3.6538806657425464, 1e-7);
  near(look.pSequential, 0.025890461350347872, 1e-8);
  assert.equal(look.isMismatch, true);
  const three = sampleRatio(
    [3100, 3400, 3500].map((keys) => ({ weight: 1, keys })),
    1,
  );
  near(three.logBayesFactor, 5.8375492358656125, 1e-7);
  assert.equal(three.df, 2);
});

test('a later look never takes back what an earlier one has shown', () => {
  const even = [
    { weight: 90, keys: 9000 },
    { weight: 10, keys: 1000 },
  ];
  assert.equal(sampleRatio(even, 1).pSequential, 1);
  assert.equal(sampleRatio(even, 0.0004).pSequential, 0.0004);
});

test('a key on a variant of weight 0 is a mismatch at once, and one variant alone is none', () => {
  const stray = sampleRatio(
    [
      { weight: 0, keys: 1 },
      { weight: 100, keys: 5000 },
    ],
    1,
  );
  assert.equal(stray.pSequential, 0);
  assert.equal(stray.isMismatch, true);
  const alone = sampleRatio(
    [
      { weight: 0, keys: 0 },
      { weight: 100, keys: 5000 },
    ],
    1,
  );
  assert.equal(alone.isMismatch, false);
  assert.equal(alone.pSequential, 1);
});

test('a single look does not judge arms of fewer than 8 expected keys', () => {
  const few = [
    { weight: 99, keys: 100 },
    { weight: 1, keys: 9 },
  ];
  const look = sampleRatio(few, 1);
  assert.ok(look.p < 0.001);
  assert.equal(look.isMismatch, false);
});

test('the always-valid interval and p are those of the specification', () => {
  const look = alwaysValid(momentsOfCounts(400, 4000), momentsOfCounts(533, 4100), 0.05);
  near(look.interval!.low + look.interval!.high, 2 * look.difference, 1e-12);
  const moments = (mean: number, variance: number, n: number): Moments => ({ mean, variance, n, observations: n });
  const shown = alwaysValid(moments(0.1, 0.09, 4000), moments(0.13, 0.1131, 4100), 0.05);
  near(shown.interval!.low, 0.008428516522497764);
  near(shown.interval!.high, 0.051571483477502233);
  near(shown.p, 0.0008921500326428236);
  const means = alwaysValid(moments(10, 4, 300), moments(10.1, 5, 280), 0.05);
  near(means.interval!.low, -0.557525761592436);
  near(means.interval!.high, 0.7575257615924353);
  assert.equal(means.p, 1);
  near(mixtureTest(moments(0.1, 0.09, 4000), moments(0.13, 0.1131, 4100), 0.0004).p, 0.0010209764538264311);
});

test('the interval excludes 0 exactly when p is below α', () => {
  for (let hits = 400; hits < 600; hits++) {
    const { interval, p } = alwaysValid(momentsOfCounts(400, 4000), momentsOfCounts(hits, 4100), 0.05);
    assert.equal(p < 0.05, interval!.low > 0 || interval!.high < 0, `${hits} hits`);
  }
});

test('where nothing varies there is no interval and no evidence', () => {
  const nothing = momentsOfCounts(0, 500);
  assert.deepEqual(alwaysValid(nothing, nothing, 0.05), { difference: 0, interval: null, p: 1 });
  assert.equal(alwaysValid(momentsOfCounts(1, 1), momentsOfCounts(3, 9), 0.05).interval, null);
  assert.equal(mixtureTest(nothing, nothing, 0.01).p, 1);
});

test('verdicts: the whole interval must lie on one side of the margin', () => {
  assert.equal(guardrailVerdict({ low: -0.2, high: -0.06 }, 0.05), 'fail');
  assert.equal(guardrailVerdict({ low: -0.2, high: -0.05 }, 0.05), 'continue');
  assert.equal(guardrailVerdict({ low: -0.04, high: 0.3 }, 0.05), 'pass');
  assert.equal(guardrailVerdict({ low: -0.05, high: 0.3 }, 0.05), 'continue');
  assert.equal(guardrailVerdict(null, 0.05), 'continue');
  assert.equal(successVerdict({ low: 0.01, high: 0.3 }), 'better');
  assert.equal(successVerdict({ low: -0.3, high: -0.01 }), 'worse');
  assert.equal(successVerdict({ low: -0.3, high: 0 }), 'continue');
  assert.equal(successVerdict(null), 'continue');
  assert.deepEqual(oriented({ low: 0.1, high: 0.3 }, 'lower'), { low: -0.3, high: -0.1 });
  assert.deepEqual(oriented({ low: 0.1, high: 0.3 }, 'higher'), { low: 0.1, high: 0.3 });
});

test('arms without a single error pass in the end, but not on the first few keys', () => {
  const verdict = (n: number) => {
    const clean = withDoubt(momentsOfCounts(0, n));
    return guardrailVerdict(alwaysValid(clean, clean, 0.05).interval, 0.005);
  };
  assert.equal(verdict(200), 'continue');
  assert.equal(verdict(2000), 'pass');
  const seen = momentsOfCounts(1, 200);
  assert.equal(withDoubt(seen), seen);
});

test('prediction drift: the example of the specification, its symmetry, and too few predictions', () => {
  const drift = predictionDrift([40, 35, 25], [15, 20, 15])!;
  near(drift.psi, 0.04456085, 1e-8);
  near(drift.psiCorrected, -0.01543915, 1e-8);
  near(predictionDrift([15, 20, 15], [40, 35, 25])!.psi, drift.psi, 1e-12);
  assert.equal(driftVerdict(drift), 'continue');
  assert.equal(predictionDrift([0, 0], [1, 2]), null);
  assert.equal(driftVerdict(null), 'continue');
});

test('bins that neither side uses are left out of the comparison', () => {
  assert.deepEqual(usedBins([1, 0, 0, 2], [0, 0, 3]), [
    [1, 0, 2],
    [0, 3, 0],
  ]);
});

test('predictions that all fall into one class fail, equal ones pass, a shift between is undecided', () => {
  assert.equal(driftVerdict(predictionDrift([500, 500], [1000, 0])), 'fail');
  assert.equal(driftVerdict(predictionDrift([500, 500], [310, 290])), 'pass');
  assert.equal(driftVerdict(predictionDrift([500, 500], [700, 300])), 'continue');
});
